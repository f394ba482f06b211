"""Which samples of a snapshot to label next, as a table."""

from pathlib import Path

import pyarrow as pa

from echo_stream.connectors.storage.snapshot_files import (
    label_column,
    origin_columns,
    payload_columns,
    read_snapshot,
)
from echo_stream.training.suggesting import suggest_labels


def suggested_table(unit: Path, count: int) -> pa.Table:
    """Return the samples of a snapshot to label next, the most useful first.

    Parameters
    ----------
    unit : Path
        The snapshot.
    count : int
        How many, at least 1.

    Returns
    -------
    Table
        Columns `rank` (from 1), `id`, `likely` (the label that the known ones suggest, null where
        none arrives), `confidence` in it, `gain`, `payload` (where samples have one), `topic`,
        `partition`, `offset` and `timestamp`. See `suggest_labels` for what they mean.

    Raises
    ------
    ConfigError
        If count is below 1.
    SnapshotError
        If there is no such snapshot, or it is damaged.
    """
    found = suggest_labels(read_snapshot(unit), count)
    columns = {
        "rank": pa.array(range(1, len(found) + 1), pa.int32()),
        "id": pa.array([str(one) for one in found.samples.ids.tolist()], pa.string()),
        "likely": label_column(found.labels.tolist()),
        "confidence": pa.array(found.confidence, pa.float64()),
        "gain": pa.array(found.gains, pa.float64()),
        **payload_columns(found.samples),
        **origin_columns(found.samples),
    }
    return pa.table(columns)
