"""Snapshots in formats that other programs read."""

from pathlib import Path

import numpy as np

from echo_stream.connectors.targets import new_file
from echo_stream.snapshot import Snapshot
from echo_stream.typing import Array


def export_npz(snapshot: Snapshot, target: Path) -> Path:
    """Write x, y, id, role and weight of a snapshot's rows as a compressed .npz.

    `read_file` reads it back, so a coreset is a data set. y is left out where no label
    is known; where only some are, y_known says which.

    Raises
    ------
    ConfigError
        If target exists or is no .npz.
    """
    rows = snapshot.rows
    columns: dict[str, Array] = {
        "x": rows.samples.x,
        "id": np.array(rows.samples.ids.tolist(), dtype=str),
        "role": np.array(rows.roles.tolist(), dtype=str),
        "weight": rows.weights,
    }
    labels = [] if rows.samples.labels is None else rows.samples.labels.tolist()
    known = [label for label in labels if label is not None]
    if known:
        filler = type(known[0])()
        columns["y"] = np.array([filler if label is None else label for label in labels])
    if 0 < len(known) < len(labels):
        columns["y_known"] = np.array([label is not None for label in labels])
    with new_file(target, ".npz") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    return target
