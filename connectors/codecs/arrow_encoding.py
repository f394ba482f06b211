"""Many samples as one message: an Arrow stream."""

from collections.abc import Iterator, Sequence
from types import NoneType

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from echo_stream._common.typing import Label
from echo_stream.connectors.codecs.config import ARROW_STREAM
from echo_stream.samples.samples import Samples, label_of


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
