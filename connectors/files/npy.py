"""`.npy` files: x alone, mapped from the file."""

import math
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.files.errors import check_not_empty
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.files.source import Chunk
from echo_stream.errors import DataError
from echo_stream.samples.validation import SampleSchema, check_layout


class NpyReader:
    """Hand out views of a mapped array; the operating system reads what is looked at.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        It cannot hold samples. What numpy raises of a damaged file goes through.
    """

    names: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            read_header(file, "x")
        self._x = np.lib.format.open_memmap(path, mode="r")
        check_layout(self._x.shape, self._x.dtype)
        check_not_empty(len(self._x))
        self.num_samples = len(self._x)
        self.schema = SampleSchema.of(self._x)

    @property
    def inputs(self) -> Inputs:
        """Return that the array is x."""
        return Inputs("the array")

    @property
    def mapped(self) -> Array:
        """Return x."""
        return self._x

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, at most max_rows at a time. O(1) each."""
        for row in range(start, self.num_samples, max_rows):
            yield Chunk(self._x[row : row + max_rows])


class Header(NamedTuple):
    """What the header of a `.npy` says about its array."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the array's values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], name: str) -> Header:
    """Read the header at the start of a `.npy`; the file is then at the array's values.

    Raises
    ------
    DataError
        It holds pickles, or no array that could be.
    """
    first = np.lib.format.read_magic(file) == (1, 0)
    # Version 3 differs from 2 in the encoding of field names only.
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    header = Header(*read(file))
    if header.dtype.hasobject:
        msg = f"{name} holds Python objects, which are never loaded; save numbers or text"
        raise DataError(msg)
    if min(header.shape, default=0) < 0:
        msg = f"{name} has the impossible shape {header.shape}; write it again"
        raise DataError(msg)
    return header
