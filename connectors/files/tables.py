"""Tables in text or Feather, and those with payloads that an encoder makes vectors of."""

import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as pds

from echo_stream._common.typing import Array
from echo_stream.connectors.files.columns import (
    ColumnNames,
    Columns,
    find_columns,
    find_encoded,
    ids_of,
    labels_of,
    payloads_of,
    x_of,
)
from echo_stream.connectors.files.errors import check_not_empty
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.files.source import Chunk
from echo_stream.encoders.encoder import Encoder, encode
from echo_stream.samples.validation import SampleSchema

FORMATS = {
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
}
_COMPRESSED = (".gz", ".zst", ".bz2")
_READ_ROWS = 16_384  # at most at a time: of wide tables some hundred megabytes
ENCODED_ROWS = 256  # that are read and encoded together: some seconds of a text model on a CPU


@dataclass(frozen=True, slots=True)
class FileColumns:
    """Which columns of a table are what, and the encoder of the payloads, if one makes vectors.

    Attributes
    ----------
    names : ColumnNames
        With an encoder the payload is one of them, and vector is not looked at.
    encoder : Encoder or None
    """

    names: ColumnNames = field(default_factory=ColumnNames)
    encoder: Encoder | None = None


class TableReader:
    """Read CSV, JSON lines, Feather, or with an encoder Parquet, and encode payloads.

    Each payload is encoded once, however often it is read: vectors are kept in an unnamed
    temporary file, 4 D bytes each.

    Parameters
    ----------
    path : Path
        A file, which may be compressed (.gz, .zst or .bz2), or a folder of .parquet files.
    columns : FileColumns

    Raises
    ------
    DataError
        If a column that was named is not there, or there are none of numbers. What Arrow raises
        of a damaged file goes through.
    """

    def __init__(self, path: Path, columns: FileColumns) -> None:
        format = "parquet" if path.is_dir() else FORMATS[_suffix(path)]
        given = _csv_of_text(columns.names) if format == "csv" else format
        self._data = pds.dataset(path, format=given)
        self._columns = _found(self._data.schema, columns)
        files = sorted(Path(name) for name in self._data.files)
        self.names = tuple(str(file.relative_to(path)) for file in files) if path.is_dir() else ()
        self.num_samples = self._data.count_rows()
        check_not_empty(self.num_samples)
        self._encoder = columns.encoder
        if self._encoder is None:
            self.schema = SampleSchema.of(next(self.chunks(0, 1)).x)
            return
        self.schema = SampleSchema((self._encoder.dim,), "float32")
        # The file goes with the last reference to it.
        with tempfile.TemporaryFile() as file:
            shape = (self.num_samples, self._encoder.dim)
            self._vectors = np.memmap(file, np.float32, "w+", shape=shape)
        self._num_encoded = 0

    @property
    def inputs(self) -> Inputs:
        """Return which columns are read, and which are ignored."""
        inputs = self._columns.inputs
        if self._encoder is not None:
            by = self._encoder.identity
            inputs.features = f"the vector of column {self._columns.payload} by {by}"
        return inputs

    @property
    def mapped(self) -> None:
        """Return None: x is made when it is asked for."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, at most max_rows at a time; those before are skipped."""
        row = 0
        size = min(max_rows, _READ_ROWS)
        for batch in self._data.to_batches(columns=self._columns.all, batch_size=size):
            rows = batch.slice(max(0, start - row))
            row += len(batch)
            for first in range(0, len(rows), size):
                part = rows.slice(first, size)
                yield self._chunk(part, row - len(rows) + first)

    def _chunk(self, batch: pa.RecordBatch, row: int) -> Chunk:
        """Return some rows, the first of which has the given number."""
        columns, payloads = self._columns, None
        if columns.payload is not None:
            payloads = payloads_of(batch.column(columns.payload), columns.payload, row)
        if self._encoder is None:
            shape = None if row == 0 else self.schema.shape
            x = x_of(batch, columns, row, shape)
        else:
            assert payloads is not None
            x = self._encoded(self._encoder, payloads, row)
        return Chunk(
            x=x,
            y=None if columns.label is None else labels_of(batch.column(columns.label)),
            ids=None if columns.id is None else ids_of(batch.column(columns.id), columns.id, row),
            payloads=payloads,
        )

    def _encoded(self, encoder: Encoder, payloads: list[str | bytes], row: int) -> Array:
        """Return the vectors of consecutive rows; only rows not seen before are encoded."""
        end = row + len(payloads)
        if end > self._num_encoded:
            first = max(row, self._num_encoded)
            vectors = encode(encoder, payloads[first - row :])
            self._vectors[first:end] = vectors
            if first == self._num_encoded:
                self._num_encoded = end
        return np.array(self._vectors[row:end])


def is_table(path: Path) -> bool:
    """Return whether the suffix is that of a table that this module reads."""
    return _suffix(path) in FORMATS


def _found(schema: pa.Schema, columns: FileColumns) -> Columns:
    """Return which columns are read; with an encoder no vectors, and no features."""
    if columns.encoder is None:
        return find_columns(schema, columns.names)
    return find_encoded(schema, columns.names)


def _suffix(path: Path) -> str:
    """Return the suffix of a file without that of its compression."""
    name = path.name.lower()
    for compression in _COMPRESSED:
        name = name.removesuffix(compression)
    return Path(name).suffix


def _csv_of_text(names: ColumnNames) -> pds.CsvFileFormat:
    """Return how CSV is read: payloads and ids are text, also where they look like numbers."""
    texts = {names.id or "id": pa.string()}
    if names.payload is not None:
        texts[names.payload] = pa.string()
    return pds.CsvFileFormat(
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=texts),
    )
