"""Snapshots in formats that other programs read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.storage.targets import new_file
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError


def export_snapshot(
    snapshot: Snapshot, target: Path, *, image_shape: Sequence[int] | None = None
) -> Path:
    """Write the rows of a snapshot: .npz, .parquet, or without a suffix a folder of images.

    Raises
    ------
    ConfigError
        If target exists, or has another suffix; or samples have no such shape.
    DataError
        If samples that are to be images are none.
    """
    if target.suffix == ".npz":
        return export_npz(snapshot, target)
    if target.suffix == ".parquet":
        from echo_stream.connectors.inspect.export_parquet import export_parquet  # noqa: PLC0415

        return export_parquet(snapshot, target)
    if not target.suffix:
        from echo_stream.connectors.inspect.export_images import export_images  # noqa: PLC0415

        return export_images(snapshot, target, image_shape=image_shape)
    msg = f"{target} is no .npz or .parquet file and, with a suffix, no folder of images"
    raise ConfigError(msg)


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
