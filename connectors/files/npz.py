"""`.npz` archives: x is decompressed chunk by chunk, what belongs to it is small."""

import shutil
import tempfile
import zipfile
from collections.abc import Generator
from pathlib import Path

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.files.errors import check_not_empty
from echo_stream.connectors.files.inputs import LABELS, Inputs, label_among
from echo_stream.connectors.files.npy import Header, read_header
from echo_stream.connectors.files.source import Chunk
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.validation import SampleSchema, as_samples, check_layout

_COLUMNS = (*LABELS, "id", "y_known")  # beside x
_MAX_TEXT = 4_096  # characters of a label or id: a few bytes, compressed, can stand for any number


class NpzReader:
    """Stream x of an archive; y or label, id and y_known are read whole, other arrays not at all.

    Headers are compared before anything else is read.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        It cannot hold samples. What zipfile and numpy raise of a damaged file goes through.

    Notes
    -----
    The rows of a Fortran-ordered x lie scattered over all of it. It is copied once to a
    temporary file, without a name, and mapped from there.
    """

    names: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            names = _names_in(archive)
            self._others = [name for name in names if name not in ("x", *_COLUMNS)]
            self._label = label_among(names, "arrays")
            self._header = _x_header(archive)
            n = self._header.shape[0]
            columns = {name: _read_column(archive, name, n) for name in _COLUMNS if name in names}
            self._mapped = _spool(archive, self._header) if self._header.is_fortran else None
        shape, _, dtype = self._header
        self.num_samples = shape[0]
        self.schema = SampleSchema(shape[1:], dtype.newbyteorder("=").name)
        self._labels, self._ids = _check_columns(columns, self._label, self.num_samples)

    @property
    def inputs(self) -> Inputs:
        """Return which arrays are read; others are left out."""
        return Inputs(
            "array x",
            None if self._label is None else f"array {self._label}",
            None if self._ids is None else "array id",
            ignored=dict.fromkeys(self._others, "array"),
        )

    @property
    def mapped(self) -> None:
        """Return None: x is read when it is asked for."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, at most max_rows at a time.

        O(start) to get there where the archive is compressed.
        """
        for row, x in self._x_chunks(start, max_rows):
            rows = slice(row, row + len(x))
            yield Chunk(x, _some(self._labels, rows), _some(self._ids, rows))

    def _x_chunks(self, start: int, max_rows: int) -> Generator[tuple[int, Array], None, None]:
        """Yield the number of a chunk's first row, and its x."""
        if self._mapped is not None:
            for row in range(start, self.num_samples, max_rows):
                yield row, self._mapped[row : row + max_rows]
            return
        shape, _, dtype = self._header
        row_bytes = self._header.size_bytes // self.num_samples
        with zipfile.ZipFile(self._path) as archive, archive.open("x.npy") as file:
            if read_header(file, "x") != self._header:
                msg = "x has changed its shape or dtype since it was opened; start again"
                raise DataError(msg)
            file.seek(start * row_bytes, 1)
            for row in range(start, self.num_samples, max_rows):
                values = file.read(min(max_rows, self.num_samples - row) * row_bytes)
                yield row, np.frombuffer(values, dtype).reshape(-1, *shape[1:])


def _names_in(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays, of which x has to be one."""
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if "x" not in names:
        shown = (name.encode("unicode_escape").decode() for name in names)  # in one line
        msg = f"no array x in it; it has {', '.join(shown) or 'none'}"
        raise DataError(msg)
    return names


def _x_header(archive: zipfile.ZipFile) -> Header:
    """Return the header of x, after checking that the archive holds as much as it claims."""
    header = _header_of(archive, "x")
    check_layout(header.shape, header.dtype)
    check_not_empty(header.shape[0])
    return header


def _read_column(archive: zipfile.ZipFile, name: str, n: int) -> Array:
    """Return an array that belongs to x, having checked that it has a value for each sample."""
    header = _header_of(archive, name)
    if header.shape != (n,):
        given = f"{header.shape[0]} values" if len(header.shape) == 1 else f"shape {header.shape}"
        msg = f"{name} has {given} for {n} samples; pass one for each"
        raise ShapeError(msg)
    if header.dtype.kind in "US" and header.dtype.itemsize > 4 * _MAX_TEXT:
        msg = f"{name} has dtype {header.dtype}; use text of at most {_MAX_TEXT} characters"
        raise DataError(msg)
    with archive.open(f"{name}.npy") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header_of(archive: zipfile.ZipFile, name: str) -> Header:
    """Return the header of an array, of which as much is there as it claims."""
    with archive.open(f"{name}.npy") as file:
        header = read_header(file, name)
        size = archive.getinfo(f"{name}.npy").file_size - file.tell()
    if size != header.size_bytes:
        msg = f"{name} is damaged: its values take {header.size_bytes} bytes and {size} are there"
        raise DataError(msg)
    return header


def _check_columns(
    columns: dict[str, Array], label: str | None, n: int
) -> tuple[Array | None, Array | None]:
    """Return labels and ids of all rows, or None, before the first one is used."""
    labels, ids = _labels(columns, label), columns.get("id")
    if labels is None and ids is None:
        return None, None
    whole = as_samples(np.broadcast_to(np.uint8(0), (n, 1)), labels, ids)
    return whole.labels, None if ids is None else whole.ids


def _some(column: Array | None, rows: slice) -> Array | None:
    return None if column is None else column[rows]


def _labels(columns: dict[str, Array], label: str | None) -> Array | None:
    """Return the labels, with None where y_known says that a label is unknown."""
    if label is None:
        return None
    y, known = columns[label], columns.get("y_known")
    if known is None:
        return y
    if known.dtype != bool:
        msg = f"y_known has dtype {known.dtype}; give a boolean for each {label}"
        raise DataError(msg)
    labels = y.astype(object)
    labels[~known] = None
    return labels


def _spool(archive: zipfile.ZipFile, header: Header) -> Array:
    """Return x mapped from a temporary copy, which goes when nothing refers to it."""
    with tempfile.TemporaryFile() as copy, archive.open("x.npy") as file:
        read_header(file, "x")
        shutil.copyfileobj(file, copy)
        copy.flush()
        return np.memmap(copy, header.dtype, "r", shape=header.shape, order="F")
