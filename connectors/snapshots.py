"""Which snapshots a state folder holds, for whoever reads while the consumer writes."""

from pathlib import Path

from echo_stream.connectors.units import list_units, read_manifest
from echo_stream.errors import SnapshotError


def list_snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a state folder, oldest first.

    Raises
    ------
    SnapshotError
        If the folder does not exist.
    """
    if not folder.is_dir():
        msg = f"there is no state at {folder}; create one with `echo-stream run --state {folder}`"
        raise SnapshotError(msg)
    units = list_units(folder / "snapshots")
    return sorted(units, key=lambda unit: (read_manifest(unit)["time"], unit.name))


def find_snapshot(folder: Path | None, name: str | None) -> Path:
    """Return a snapshot: by path, by id within a state folder, or the newest there.

    Raises
    ------
    SnapshotError
        If there is none.
    """
    if name is not None and (folder is None or "/" in name):
        return Path(name)
    if folder is None:
        msg = "no snapshot was named; give --state DIR, or --snapshot PATH"
        raise SnapshotError(msg)
    units = list_snapshots(folder)
    chosen = units if name is None else [unit for unit in units if unit.name == name]
    if chosen:
        return chosen[-1]
    if name is None:
        msg = f"{folder} holds no snapshot yet; `echo-stream run` writes one when it ends"
        raise SnapshotError(msg)
    known = ", ".join(unit.name for unit in units[-3:]) or "none"
    msg = f"{folder} holds no snapshot {name}; the newest are {known}"
    raise SnapshotError(msg)
