"""Samples as messages."""

import io
import json
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import assert_never

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from echo_stream._common.typing import Array, Label
from echo_stream.connectors.codecs.config import ARROW_STREAM, CONTENT_TYPES, SampleFormat
from echo_stream.connectors.codecs.fields import TEXT_LABEL, number_or_text
from echo_stream.errors import DataError
from echo_stream.samples.samples import Samples, label_of
from echo_stream.samples.validation import as_samples

_CONTENT_TYPES = {format: name for name, format in reversed(CONTENT_TYPES.items())}


def encode(
    x: Array, id: str | None, label: Label, format: SampleFormat
) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Return the key, value and headers of a message that holds one sample.

    Parameters
    ----------
    x : ndarray of at least one axis
    id : str or None
    label : int, float, str or None
        A header holds text: one more says so where text looks like a number. JSON, which
        has no label header, keeps types.
    format : {"npy", "raw", "json"}

    Raises
    ------
    DataError
        `decode` would refuse the message.

    Examples
    --------
    >>> from echo_stream.connectors.codecs import CodecConfig, decode
    >>> key, value, headers = encode(np.array([1.0, 2.5], np.float32), "7", 3, "json")
    >>> value, headers[0]
    (b'{"x": [1.0, 2.5], "id": "7", "label": 3}', ('content-type', b'application/json'))
    >>> decode(key, value, headers, CodecConfig()).x
    array([[1. , 2.5]], dtype=float32)
    """
    checked = as_samples(x[np.newaxis], [label], None if id is None else [id])
    sample, known = checked.x[0], label_of(label)
    headers = [("content-type", _CONTENT_TYPES[format])]
    if format != "npy":
        headers.append(("dtype", sample.dtype.str.encode()))
    if format == "raw":
        headers.append(("shape", ",".join(map(str, sample.shape)).encode()))
    if id is not None:
        headers.append(("id", id.encode()))
    if known is not None and format != "json":
        headers.append(("label", str(known).encode()))
        if isinstance(known, str) and number_or_text(known) != known:
            headers.append(TEXT_LABEL)
    return None if id is None else id.encode(), _write(sample, id, known, format), headers


def _write(x: Array, id: str | None, label: Label, format: SampleFormat) -> bytes:
    if format == "raw":
        return x.tobytes()
    if format == "npy":
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, x, allow_pickle=False)
        return buffer.getvalue()
    if format != "json":
        assert_never(format)
    numbers = x.astype(np.uint8) if x.dtype.kind == "b" else x
    try:
        return json.dumps(
            {"x": numbers.tolist(), "id": id, "label": label}, allow_nan=False
        ).encode()
    except ValueError as err:
        msg = f"label is {label}; use a finite number, text or None"
        raise DataError(msg) from err


def encode_batch(samples: Samples) -> Iterator[tuple[None, bytes, list[tuple[str, bytes]]]]:
    """Yield messages without a key that hold checked samples in their order.

    A column has one type: where labels change between text, integers and floats, the next
    message begins. Mostly there is one message.

    Examples
    --------
    >>> from echo_stream.connectors.codecs import CodecConfig, decode
    >>> from echo_stream.samples.validation import as_samples
    >>> batch = as_samples([[0.5], [1.5], [2.5]], y=["cat", None, 7], ids=["a", "b", "c"])
    >>> for message in encode_batch(batch):
    ...     decoded = decode(*message, CodecConfig())
    ...     print(decoded.x.ravel(), decoded.ids, decoded.labels)
    [0.5 1.5] ['a', 'b'] ['cat', None]
    [2.5] ['c'] [7]
    """
    column = [None] * len(samples) if samples.labels is None else samples.labels
    labels = list(map(label_of, column))
    for rows in _of_one_type(labels):
        yield None, _as_stream(samples[rows], labels[rows]), [("content-type", ARROW_STREAM)]


def _of_one_type(labels: Sequence[Label]) -> Iterator[slice]:
    """Yield runs of labels of one type; unknown ones go with any."""
    start = 0
    kind: type[object] = NoneType
    for row, label in enumerate(labels):
        its_kind = type(label)
        if NoneType not in (kind, its_kind) and its_kind is not kind:
            yield slice(start, row)
            start, kind = row, its_kind
        elif its_kind is not NoneType:
            kind = its_kind
    if labels:
        yield slice(start, len(labels))


def _as_stream(samples: Samples, labels: list[Label]) -> bytes:
    """Return samples as the columns x (binary, with its layout in the metadata), id and y."""
    x = np.ascontiguousarray(samples.x)
    columns = {
        "x": pa.array([row.tobytes() for row in x], pa.binary()),
        "id": pa.array(list(map(str, samples.ids.tolist())), pa.string()),
        "y": pa.array(labels),
    }
    layout = {"x_dtype": x.dtype.str, "x_shape": ",".join(map(str, x.shape[1:]))}
    table = pa.table(columns).replace_schema_metadata(layout)
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    value: bytes = sink.getvalue().to_pybytes()
    return value
