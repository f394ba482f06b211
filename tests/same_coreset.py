"""What two ways of counting the same samples must have in common."""

from pathlib import Path
from typing import Any, TypeAlias

from echo_stream.connectors.units import list_units, read_manifest, verify_unit
from echo_stream.snapshot import Snapshot

Place: TypeAlias = tuple[str, tuple[int, ...], int]
"""Role, cell and rank of a row."""


def assert_same_sums(ours: Snapshot, expected: Snapshot) -> None:
    """Check that N, cells, counts and centroids are the same, bit for bit."""
    assert ours.n == expected.n
    assert ours.cells.cells == expected.cells.cells
    assert ours.cells.counts.tolist() == expected.cells.counts.tolist()
    assert ours.cells.centroids.tobytes() == expected.cells.centroids.tobytes()


def assert_nothing_certified_is_wrong(ours: Snapshot, exact: Snapshot) -> None:
    """Check that each certified row, and there are many, is the exact coreset's."""
    expected = dict(zip(_places(exact), exact.rows.samples.ids.tolist(), strict=True))
    found = certified(ours)
    assert len(found) > len(ours.rows) // 2
    assert [(place, name) for place, name in found.items() if expected[place] != name] == []


def certified(snapshot: Snapshot) -> dict[Place, str]:
    """Return the id of each certified row by its place."""
    rows = snapshot.rows
    placed = zip(_places(snapshot), rows.samples.ids.tolist(), rows.certified, strict=True)
    return {place: name for place, name, is_certified in placed if is_certified}


def outcome(state: Path) -> tuple[Any, ...]:
    """Return the newest checkpoint and snapshot, and check that all that is there is whole."""
    for name in ("checkpoints", "snapshots"):
        for path in list_units(state / name):
            verify_unit(path)
    kept = read_manifest(list_units(state / "checkpoints")[-1])
    snapshots = {path.name: read_manifest(path) for path in list_units(state / "snapshots")}
    newest = max(snapshots.values(), key=lambda manifest: manifest["n"])
    return kept["files"], kept["engine"], kept["position"], newest["files"], newest["id"]


def _places(snapshot: Snapshot) -> list[Place]:
    """Return the place of each row."""
    rows = snapshot.rows
    return list(zip(rows.roles.tolist(), rows.cells, rows.rounds.tolist(), strict=True))
