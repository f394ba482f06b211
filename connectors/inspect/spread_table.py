"""The table `spread`: what the labels of a snapshot say of all samples that it has."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from echo_stream.connectors.storage.snapshot_files import label_column, read_snapshot
from echo_stream.connectors.storage.snapshots import snapshot_manifest
from echo_stream.training.spreading import spread_labels

_CACHED_SNAPSHOTS = 2  # whose tables stay in memory

COLUMNS = pa.schema(
    {
        "id": pa.string(),
        "role": pa.string(),
        "label": pa.string(),
        "confidence": pa.float64(),
        "is_given": pa.bool_(),
        "follows": pa.string(),
    }
)
"""Columns and types; labels are of the type that those of the snapshot have."""


def spread_table(unit: Path) -> pa.Table:
    """Return what the labels of a snapshot's samples are likely to be.

    Parameters
    ----------
    unit : Path
        The snapshot.

    Returns
    -------
    Table
        For each row, and each sample of the context: `id`, `role`, `label` (null where none
        arrives), `confidence`, `is_given`, and `follows`, the id of the labelled sample that the
        label comes from. Where no sample has a label, none arrives anywhere.

    Raises
    ------
    SnapshotError
        If there is no such snapshot, or it is damaged.

    Notes
    -----
    See `spread_labels` for the cost. The tables of the last snapshots stay in memory.
    """
    return _spread_table(unit.absolute(), json.dumps(snapshot_manifest(unit)["files"]))


@lru_cache(maxsize=_CACHED_SNAPSHOTS)
def _spread_table(unit: Path, _: str) -> pa.Table:
    """Return the table of a snapshot, by its folder and the checksums of its files."""
    snapshot = read_snapshot(unit)
    samples = snapshot.held()[0]
    ids = [str(one) for one in samples.ids.tolist()]
    are_given = samples.are_labelled
    labels, confidence = [None] * len(ids), np.zeros(len(ids))
    follows = np.full(len(ids), -1)
    if are_given.any():
        spread = spread_labels(snapshot)
        labels, confidence, follows = spread.labels.tolist(), spread.confidence, spread.follows
    arrays = {
        "id": ids,
        "role": [*snapshot.rows.roles.tolist(), *["context"] * (len(ids) - len(snapshot.rows))],
        "label": label_column(labels),
        "confidence": confidence,
        "is_given": are_given,
        "follows": pa.array([None if at < 0 else ids[at] for at in follows.tolist()], pa.string()),
    }
    return pa.table(arrays)
