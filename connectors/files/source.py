"""Data files as a source: one chunk in memory at a time, as often as it is asked for."""

import hashlib
import os
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from echo_stream._common.typing import Array, IntArray
from echo_stream.config import TextLimits
from echo_stream.connectors.files.errors import naming
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.errors import DataError, SourceError
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Batch, Skipped, refuse_other_source
from echo_stream.samples.validation import SampleSchema, as_samples, check_sizes

_CHUNK_BYTES = 2 * 1024**2
"""Bytes of x that are read together: enough to be quick. Arrow needs ten times as much."""


class Chunk(NamedTuple):
    """Consecutive rows of a file, not checked yet; None where it has no such column."""

    x: Array
    y: Array | None = None
    ids: Array | None = None
    payloads: Sequence[object] | None = None


class Reader(Protocol):
    """What is particular to one format. Nothing of a file stays open between calls."""

    @property
    def num_samples(self) -> int:
        """Return the number of rows, at least one."""

    @property
    def schema(self) -> SampleSchema:
        """Return shape and dtype of every sample."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the files of a folder, relative to it; none where DATA is one file."""

    @property
    def inputs(self) -> Inputs:
        """Return what is taken of the data, and what is left out."""

    @property
    def mapped(self) -> Array | None:
        """Return all of x where it is mapped from a file, else None."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, in order, at most max_rows at a time."""


class FileSource:
    """Read a data file as a stream, as often as needed.

    Every row is checked as `as_samples` does, when it is read; messages name the file
    and the row. Memory holds one chunk, whatever the size of the file.

    Parameters
    ----------
    path : Path
        What messages call the file, and `describe` looks at.
    reader : Reader
    chunk_rows : int, optional
        Rows that are read together. By default `_CHUNK_BYTES` of them.
    limits : TextLimits, optional
        Of ids, labels and payloads. By default any length.

    Attributes
    ----------
    num_samples : int
    schema : SampleSchema

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from echo_stream.connectors.files.data_files import file_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "data.npz"), x=np.eye(3), y=["a", "b", "c"])
    ...     source = file_source(Path(folder, "data.npz"))
    ...     first = source.next_batch(2).samples
    ...     rest = source.next_batch(2).samples
    >>> source.num_samples, first.ids, rest.labels, source.is_exhausted
    (3, array([0, 1]), array(['c'], dtype='<U1'), True)
    """

    def __init__(
        self,
        path: Path,
        reader: Reader,
        *,
        chunk_rows: int | None = None,
        limits: TextLimits | None = None,
    ) -> None:
        self._path = path
        self._reader = reader
        self._limits = limits
        self.num_samples = reader.num_samples
        self.schema = reader.schema
        rows = chunk_rows or _CHUNK_BYTES // self.schema.size_bytes
        self._chunk_rows = min(max(rows, 1), self.num_samples)
        self._row = 0
        self._chunks: Generator[Chunk, None, None] | None = None
        self._unread: Samples | None = None  # of the current chunk, from the row on

    @property
    def name(self) -> str:
        """Return the path as it was given."""
        return str(self._path)

    @property
    def inputs(self) -> Inputs:
        """Return what is taken of the data, and what is left out."""
        return self._reader.inputs

    @property
    def is_exhausted(self) -> bool:
        """Return whether all rows have been handed out."""
        return self._row >= self.num_samples

    @property
    def has_fixed_start(self) -> bool:
        """Return True: there is one first row."""
        return True

    def next_batch(self, max_samples: int) -> Batch:
        """Return the next rows, at most max_samples and never beyond a chunk.

        Raises
        ------
        DataError
            A row that cannot be used, or a file that is damaged or has changed.
        SourceError
            The file is gone, or may not be read any more.
        """
        if self.is_exhausted:
            return Batch(None)
        if not self._unread:
            self._unread = self._read_chunk()
        samples, self._unread = self._unread[:max_samples], self._unread[max_samples:]
        self._row += len(samples)
        return Batch(samples)

    def offsets(self) -> dict[str, int]:
        """Return the number of the next row."""
        return {"row": self._row}

    def seek(self, offsets: Mapping[str, int]) -> Skipped:
        """Continue with the row of earlier offsets; row 0 begins a new pass.

        Raises
        ------
        SourceError
            The samples do not reach that row.
        """
        row = offsets["row"]
        if not 0 <= row <= self.num_samples:
            msg = f"{self.name} has {self.num_samples} samples; cannot resume at row {row}"
            raise SourceError(msg)
        self.close()
        self._row = row
        return Skipped()

    def rewind(self) -> None:
        """Go back to the first row."""
        self.seek({"row": 0})

    def x_of(self, rows: IntArray | None) -> Array:
        """Return x of some rows, ascending, or of all, having read and checked them.

        All of them are mapped from the file, or from an unnamed temporary copy, which
        goes when nothing refers to it. Begins and ends at the first row.
        """
        if rows is None and self._reader.mapped is not None:
            self.check()
            return self._reader.mapped
        wanted = np.arange(self.num_samples) if rows is None else rows
        with naming(self._path), tempfile.TemporaryFile() as copy:
            self.rewind()
            for samples in self.batches():
                first = self._row - len(samples)
                here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, self._row)]
                copy.write(np.ascontiguousarray(samples.x[here - first]).data)
            self.rewind()
            copy.flush()
            shape = (len(wanted), *self.schema.shape)
            return np.memmap(copy, self.schema.dtype, "r", shape=shape)

    def batches(self) -> Iterator[Samples]:
        """Yield the rows that are left, chunk by chunk."""
        while (samples := self.next_batch(self._chunk_rows).samples) is not None:
            yield samples

    def check(self) -> None:
        """Read everything once and begin again, to find now what could not be read later."""
        self.rewind()
        for _ in self.batches():
            pass
        self.rewind()

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Do nothing: files keep no offsets."""

    def expect(self, schema: SampleSchema) -> None:
        """Raise ShapeError unless the samples have the schema."""
        schema.check_schema(self.schema)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the data: its SHA-256, so that one that was edited differs.

        Of a folder it is that of the names in it, relative to it, and their contents.
        """
        return {
            "kind": "folder" if self._reader.names else "file",
            "path": str(self._path.resolve()),
            "sha256": self._checksum,
            "n": self.num_samples,
        }

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless the data are described so; they may have been moved."""
        refuse_other_source(description, self.describe())

    def close(self) -> None:
        """Close files; the next batch opens them again."""
        if self._chunks is not None:
            self._chunks.close()
        self._chunks = self._unread = None

    @cached_property
    def _checksum(self) -> str:
        with naming(self._path):
            if not self._reader.names:
                return _digest(self._path)
            whole = hashlib.sha256()
            for name in self._reader.names:
                whole.update(os.fsencode(f"{_digest(self._path / name)} {name}\0"))
            return whole.hexdigest()

    def _read_chunk(self) -> Samples:
        """Return the next chunk, checked; after an error it can be asked for again."""
        try:
            with naming(self._path):
                if self._chunks is None:
                    self._chunks = self._reader.chunks(self._row, self._chunk_rows)
                chunk = next(self._chunks, None)
                if chunk is None:
                    msg = f"ends at row {self._row} of {self.num_samples}; it has changed"
                    raise DataError(msg)
                samples = as_samples(*chunk, first_row=self._row, row_in_messages=self._row)
                self.schema.check(samples.x)
                if self._limits is not None:
                    check_sizes(samples, self._limits, first_row=self._row)
                return samples
        except BaseException:
            self.close()
            raise


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
