"""Data files and folders, as a stream or whole.

Nothing in a file is trusted: no pickle is ever loaded, and whatever is wrong with
it ends in one line that names the file.
"""

import sys
from contextlib import closing
from pathlib import Path

from echo_stream.config import TextLimits
from echo_stream.connectors.files.errors import naming
from echo_stream.connectors.files.image_folders import ImageReader
from echo_stream.connectors.files.npy import NpyReader
from echo_stream.connectors.files.npz import NpzReader
from echo_stream.connectors.files.parquet import ParquetReader, parts_in
from echo_stream.connectors.files.payload_tables import (
    ENCODED_ROWS,
    PayloadColumns,
    PayloadTableReader,
)
from echo_stream.connectors.files.source import FileSource, Reader
from echo_stream.errors import DataError, SourceError
from echo_stream.samples.samples import Samples

_READERS: dict[str, type[NpyReader | NpzReader | ParquetReader]] = {
    ".npz": NpzReader,
    ".npy": NpyReader,
    ".parquet": ParquetReader,
}
SUFFIXES = tuple(_READERS)
"""Kinds of data files that are known, beside folders."""


def file_source(
    path: str | Path,
    *,
    chunk_rows: int | None = None,
    limits: TextLimits | None = None,
    columns: PayloadColumns | None = None,
) -> FileSource:
    """Return a source that reads a data file or folder in chunks.

    Parameters
    ----------
    path : str or Path
        - `.npz` with the array ``x`` of shape (n, ...) and, if there, ``label`` or ``y``, and
          ``id`` of shape (n,). Where ``y_known`` is False a label is unknown, as in an exported
          snapshot.
        - `.npy`, whose array is x.
        - `.parquet`, or a folder of such files, with a column x or one for each feature,
          as `find_columns` says.
        - A folder of images, as `ImageReader` says.
    chunk_rows : int, optional
        Rows that are read together; by default so many that they take 2 MiB.
    limits : TextLimits, optional
        As `FileSource` takes it.
    columns : PayloadColumns, optional
        Read a table of payloads instead: .csv, .jsonl, .parquet or .feather; see
        `PayloadTableReader`.

    Returns
    -------
    FileSource
        Of at least one sample. Ids are row numbers where the file has none.

    Raises
    ------
    SourceError
        The file is not there or may not be read.
    DataError
        It is damaged, of another kind, or cannot hold samples.
    """
    path = Path(path)
    with naming(path):
        reader = _reader(path, columns)
        most = chunk_rows if columns is None else ENCODED_ROWS
        return FileSource(path, reader, chunk_rows=most, limits=limits)


def read_file(path: str | Path, *, columns: PayloadColumns | None = None) -> Samples:
    """Read and check all samples of a data file or folder.

    Parameters
    ----------
    path, columns
        As `file_source` takes them.

    Returns
    -------
    Samples
        At least one. x of a `.npy` is mapped from the file, read-only, unless its byte
        order is foreign.

    Raises
    ------
    SourceError, DataError
        As from `file_source`, or a row cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "data.npz"), x=np.eye(3), y=["a", "b", "c"])
    ...     samples = read_file(Path(folder, "data.npz"))
    >>> samples.x.shape, samples.labels.tolist()
    ((3, 3), ['a', 'b', 'c'])
    """
    with closing(file_source(path, chunk_rows=sys.maxsize, columns=columns)) as source:
        parts = list(source.batches())
    with naming(source.name):
        return Samples.concatenate(parts)


def _reader(path: Path, columns: PayloadColumns | None) -> Reader:
    """Return what reads a path, having refused what can be refused before opening it."""
    if not path.exists():
        msg = "no such file or folder"
        raise SourceError(msg)
    if path.is_dir() and columns is None:
        return ParquetReader(path) if parts_in(path) else ImageReader(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and columns is None:
        msg = (
            f"unknown kind of file {path.suffix!r}; supported are {', '.join(SUFFIXES)}, "
            "folders of .parquet files or of images, and with an encoder tables of text"
        )
        raise DataError(msg)
    if path.is_file() and path.stat().st_size == 0:
        msg = "empty file (0 bytes); write it again"
        raise DataError(msg)
    if columns is not None:
        return PayloadTableReader(path, columns)
    assert reader is not None
    return reader(path)
