"""Labels and payloads of samples as columns of Arrow, and payloads back."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from echo_stream._common.typing import Array, Label
from echo_stream.samples.validation import SampleSchema


def label_column(labels: Sequence[Label]) -> pa.Array:
    """Return labels as int64 if all are integers, float64 if all are numbers, else as text."""
    kinds = {type(label) for label in labels if label is not None}
    if kinds <= {int}:
        return pa.array(labels, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if y is None else float(y) for y in labels], pa.float64())
    return pa.array([None if y is None else str(y) for y in labels], pa.string())


def payload_column(x: Array) -> pa.Array:
    """Return samples of shape (n, ...) as the bytes of each."""
    return pa.array([np.ascontiguousarray(one).tobytes() for one in x], pa.binary())


def payloads(column: Sequence[bytes], schema: SampleSchema) -> Array:
    """Undo `payload_column`."""
    found = [np.frombuffer(x, schema.dtype).reshape(schema.shape) for x in column]
    return np.array(found, dtype=schema.dtype).reshape(-1, *schema.shape)


def with_schema(table: pa.Table, schema: SampleSchema) -> pa.Table:
    """Return a table that says in its metadata what the bytes of x are."""
    shape = ",".join(map(str, schema.shape))
    return table.replace_schema_metadata({"x_dtype": schema.dtype, "x_shape": shape})
