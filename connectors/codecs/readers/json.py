"""JSON out of untrusted bytes: an object with numbers in field x."""

import json
from itertools import chain
from typing import Any

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.files.layouts import MAX_AXES, dtype_named
from echo_stream.errors import DataError, ShapeError, first_line

_COMMAS = 1_000  # allowed beside those between the numbers of x
_MAX_CONTAINERS = 1_000_000  # lists and objects, of which Python makes much out of two bytes


def read_fields(value: bytes, max_elements: int) -> dict[str, Any]:
    """Return the fields of a JSON object.

    Parameters
    ----------
    value : bytes
        UTF-8.
    max_elements : int
        That x may hold.
    """
    if value.count(b",") > max_elements + _COMMAS:
        msg = f"JSON holds more than the limit of {max_elements} numbers"
        raise DataError(msg)
    if value.count(b"[") + value.count(b"{") > _MAX_CONTAINERS:
        msg = f"JSON holds over {_MAX_CONTAINERS} lists and objects; send x as .npy or raw"
        raise DataError(msg)
    try:
        fields = json.loads(value.decode())
    except (ValueError, RecursionError) as err:
        msg = f"invalid JSON ({first_line(err)})"
        raise DataError(msg) from err
    if not isinstance(fields, dict):
        msg = "JSON is not an object with a field x"
        raise DataError(msg)
    return fields


def array_of(x: object, dtype: str, max_elements: int) -> Array:
    """Return the array that field x of a JSON object holds.

    Parameters
    ----------
    x : object
        A list, or nested lists, of numbers.
    dtype : str
        Of the array. Floats beyond its range become infinite.
    max_elements : int
    """
    numbers, shape = _flatten(x, max_elements)
    return _from_numbers(numbers, dtype_named(dtype)).reshape(shape)


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
        msg = f"x holds {names} instead of numbers; use nested lists of numbers"
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
        msg = f"x holds numbers that {dtype} cannot hold; declare another dtype"
        raise ShapeError(msg)
    return np.array(numbers, native)
