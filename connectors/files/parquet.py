"""Parquet, a file or a folder of parts, read batch by batch within its row groups."""

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from echo_stream.connectors.files.columns import (
    ColumnNames,
    Columns,
    find_columns,
    ids_of,
    labels_of,
    payloads_of,
    x_of,
)
from echo_stream.connectors.files.errors import check_not_empty, naming
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.files.source import Chunk
from echo_stream.errors import DataError
from echo_stream.samples.validation import SampleSchema

# Without a buffer Arrow reads a column of a row group, which may be the file, at once.
_BUFFER_BYTES = 64 * 1024  # per column


class _Part(NamedTuple):
    """A file of the data set, and the rows of its row groups."""

    path: Path
    group_rows: tuple[int, ...]


class ParquetReader:
    """Read x, label and id from Parquet.

    Parameters
    ----------
    path : Path
        A file, or a folder whose ``*.parquet`` files, in the order of their names, are one
        data set. Names that begin with ``_`` or ``.`` are skipped, as Spark does.

    names : ColumnNames

    Raises
    ------
    DataError
        There is no x, or the parts disagree. What Arrow raises of a damaged file goes
        through.
    """

    def __init__(self, path: Path, names: ColumnNames) -> None:
        is_folder = path.is_dir()
        files = parts_in(path) if is_folder else [path]
        self.names = tuple(file.name for file in files) if is_folder else ()
        self._columns, self._parts = self._look_into(files, names)
        self.num_samples = sum(sum(part.group_rows) for part in self._parts)
        check_not_empty(self.num_samples)
        self._shape: tuple[int, ...] | None = None
        self.schema = SampleSchema.of(next(self.chunks(0, 1)).x)
        self._shape = self.schema.shape

    @property
    def inputs(self) -> Inputs:
        """Return which columns are read; others are left out."""
        return self._columns.inputs

    @property
    def mapped(self) -> None:
        """Return None: x is read when it is asked for."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, at most max_rows at a time."""
        first = 0
        for part in self._parts:
            n = sum(part.group_rows)
            if start < first + n:
                with self._naming(part.path):
                    yield from self._part_chunks(part, first, max(0, start - first), max_rows)
            first += n

    def _part_chunks(
        self, part: _Part, first: int, start: int, max_rows: int
    ) -> Generator[Chunk, None, None]:
        """Yield the rows of a part from start on; its row 0 is the data set's row first."""
        groups, row = _groups_from(part.group_rows, start)
        with _open(part.path) as file:
            for batch in file.iter_batches(max_rows, row_groups=groups, columns=self._columns.all):
                rows = batch.slice(max(0, start - row))
                row += len(batch)
                if len(rows):
                    yield self._chunk(rows, first + row - len(rows))

    def _chunk(self, batch: pa.RecordBatch, row: int) -> Chunk:
        """Return a batch, whose first row has the given number, as arrays."""
        columns, payloads = self._columns, None
        if columns.payload is not None:
            payloads = payloads_of(batch.column(columns.payload), columns.payload, row)
        return Chunk(
            x=x_of(batch, columns, row, self._shape),
            y=None if columns.label is None else labels_of(batch.column(columns.label)),
            ids=None if columns.id is None else ids_of(batch.column(columns.id), columns.id, row),
            payloads=payloads,
        )

    def _look_into(self, files: list[Path], names: ColumnNames) -> tuple[Columns, list[_Part]]:
        """Return the columns, which all parts must share, and the parts."""
        parts, found = [], None
        for path in files:
            with self._naming(path), _open(path) as file:
                columns = find_columns(file.schema_arrow, names)
                found = found or columns
                if columns != found:
                    msg = f"has {columns.words()}, but {files[0].name} has {found.words()}"
                    raise DataError(msg)
                groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
                parts.append(_Part(path, tuple(group.num_rows for group in groups)))
        assert found is not None
        return found, parts

    def _naming(self, path: Path) -> AbstractContextManager[None]:
        """Return what names a part in errors; a file alone is named by the source."""
        return naming(path.name) if self.names else nullcontext()


def parts_in(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder that are one data set, in order of name."""
    return sorted(path for path in folder.glob("*.parquet") if path.name[0] not in "._")


def _open(path: Path) -> pq.ParquetFile:
    """Open a file so that neither it nor a row group is read whole."""
    return pq.ParquetFile(
        path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
    )


def _groups_from(group_rows: tuple[int, ...], start: int) -> tuple[list[int], int]:
    """Return the row groups that reach beyond row start, and their first row."""
    row = 0
    for group, n in enumerate(group_rows):
        if start < row + n:
            return list(range(group, len(group_rows))), row
        row += n
    return [], row
