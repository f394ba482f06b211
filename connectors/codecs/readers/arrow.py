"""Arrow IPC, stream or file: many samples in one message, in the columns of our Parquet.

Arrow trusts what it reads: it gets messages in the only right order, whose buffers lie within
their bodies and are of bounded size once they are uncompressed. Only columns of plain types
are taken, and a batch is validated before it is looked at.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from echo_stream.connectors.codecs.batches import as_decoded, check_size
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.messages import Decoded, DecodeError, decode_errors
from echo_stream.connectors.codecs.readers.arrow_metadata import verified_size
from echo_stream.connectors.files.columns import (
    ColumnNames,
    Columns,
    find_columns,
    ids_of,
    labels_of,
    payloads_of,
    x_of,
)
from echo_stream.errors import ShapeError

FILE_MAGIC = b"ARROW1\0\0"
"""How an Arrow file begins: a stream follows, and an index of it, which is not needed."""

STREAM_MAGIC = b"\xff\xff\xff\xff"
"""How a stream begins, and other values as well."""


def read_arrow(value: bytes, config: CodecConfig) -> Decoded:
    """Return the samples of an Arrow stream or file.

    Parameters
    ----------
    value : bytes
        With the columns that `find_columns` looks for.
    config : CodecConfig
        Compressed buffers count with their uncompressed size.

    Returns
    -------
    Decoded
        Of at least one sample; values need not be finite.

    Raises
    ------
    DecodeError
        It is damaged or over a limit.
    DataError
        Its columns or a row are not those of samples; the message names them.

    References
    ----------
    Apache Arrow columnar format 1.5, "Serialization and interprocess communication".
    """
    with decode_errors("Arrow"):
        batch, columns = _read_batch(value, config)
        x = np.ascontiguousarray(x_of(batch, columns, 0, None))
        labels = None if columns.label is None else labels_of(batch.column(columns.label))
        ids = None if columns.id is None else ids_of(batch.column(columns.id), columns.id, 0)
        name = columns.payload
        payloads = None if name is None else payloads_of(batch.column(name), name, 0)
    decoded = as_decoded(x, ids, labels, config)
    return decoded._replace(ignored=tuple(columns.ignored), payloads=payloads)


def _read_batch(value: bytes, config: CodecConfig) -> tuple[pa.RecordBatch, Columns]:
    """Return all rows, valid and of an allowed number, and which columns are what."""
    schema, *batches = _read_messages(value, config)
    columns = find_columns(
        schema,
        ColumnNames(config.vector_field, config.payload_field, config.label_field, config.id_field),
    )
    _check_types(schema, columns)
    num_rows = sum(map(len, batches))
    if not num_rows:
        msg = "Arrow without rows; send at least one sample"
        raise DecodeError(msg)
    check_size(num_rows * len(columns.x), config)
    taken = [batch.select(columns.all) for batch in batches]
    for batch in taken:
        batch.validate(full=True)
    (whole,) = pa.Table.from_batches(taken).combine_chunks().to_batches()
    return whole, columns


def _read_messages(value: bytes, config: CodecConfig) -> Iterator[pa.Schema | pa.RecordBatch]:
    """Yield the schema and each record batch, none of it looked at."""
    start = len(FILE_MAGIC) if value.startswith(FILE_MAGIC) else 0
    messages = ipc.MessageReader.open_stream(pa.py_buffer(value).slice(start))
    first = messages.read_next_message()
    if first.type != "schema":  # Arrow would read it as one, and beyond its end
        msg = f"Arrow begins with a {first.type}; send its schema first"
        raise DecodeError(msg)
    schema = ipc.read_schema(first)
    yield schema
    size = 0
    for message in messages:
        if message.type != "record batch":
            msg = f"Arrow holds a {message.type}; send columns of plain values"
            raise DecodeError(msg)
        if message.metadata_version != ipc.MetadataVersion.V5:
            # Those before may be compressed without saying so where it is looked for.
            msg = "Arrow is of a version before 1.0; send metadata of version 5"
            raise DecodeError(msg)
        size += verified_size(message.metadata.to_pybytes(), message.body)
        if size > config.max_message_bytes:
            msg = (
                f"Arrow has over {config.max_message_bytes} bytes uncompressed, which is the limit"
            )
            raise DecodeError(msg)
        yield ipc.read_record_batch(message, schema)


def _check_types(schema: pa.Schema, columns: Columns) -> None:
    """Refuse labels, ids and payloads of types that can stand for more bytes than there are."""
    for name in (columns.label, columns.id, columns.payload):
        if name is None:
            continue
        kind = schema.field(name).type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if name == columns.payload:
            is_text = is_text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        if not (is_text or pa.types.is_primitive(kind) or pa.types.is_null(kind)):
            msg = f"column {name} is of type {kind}; send numbers or text"
            raise ShapeError(msg)
