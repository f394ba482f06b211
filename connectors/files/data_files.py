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
from echo_stream.connectors.files.source import FileSource, Reader
from echo_stream.connectors.files.tables import (
    ENCODED_ROWS,
    FORMATS,
    FileColumns,
    TableReader,
    is_table,
)
from echo_stream.errors import DataError, SourceError
from echo_stream.samples.samples import Samples

_READERS: dict[str, type[NpyReader | NpzReader]] = {".npz": NpzReader, ".npy": NpyReader}
SUFFIXES = tuple(dict.fromkeys((*_READERS, ".parquet", *FORMATS)))
"""Kinds of data files that are known, beside folders."""


def file_source(
    path: str | Path,
    *,
    chunk_rows: int | None = None,
    limits: TextLimits | None = None,
    columns: FileColumns | None = None,
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
        - `.csv`, `.jsonl` and `.feather`, compressed or not, with the same columns.
        - A folder of images, as `ImageReader` says.
    chunk_rows : int, optional
        Rows that are read together; by default so many that they take 2 MiB.
    limits : TextLimits, optional
        As `FileSource` takes it.
    columns : FileColumns, optional
        Which columns of a table are what, and an encoder; by default as above.

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
        columns = columns or FileColumns()
        reader = _reader(path, columns)
        most = chunk_rows if columns.encoder is None else ENCODED_ROWS
        return FileSource(path, reader, chunk_rows=most, limits=limits)


def read_file(path: str | Path, *, columns: FileColumns | None = None) -> Samples:
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


def _reader(path: Path, columns: FileColumns) -> Reader:
    """Return what reads a path, having refused what can be refused before opening it."""
    if not path.exists():
        msg = "no such file or folder"
        raise SourceError(msg)
    if path.is_file() and path.stat().st_size == 0:
        msg = "empty file (0 bytes); write it again"
        raise DataError(msg)
    is_parquet = bool(parts_in(path)) if path.is_dir() else path.suffix.lower() == ".parquet"
    if columns.encoder is not None and (is_parquet or is_table(path)):
        return TableReader(path, columns)
    if is_parquet:
        return ParquetReader(path, columns.names)
    if path.is_file() and is_table(path):
        return TableReader(path, columns)
    if columns != FileColumns():
        msg = "is no table, so it has no columns to be named or encoded; use .csv or .parquet, say"
        raise DataError(msg)
    if path.is_dir():
        return ImageReader(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        msg = (
            f"unknown kind of file {path.suffix!r}; supported are {', '.join(SUFFIXES)}, "
            "and folders of .parquet files or of images"
        )
        raise DataError(msg)
    return reader(path)
