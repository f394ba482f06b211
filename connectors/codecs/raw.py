"""Raw values: the elements of one sample, in C order, and nothing else."""

from echo_stream._common.typing import Array
from echo_stream.connectors.files.layouts import Layout, as_array
from echo_stream.errors import ShapeError


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
