"""Arrays out of untrusted bytes: `.npy`, and raw values in C order."""

import re
from functools import lru_cache

from echo_stream._common.typing import Array
from echo_stream.connectors.files.layouts import Layout, array_layout, as_array, shape_in
from echo_stream.errors import DataError, ShapeError


def read_raw(value: bytes, layout: Layout, max_elements: int) -> Array:
    """Return the array whose elements are the whole value.

    Parameters
    ----------
    value : bytes
    layout : Layout
        As `raw_layout` reads it from headers or a configuration.
    max_elements : int

    Returns
    -------
    ndarray
        In native byte order; a read-only view of the value where it is already.

    Raises
    ------
    ShapeError
        The value is of another size.
    DataError
        It has too many elements.
    """
    if layout.size != len(value):
        msg = f"{layout.words()} has {layout.size} bytes; got {len(value)}"
        raise ShapeError(msg)
    return as_array(value, layout, 0, max_elements)


NPY_MAGIC = b"\x93NUMPY"
"""How a `.npy` file begins."""

_MAX_HEADER = 10_000  # bytes; numpy's own limit
_FIELDS = (
    re.compile(rb"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]"""),
    re.compile(rb"""['"]shape['"]\s*:\s*\(([0-9,\sL]*)\)"""),
    re.compile(rb"""['"]fortran_order['"]\s*:\s*(True|False)"""),
)


def read_npy(value: bytes, max_elements: int) -> Array:
    """Return the array of a `.npy` file, version 1 to 3.

    Parameters
    ----------
    value : bytes
    max_elements : int

    Returns
    -------
    ndarray
        In native byte order; a read-only view of the value where it is already.

    Raises
    ------
    ShapeError
        The array cannot be a sample.
    DataError
        The value is damaged, no array of numbers, or of too many elements.
    """
    header = header_of(value)
    layout = npy_layout(header)
    if layout.size != len(value) - len(header):
        given = len(value) - len(header)
        msg = f"damaged .npy: {layout.words()} has {layout.size} bytes; got {given}"
        raise DataError(msg)
    return as_array(value, layout, len(header), max_elements)


def header_of(value: bytes) -> bytes:
    """Return all that comes before the elements. O(header).

    Raises
    ------
    DataError
        The value does not begin as a `.npy` does.
    """
    version, length_end = value[6:8], 10 if value[6:7] == b"\1" else 12
    if not value.startswith(NPY_MAGIC) or version not in (b"\1\0", b"\2\0", b"\3\0"):
        msg = "value does not begin like .npy of version 1, 2 or 3"
        raise DataError(msg)
    start = length_end + int.from_bytes(value[8:length_end], "little")
    if start > min(_MAX_HEADER, len(value)):
        msg = f".npy header of {start} bytes in {len(value)} is truncated or too large"
        raise DataError(msg)
    return value[:start]


@lru_cache(maxsize=256)
def npy_layout(header: bytes) -> Layout:
    """Return the layout that a header declares; each distinct header is read once.

    The header is matched, not evaluated as Python, which is what numpy does: one
    array of plain numbers needs three fields and nothing else.

    Raises
    ------
    ShapeError, DataError
        It declares no array of numbers, or one that cannot be a sample.
    """
    found = [pattern.search(header) for pattern in _FIELDS]
    descr, shape, fortran = (match and match[1].decode("latin-1") for match in found)
    if descr is None or shape is None or fortran is None:
        msg = ".npy header does not describe one array of numbers"
        raise DataError(msg)
    # Python 2 wrote 28L.
    axes = shape_in(shape.replace("L", ""))
    return array_layout(descr, axes, "F" if fortran == "True" else "C")
