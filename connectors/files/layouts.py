"""How bytes make an array: dtypes, shapes and sizes, out of untrusted text.

Sizes are checked before anything is allocated, and dtypes come from a fixed table.
A ShapeError tells of an array that cannot be a sample, any other DataError of bytes
that cannot be read.
"""

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.errors import DataError, ShapeError

DTYPES = {
    name: np.dtype(name)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    for name in (code, np.dtype(code).name, *(order + code for order in "<>=|"))
}
"""Every spelling of a dtype that is understood, such as "f4", "<f4" and "float32"."""

MAX_AXES = 32
"""What every supported numpy can hold."""

_MAX_SHAPE_TEXT = 20 * MAX_AXES  # characters


class Layout(NamedTuple):
    """How bytes make an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    num_elements: int
    size: int
    order: Literal["C", "F"]

    def words(self) -> str:
        """Return what a message calls such an array."""
        return f"x of shape {self.shape} and dtype {self.dtype}"


@lru_cache(maxsize=256)
def raw_layout(dtype: bytes | str, shape: bytes | tuple[int, ...]) -> Layout:
    """Return the layout that headers, metadata or a configuration declare.

    Raises
    ------
    ShapeError, DataError
        If the dtype is not in `DTYPES`, or the shape invalid, empty or of too many axes.
    """
    name = dtype if isinstance(dtype, str) else dtype.decode("latin-1")
    axes = shape if isinstance(shape, tuple) else shape_in(shape.decode("latin-1"))
    return array_layout(name, axes, "C")


def array_layout(dtype: str, shape: tuple[int, ...], order: Literal["C", "F"]) -> Layout:
    """Return the layout of a dtype, a shape and an order of elements."""
    known, num_elements = dtype_named(dtype), math.prod(shape)
    if not 0 < len(shape) <= MAX_AXES or num_elements == 0:
        msg = f"x has shape {shape}; use 1 to {MAX_AXES} axes, none of them empty"
        raise ShapeError(msg)
    return Layout(known, shape, num_elements, num_elements * known.itemsize, order)


def dtype_named(text: str) -> np.dtype[Any]:
    """Return a dtype of `DTYPES`, or raise ShapeError."""
    dtype = DTYPES.get(text)
    if dtype is None:
        msg = f"dtype {text[:40]!a} is not supported; use one such as float32 or uint8"
        raise ShapeError(msg)
    return dtype


def shape_in(text: str) -> tuple[int, ...]:
    """Return the shape that "28,28", "784," or "(28, 28)" names."""
    axes = [axis.strip() for axis in text[:_MAX_SHAPE_TEXT].strip("() ").split(",")]
    if axes[-1] == "":
        axes.pop()
    if len(text) > _MAX_SHAPE_TEXT or not all(axis.isascii() and axis.isdigit() for axis in axes):
        msg = f"shape {text[:40]!a} is invalid; write it like 28,28"
        raise DataError(msg)
    return tuple(map(int, axes))


def as_array(
    value: bytes | bytearray | memoryview, layout: Layout, start: int, max_elements: int
) -> Array:
    """Return the elements from start on, a view where their byte order is native."""
    if layout.num_elements > max_elements:
        msg = f"x has {layout.num_elements} elements, more than the limit of {max_elements}"
        raise DataError(msg)
    x: Array = np.frombuffer(value, layout.dtype, layout.num_elements, start)
    if layout.dtype.kind == "b":
        x = x.view(np.uint8) != 0  # a bool made of another byte than 0 and 1 misbehaves
    elif not layout.dtype.isnative:
        x = x.astype(layout.dtype.newbyteorder("="))
    return x.reshape(layout.shape, order=layout.order)


def as_rows(content: bytes | bytearray | memoryview, layout: Layout, n: int) -> Array:
    """Return n samples of a layout in C order that lie one after another, of shape (n, ...)."""
    size = n * layout.num_elements
    whole = layout._replace(shape=(n, *layout.shape), num_elements=size)
    return as_array(content, whole, 0, size)
