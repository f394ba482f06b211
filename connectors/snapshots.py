"""Which snapshots a state folder holds, for whoever reads while the consumer writes."""

import logging
from pathlib import Path
from typing import Any

from echo_stream.connectors.units import list_units, read_manifest
from echo_stream.errors import ConfigError, SnapshotError, StateError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1  # of snapshots, that we read

REQUIRED = ("id", "time", "n", "num_cells", "num_distinct", "certified_fraction", "generation")
"""What every manifest has, of what `echo-stream snapshots list` shows."""


def check_state(folder: Path) -> None:
    """Raise SnapshotError if there is no state folder."""
    if not folder.is_dir():
        msg = f"there is no state at {folder}; create one with `echo-stream run --state {folder}`"
        raise SnapshotError(msg)


def list_snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a state folder, oldest first; damaged ones are skipped.

    Raises
    ------
    SnapshotError
        If the folder does not exist.
    """
    check_state(folder)
    found = []
    for unit in list_units(folder / "snapshots"):
        try:
            found.append((snapshot_manifest(unit)["time"], unit))
        except SnapshotError as err:
            logger.warning("snapshot skipped: %s", err)
    return [unit for _, unit in sorted(found)]


def snapshot_manifest(unit: Path) -> dict[str, Any]:
    """Return the manifest of a snapshot.

    Raises
    ------
    SnapshotError
        If there is none, or it is no snapshot's.
    """
    try:
        manifest = read_manifest(unit)
    except StateError as err:
        raise SnapshotError(str(err)) from err
    version = manifest.get("format_version")
    if version is not None and version != FORMAT_VERSION:
        msg = f"{unit} has format version {version}; this echo-stream reads {FORMAT_VERSION}"
        raise SnapshotError(msg)
    missing = [name for name in REQUIRED if name not in manifest]
    if missing:
        msg = f"{unit} is no snapshot: its manifest has no {missing[0]}"
        raise SnapshotError(msg)
    return manifest


def find_snapshot(folder: Path | None, name: str | None) -> Path:
    """Return a snapshot: by path, by id within a state folder, or the newest there.

    Raises
    ------
    ConfigError
        If neither is given.
    SnapshotError
        If there is none.
    """
    if name is not None and (folder is None or "/" in name):
        return Path(name)
    if folder is None:
        msg = "no snapshot was named; give --state DIR, or --snapshot PATH"
        raise ConfigError(msg)
    units = list_snapshots(folder)
    chosen = units if name is None else [unit for unit in units if unit.name == name]
    if chosen:
        return chosen[-1]
    if name is None:
        msg = f"{folder} holds no snapshot yet; `run` writes one once its warm-up is over"
        raise SnapshotError(msg)
    known = ", ".join(unit.name for unit in units[-3:]) or "none"
    msg = f"{folder} holds no snapshot {name}; the newest are {known}"
    raise SnapshotError(msg)
