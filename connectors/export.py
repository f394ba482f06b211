"""Snapshots in formats that other programs read."""

from pathlib import Path

import numpy as np

from echo_stream.connectors.targets import new_file
from echo_stream.snapshot import Snapshot
from echo_stream.typing import Array


def export_npz(snapshot: Snapshot, target: Path) -> Path:
    """Write x, y, id, role and weight of a snapshot's rows as a compressed .npz.

    `read_file` reads it back, so a coreset is a data set. y is left out where no label
    is known; where only some are, y is text and an unknown label is "".

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
    if any(label is not None for label in labels):
        columns["y"] = _label_array(labels)
    with new_file(target, ".npz") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    return target


def _label_array(labels: list[object]) -> Array:
    """Return labels without objects: numbers where all are known, else text."""
    if None in labels:
        return np.array(["" if label is None else str(label) for label in labels])
    return np.array(labels)
