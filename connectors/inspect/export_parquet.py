"""Snapshots as one Parquet file of plain columns, for other programs' data loaders."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echo_stream._common.typing import Array
from echo_stream.connectors.storage.snapshot_files import coreset_table
from echo_stream.connectors.storage.targets import new_file
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.samples.validation import SampleSchema


def export_parquet(snapshot: Snapshot, target: Path) -> Path:
    """Write the rows of a snapshot as a .parquet: x in lists as deep as a sample has axes.

    The other columns are those of `coreset.parquet`. `read_file` reads it back, and so do
    Hugging Face datasets, pandas, Polars and Spark.

    Raises
    ------
    ConfigError
        If target exists or is no .parquet.
    """
    schema = SampleSchema.from_json(snapshot.manifest["schema"])
    table = coreset_table(snapshot.rows, schema).replace_schema_metadata(None)
    place = table.column_names.index("x")
    table = table.set_column(place, "x", _nested(snapshot.rows.samples.x))
    with new_file(target, ".parquet") as file:
        pq.write_table(table, file, compression="zstd")
    return target


def _nested(x: Array) -> pa.Array:
    """Return samples of shape (n, ...) as lists of fixed lengths, one level an axis."""
    column = pa.array(np.ascontiguousarray(x).reshape(-1))
    for length in reversed(x.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column
