"""Snapshots against their checksums."""

from pathlib import Path
from typing import Any

from echo_stream.connectors.storage.snapshots import check_state, find_snapshot, snapshot_manifest
from echo_stream.connectors.storage.unit_locks import held
from echo_stream.connectors.storage.units import list_units, verify_unit
from echo_stream.errors import SnapshotError, StateError


def verify_snapshots(folder: Path | None, name: str | None) -> list[dict[str, Any]]:
    """Check every byte of snapshots against their manifests.

    Parameters
    ----------
    folder : Path or None
        A state.
    name : str or None
        One snapshot, as `find_snapshot` takes it; None: all of the state.

    Returns
    -------
    list of dict
        For each, in order of id: "snapshot", "whole", and "problem", None where it is whole.

    Raises
    ------
    ConfigError, SnapshotError
        If there is no state, or no such snapshot.

    Notes
    -----
    O(bytes). One that is pruned meanwhile is left out.
    """
    verified = []
    for unit in _units(folder, name):
        try:
            with held(unit):
                verified.append(_verified(unit))
        except StateError as err:
            if name is not None or unit.exists():
                raise SnapshotError(str(err)) from err
    return verified


def _units(folder: Path | None, name: str | None) -> list[Path]:
    """Return the snapshots that are meant, damaged or not."""
    if folder is not None:
        check_state(folder)
        units = list_units(folder / "snapshots")
        chosen = [unit for unit in units if name in (None, unit.name)]
        if chosen or name is None:
            return chosen
    return [find_snapshot(folder, name)]


def _verified(unit: Path) -> dict[str, Any]:
    """Return what is found of one snapshot."""
    problem = None
    try:
        snapshot_manifest(unit)
        verify_unit(unit)
    except StateError as err:
        problem = str(err)
    return {"snapshot": unit.name, "whole": problem is None, "problem": problem}
