"""What two ways of counting the same samples must have in common."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from echo_stream import EchoCoreset
from echo_stream.connectors.app.stored_engine import stored_engine
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.connectors.storage.units import list_units, verify_unit
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource

Place: TypeAlias = tuple[str, tuple[int, ...], int]
"""Role, cell and rank of a row."""


def assert_as_the_batch(state: Path, samples: Samples, batch: EchoCoreset) -> Snapshot:
    """Check a state that has counted samples, in whatever order; return its newest snapshot.

    Sums are those of an engine that has counted all at once, bit for bit, and so is each
    certified row; after repair, with the samples, the whole coreset is.
    """
    ours, exact = read_snapshot(find_snapshot(state, None)), batch.snapshot()
    assert_same_sums(ours, exact)
    assert_nothing_certified_is_wrong(ours, exact)
    with stored_engine(state, features=None, device="cpu") as engine:
        engine.repair(ArraySource(samples))
        assert _identity(engine.snapshot()) == _identity(exact)
    return ours


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


def _identity(snapshot: Snapshot) -> list[tuple[str, str, float]]:
    """Return what identifies the rows of a coreset: id, role and weight of each, in order."""
    rows = snapshot.rows
    return list(zip(rows.samples.ids, rows.roles, rows.weights.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has left that must not depend on how often it was stopped."""

    checkpoint: dict[str, Any]
    snapshot: dict[str, Any]
    generations: list[str]


def outcome(state: Path) -> Outcome:
    """Return what a run has left, and check that it is whole, with no debris."""
    checkpoints, snapshots = (
        [verify_unit(path) for path in list_units(state / name)]
        for name in ("checkpoints", "snapshots")
    )
    generations = list_units(state / "generations", manifest_name="generation.json")
    assert list(state.rglob(".tmp-*")) == []
    return Outcome(
        checkpoint=_without(checkpoints[-1], "time", "sequence", "parent"),
        snapshot=_without(max(snapshots, key=lambda manifest: manifest["n"]), "time"),
        generations=[path.name for path in generations],
    )


def _without(manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return what a manifest says, but for what differs from run to run."""
    return {name: value for name, value in manifest.items() if name not in names}


def _places(snapshot: Snapshot) -> list[Place]:
    """Return the place of each row."""
    rows = snapshot.rows
    return list(zip(rows.roles.tolist(), rows.cells, rows.ranks_in_cell.tolist(), strict=True))


def comparable(engine: EchoCoreset) -> tuple[dict[str, bytes], str]:
    """Return an engine's whole state in a form that can be compared."""
    arrays, meta = engine.to_state()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(meta)
