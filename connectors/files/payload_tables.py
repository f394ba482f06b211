"""Tables with a column of payloads, such as text, and an encoder that makes their vectors."""

import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as pds

from echo_stream._common.typing import Array
from echo_stream.connectors.files.errors import check_not_empty
from echo_stream.connectors.files.inputs import Inputs, label_among
from echo_stream.connectors.files.parquet_columns import ids_of, labels_of
from echo_stream.connectors.files.source import Chunk
from echo_stream.encoders.encoder import Encoder, encode
from echo_stream.errors import DataError
from echo_stream.samples.validation import SampleSchema

_FORMATS = {
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
}
_COMPRESSED = (".gz", ".zst", ".bz2")
ENCODED_ROWS = 256  # that are read and encoded together: some seconds of a text model on a CPU


@dataclass(frozen=True, slots=True)
class PayloadColumns:
    """Which columns of a table are what, and the encoder of the payloads.

    Attributes
    ----------
    encoder : Encoder
    payload : str
    label : str or None
        None: label or y, if there is one.
    id : str or None
        None: id, if there is one, else the number of the row.
    """

    encoder: Encoder
    payload: str
    label: str | None = None
    id: str | None = None


class PayloadTableReader:
    """Read payloads, labels and ids from CSV, JSON lines, Parquet or Feather, and encode them.

    Each row is encoded once, however often it is read: vectors are kept in an unnamed temporary
    file, 4 D bytes each.

    Parameters
    ----------
    path : Path
        A file, which may be compressed (.gz, .zst or .bz2), or a folder of .parquet files.
    columns : PayloadColumns

    Raises
    ------
    DataError
        If the kind of file is not known, or a column that was named is not there. What Arrow
        raises of a damaged file goes through.
    """

    def __init__(self, path: Path, columns: PayloadColumns) -> None:
        format = "parquet" if path.is_dir() else _FORMATS.get(_suffix(path))
        if format is None:
            known = ", ".join(_FORMATS)
            msg = f"unknown kind of file {path.suffix!r} for payloads; supported are {known}"
            raise DataError(msg)
        self._encoder, self._payload = columns.encoder, columns.payload
        self._data = pds.dataset(path, format=_csv_of_text(columns) if format == "csv" else format)
        names = self._data.schema.names
        for name in (columns.payload, columns.label, columns.id):
            if name is not None and name not in names:
                msg = f"has no column {name!r}; it has {', '.join(names) or 'none'}"
                raise DataError(msg)
        self._label = columns.label or label_among(names, "columns")
        self._id = columns.id or ("id" if "id" in names else None)
        files = sorted(Path(name) for name in self._data.files)
        self.names = tuple(str(file.relative_to(path)) for file in files) if path.is_dir() else ()
        self.num_samples = self._data.count_rows()
        check_not_empty(self.num_samples)
        self.schema = SampleSchema((self._encoder.dim,), "float32")
        # The file goes with the last reference to it.
        with tempfile.TemporaryFile() as file:
            shape = (self.num_samples, self._encoder.dim)
            self._vectors = np.memmap(file, np.float32, "w+", shape=shape)
        self._num_encoded = 0

    @property
    def inputs(self) -> Inputs:
        """Return which columns are read, and which are ignored."""
        own = {self._payload, self._label, self._id}
        return Inputs(
            f"the vector of column {self._payload} by {self._encoder.identity}",
            None if self._label is None else f"column {self._label}",
            None if self._id is None else f"column {self._id}",
            ignored={f.name: str(f.type) for f in self._data.schema if f.name not in own},
        )

    @property
    def mapped(self) -> None:
        """Return None: x is made when it is asked for."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all rows from start on, at most max_rows at a time; those before are skipped."""
        columns = [name for name in (self._payload, self._label, self._id) if name is not None]
        row = 0
        for batch in self._data.to_batches(columns=columns, batch_size=max_rows):
            rows = batch.slice(max(0, start - row))
            row += len(batch)
            for first in range(0, len(rows), max_rows):
                part = rows.slice(first, max_rows)
                yield self._chunk(part, row - len(rows) + first)

    def _chunk(self, batch: pa.RecordBatch, row: int) -> Chunk:
        """Return some rows, the first of which has the given number."""
        payloads = batch.column(self._payload).to_pylist()
        for place, payload in enumerate(payloads):
            if not isinstance(payload, (str, bytes)):
                kind = "null" if payload is None else f"of type {type(payload).__name__}"
                msg = (
                    f"the payload in column {self._payload}, row {row + place} is {kind}; "
                    "use text or bytes"
                )
                raise DataError(msg)
        return Chunk(
            x=self._encoded(payloads, row),
            y=None if self._label is None else labels_of(batch.column(self._label)),
            ids=None if self._id is None else ids_of(batch.column(self._id), self._id, row),
            payloads=payloads,
        )

    def _encoded(self, payloads: list[str | bytes], row: int) -> Array:
        """Return the vectors of consecutive rows; only rows not seen before are encoded."""
        end = row + len(payloads)
        if end > self._num_encoded:
            first = max(row, self._num_encoded)
            vectors = encode(self._encoder, payloads[first - row :])
            self._vectors[first:end] = vectors
            if first == self._num_encoded:
                self._num_encoded = end
        return np.array(self._vectors[row:end])


def _suffix(path: Path) -> str:
    """Return the suffix of a file without that of its compression."""
    name = path.name.lower()
    for compression in _COMPRESSED:
        name = name.removesuffix(compression)
    return Path(name).suffix


def _csv_of_text(columns: PayloadColumns) -> pds.CsvFileFormat:
    """Return how CSV is read: payloads and ids are text, also where they look like numbers."""
    texts = {columns.payload: pa.string(), columns.id or "id": pa.string()}
    return pds.CsvFileFormat(
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=texts),
    )
