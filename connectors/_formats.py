"""Arrays out of untrusted bytes: raw, `.npy` and JSON.

Sizes are checked before anything is allocated, and dtypes come from a fixed table.
A ShapeError tells of an array that cannot be a sample, any other DataError of bytes
that cannot be read.
"""

import json
import math
import re
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np

from echo_stream.errors import DataError, ShapeError
from echo_stream.typing import Array
from echo_stream.validation import first_line

DTYPES = {
    name: np.dtype(name)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    for name in (code, np.dtype(code).name, *(order + code for order in "<>=|"))
}
"""Every spelling of a dtype that is understood, such as "f4", "<f4" and "float32"."""

MAX_AXES = 32
"""What every supported numpy can hold."""

NPY_MAGIC = b"\x93NUMPY"
"""How a `.npy` file begins."""

_MAX_SHAPE_TEXT = 20 * MAX_AXES  # characters
_NPY_MAX_HEADER = 10_000  # bytes; numpy's own limit
_NPY_FIELDS = (
    re.compile(rb"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]"""),
    re.compile(rb"""['"]shape['"]\s*:\s*\(([0-9,\sL]*)\)"""),
    re.compile(rb"""['"]fortran_order['"]\s*:\s*(True|False)"""),
)
_JSON_COMMAS = 1_000  # allowed beside those between the numbers of x


def read_raw(
    value: bytes, dtype: bytes | str, shape: bytes | tuple[int, ...], max_elements: int
) -> Array:
    """Return the array whose elements, in C order, are the whole value.

    Parameters
    ----------
    value : bytes
    dtype, shape : bytes, or str and tuple of int
        As a header has them (``b"float32"``, ``b"28,28"``), or as a configuration has.
    max_elements : int

    Returns
    -------
    ndarray
        In native byte order; a read-only view of the value where it is already.
    """
    layout = raw_layout(dtype, shape)
    if layout.size != len(value):
        msg = f"{layout.words()} has {layout.size} bytes; got {len(value)}"
        raise ShapeError(msg)
    return _as_array(value, layout, 0, max_elements)


def read_npy(value: bytes, max_elements: int) -> Array:
    """Return the array of a `.npy` file, version 1 to 3; otherwise like `read_raw`."""
    version, length_end = value[6:8], 10 if value[6:7] == b"\1" else 12
    if not value.startswith(NPY_MAGIC) or version not in (b"\1\0", b"\2\0", b"\3\0"):
        msg = "value does not begin like .npy of version 1, 2 or 3"
        raise DataError(msg)
    start = length_end + int.from_bytes(value[8:length_end], "little")
    if start > min(_NPY_MAX_HEADER, len(value)):
        msg = f".npy header of {start} bytes in {len(value)} is truncated or too large"
        raise DataError(msg)
    layout = _npy_layout(value[:start])
    if layout.size != len(value) - start:
        msg = f"damaged .npy: {layout.words()} has {layout.size} bytes; got {len(value) - start}"
        raise DataError(msg)
    return _as_array(value, layout, start, max_elements)


def read_json(value: bytes, dtype: str, max_elements: int) -> tuple[Array, dict[str, Any]]:
    """Return the array in field x of a JSON object, and all fields.

    Parameters
    ----------
    value : bytes
        UTF-8. x is a list, or nested lists, of numbers.
    dtype : str
        Of the array. Floats beyond its range become infinite.
    max_elements : int
    """
    if value.count(b",") > max_elements + _JSON_COMMAS:
        msg = f"JSON holds more than the limit of {max_elements} numbers"
        raise DataError(msg)
    try:
        fields = json.loads(value.decode())
    except (ValueError, RecursionError) as err:
        msg = f"illegible JSON ({first_line(err)})"
        raise DataError(msg) from err
    if not isinstance(fields, dict) or "x" not in fields:
        msg = "JSON is no object with a field x"
        raise DataError(msg)
    numbers, shape = _flatten(fields["x"], max_elements)
    return _from_numbers(numbers, _dtype_of(dtype)).reshape(shape), fields


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
        If the dtype is not in `DTYPES`, or the shape illegible, empty or of too many axes.
    """
    name = dtype if isinstance(dtype, str) else dtype.decode("latin-1")
    axes = shape if isinstance(shape, tuple) else _shape_of(shape.decode("latin-1"))
    return _layout(name, axes, "C")


@lru_cache(maxsize=256)
def _npy_layout(header: bytes) -> Layout:
    """Return the layout that a `.npy` header declares.

    The header is matched, not evaluated as Python, which is what numpy does: one
    array of plain numbers needs three fields and nothing else.
    """
    found = [pattern.search(header) for pattern in _NPY_FIELDS]
    descr, shape, fortran = (match and match[1].decode("latin-1") for match in found)
    if descr is None or shape is None or fortran is None:
        msg = ".npy header does not describe one array of numbers"
        raise DataError(msg)
    # Python 2 wrote 28L.
    return _layout(descr, _shape_of(shape.replace("L", "")), "F" if fortran == "True" else "C")


def _layout(dtype: str, shape: tuple[int, ...], order: Literal["C", "F"]) -> Layout:
    known, num_elements = _dtype_of(dtype), math.prod(shape)
    if not 0 < len(shape) <= MAX_AXES or num_elements == 0:
        msg = f"x has shape {shape}; use 1 to {MAX_AXES} axes, none of them empty"
        raise ShapeError(msg)
    return Layout(known, shape, num_elements, num_elements * known.itemsize, order)


def _dtype_of(text: str) -> np.dtype[Any]:
    dtype = DTYPES.get(text)
    if dtype is None:
        msg = f"dtype {text[:40]!a} is not supported; use one such as float32 or uint8"
        raise ShapeError(msg)
    return dtype


def _shape_of(text: str) -> tuple[int, ...]:
    """Return the shape that "28,28", "784," or "(28, 28)" names."""
    axes = [axis.strip() for axis in text[:_MAX_SHAPE_TEXT].strip("() ").split(",")]
    if axes[-1] == "":
        axes.pop()
    if len(text) > _MAX_SHAPE_TEXT or not all(axis.isascii() and axis.isdigit() for axis in axes):
        msg = f"shape {text[:40]!a} is illegible; write it like 28,28"
        raise DataError(msg)
    return tuple(map(int, axes))


def _as_array(value: bytes, layout: Layout, start: int, max_elements: int) -> Array:
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


def _flatten(x: object, max_elements: int) -> tuple[list[Any], tuple[int, ...]]:
    """Return the numbers in nested lists and the shape. One level at a time: no recursion."""
    level: list[Any] = [x]
    shape: list[int] = []
    while isinstance(level[0], list):
        width = len(level[0])
        if width == 0 or len(shape) == MAX_AXES:
            msg = f"x has an empty list or more than {MAX_AXES} axes; use nested lists of numbers"
            raise ShapeError(msg)
        if any(not isinstance(row, list) or len(row) != width for row in level):
            msg = "x is ragged; all lists of one level need the same length"
            raise ShapeError(msg)
        if len(level) * width > max_elements:
            msg = f"x has over {max_elements} elements, which is the limit"
            raise DataError(msg)
        shape.append(width)
        level = list(chain.from_iterable(level))
    if not shape or not set(map(type, level)) <= {int, float}:
        names = ", ".join(sorted({type(item).__name__ for item in level}))
        msg = f"x holds {names} where numbers belong; use nested lists of numbers"
        raise ShapeError(msg)
    return level, tuple(shape)


def _from_numbers(numbers: list[Any], dtype: np.dtype[Any]) -> Array:
    """Return an ndarray of shape (n,) and of the dtype, in native byte order."""
    native = dtype.newbyteorder("=")
    if dtype.kind == "f":
        try:
            with np.errstate(over="ignore"):
                return np.array(numbers, np.float64).astype(native)
        except OverflowError:  # an integer beyond the floats: infinite, as 1e999 is
            return np.full(len(numbers), np.inf, native)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if float in set(map(type, numbers)) or min(numbers) < low or max(numbers) > high:
        msg = f"x holds numbers that {dtype} does not; declare another dtype"
        raise ShapeError(msg)
    return np.array(numbers, native)
