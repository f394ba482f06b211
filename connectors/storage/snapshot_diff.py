"""The difference of two stored snapshots."""

from pathlib import Path
from typing import Any

from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import open_snapshot


def diff_snapshots(state: Path | None, before: str, after: str | None) -> dict[str, Any]:
    """Return what came and went between two snapshots; see `Snapshot.diff`.

    Parameters
    ----------
    state : Path or None
    before, after : str
        As `find_snapshot` takes them; after None: the newest of the state.

    Raises
    ------
    ConfigError, SnapshotError
        If one is not there, or damaged.
    """
    with open_snapshot(state, before) as first, open_snapshot(state, after) as second:
        return read_snapshot(first).diff(read_snapshot(second))
