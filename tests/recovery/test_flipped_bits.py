"""Single bits of a state's files that have flipped: refused by name, or the answer is the same."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.group.claims import Claims
from echo_stream.connectors.http.snapshot_views import NEWEST, SnapshotViews
from echo_stream.connectors.inspect.query import query_snapshot
from echo_stream.connectors.storage.snapshot_files import (
    coreset_table,
    diff_snapshots,
    ids_of,
    read_snapshot,
    roles_of,
)
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.training.current_model import Verdict, make_current, read_current
from echo_stream.errors import SnapshotError, StateError
from echo_stream.samples.validation import SampleSchema
from tests.support.clusters import in_clusters
from tests.support.commands import answer, run_command

FLIPS = 40  # of each file of a snapshot
FILES = (
    "cells.parquet", "context.parquet", "coreset.parquet", "edges.parquet", "held_out.parquet",
    "manifest.json",
)  # fmt: skip


def rows_of(unit: Path) -> list[Any]:
    """Return what Python reads of a snapshot."""
    snapshot = read_snapshot(unit)
    assert snapshot.held_out is not None
    assert snapshot.context is not None
    assert snapshot.context.samples.labels is not None
    schema = SampleSchema.from_json(snapshot.manifest["schema"])
    return [coreset_table(snapshot.rows, schema).to_pylist(), snapshot.cells.centroids.tolist(),
            snapshot.manifest, snapshot.edges.lengths.tolist(),
            snapshot.held_out.x.tolist(), snapshot.context.samples.x.tolist(),
            snapshot.context.samples.labels.tolist(), snapshot.context.cells,
            snapshot.context.latents.tolist()]  # fmt: skip


def view_of(unit: Path) -> list[Any]:
    """Return what a server tells of the newest snapshot."""
    view = SnapshotViews(unit.parent.parent).view(NEWEST)
    return [view.manifest, [table.to_pylist() for table in view.tables.values()]]


READERS: dict[str, Callable[[Path], Any]] = {
    "python": rows_of,
    "sql": lambda unit: query_snapshot(unit, "SELECT sum(weight), count(*) FROM coreset, edges"),
    "spread": lambda unit: query_snapshot(unit, "SELECT * FROM spread, context LIMIT 9"),
    "newest": lambda unit: find_snapshot(unit.parent.parent, None),
    "serve": view_of,
    "diff": lambda unit: diff_snapshots(unit.parent.parent, unit.name, None),
    "why": lambda unit: roles_of(unit, "10"),
    "trained on": ids_of,
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with two snapshots, which have all files that one can have."""
    folder = tmp_path_factory.mktemp("begun") / "state"
    x = in_clusters()[::4]
    engine = EchoCoreset(24, latent="identity", warmup=500, holdout=0.1, device="cpu")
    with StateStore(folder) as store:
        for part in (x[:750], x[750:]):
            engine.partial_fit(part, [f"c{row % 3}" for row in range(len(part))])
            store.take_snapshot(engine, {})
    return folder


def flip(path: Path, rng: random.Random) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_told(begun: Path, tmp_path: Path, name: str) -> None:
    """Each reader refuses the file, or tells what it told before the bit flipped."""
    state = shutil.copytree(begun, tmp_path / "state")
    unit = max((state / "snapshots").iterdir())
    assert sorted(path.name for path in unit.iterdir()) == list(FILES)
    expected = {reader: read(unit) for reader, read in READERS.items()}
    whole, rng, num_refused = (unit / name).read_bytes(), random.Random(name), 0
    for _ in range(FLIPS):
        flip(unit / name, rng)
        for reader, read in READERS.items():
            try:
                assert read(unit) == expected[reader]
            except SnapshotError as err:
                num_refused += 1
                assert str(unit / name) in str(err)
        (unit / name).write_bytes(whole)
    assert num_refused >= FLIPS // 2  # some of a manifest's bits are white space
    assert READERS["python"](unit) == expected["python"]


@pytest.mark.parametrize("name", ["coreset.parquet", "manifest.json"])
def test_commands_refuse_it(begun: Path, tmp_path: Path, name: str) -> None:
    """Exit code 4 and the file's name; the snapshot before it can be asked for by its own."""
    state = shutil.copytree(begun, tmp_path / "state")
    older, unit = sorted((state / "snapshots").iterdir())
    content = (unit / name).read_bytes()
    (unit / name).write_bytes(content.replace(b'"n":', b'"m":').replace(b"PAR1", b"PAR0"))
    for words in (
        ("query", "SELECT count(*) FROM coreset", "--state", state),
        ("query", "SELECT count(*) FROM coreset", "--state", state, "--snapshot", unit.name),
        ("train", "--state", state, "--train-steps", 1),
        ("snapshots", "diff", older.name, "--state", state),
        ("snapshots", "export", tmp_path / "out.parquet", "--state", state),
        ("snapshots", "plot", tmp_path / "out.png", "--state", state),
    ):
        result = run_command(*words)
        assert (result.exit_code, str(unit / name) in result.stderr) == (4, True), result.stderr
        assert result.stdout == ""
    named = ("--state", state, "--snapshot", older.name)
    assert answer("query", "SELECT count(*) AS n FROM coreset", *named)[0]["n"] > 0


def test_flipped_bits_of_the_current_model(tmp_path: Path) -> None:
    """Which model is current is refused, or the same."""
    make_current(tmp_path, "20260101-0", Verdict(True, "a reason", 0.5, 0.25, 9, "20250101-1"))
    check(tmp_path / "current.json", lambda: read_current(tmp_path))


def test_flipped_bits_of_a_claim(tmp_path: Path) -> None:
    """Who may count a partition is refused, or the same."""
    claims = Claims(tmp_path)
    claims.write("events/0", segment="a-1", member="a", group_generation=7, begin=1_234_567)
    (path,) = (tmp_path / "events" / "0").iterdir()
    check(path, lambda: claims.newest("events/0"))


def check(path: Path, read: Callable[[], object]) -> None:
    """Flip bits of a file, one at a time, and read it."""
    expected, whole, rng, num_refused = read(), path.read_bytes(), random.Random(0), 0
    for _ in range(4 * FLIPS):
        flip(path, rng)
        try:
            assert read() == expected
        except StateError as err:
            num_refused += 1
            assert str(path) in str(err)
        path.write_bytes(whole)
    assert num_refused >= FLIPS
