"""`EchoCoreset.why`: what it says is what the snapshot did, and what brute force finds."""

from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.errors import ShapeError, WarmupError
from tests.support.strategies import identity_generation

N, BUDGET, SIDE = 2_600, 24, 2
RULES: tuple[dict[str, Any], ...] = (
    {"preset": "paper", "support": 2},
    {"preset": "fixed", "cells": "grid", "rank": "center", "support_share": 0.25},
    {"preset": "fixed", "cells": "grid", "rank": "mixed"},
    {"preset": "fixed", "cells": "grid", "rank": "uniform"},
)


def points() -> Array:
    """Return a cloud that is counted from left to right, so that some of it stays in doubt."""
    cloud = np.random.default_rng(3).uniform(0, 1, (N, 2)).astype(np.float32)
    return cloud[np.argsort(cloud[:, 0])]


def streamed(rules: dict[str, Any]) -> EchoCoreset:
    """Return an engine that has counted the cloud, labelled by row."""
    generation = identity_generation(2, SIDE)
    engine = EchoCoreset(BUDGET, generation=generation, device="cpu", **rules)
    return engine.partial_fit(points(), np.arange(N))


@pytest.fixture(params=RULES, ids=lambda rules: rules.get("rank", rules.get("preset")))
def engine(request: pytest.FixtureRequest) -> EchoCoreset:
    """Return an engine of each rule."""
    return streamed(request.param)


def rows_of(snapshot: Snapshot) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what a snapshot says of each row, by id and role."""
    rows = snapshot.rows
    return {
        (rows.samples.ids[at], rows.roles[at]): {
            "cell": list(rows.cells[at]),
            "cell_count": int(rows.cell_counts[at]),
            "rank": int(rows.ranks_in_cell[at]),
            "certified": rows.certified[at],
        }
        for at in range(len(rows))
    }


@pytest.mark.slow
def test_chosen_samples_are_told_as_in_the_snapshot(engine: EchoCoreset) -> None:
    """Cell, rank and proof of every row, in both roles; nobody else is said to be chosen."""
    rows = rows_of(engine.snapshot())
    told_chosen = set()
    for name in sorted({str(row) for row in range(0, N, 200)} | {name for name, _ in rows}):
        told = engine.why(name)
        for sample in told["samples"]:
            for role in ("core", "support"):
                standing = sample[role]
                if standing is None or not standing["chosen"]:
                    continue
                told_chosen.add((name, role))
                assert {
                    "cell": sample["cell"],
                    "cell_count": sample["cell_count"],
                    "rank": standing["rank"],
                    "certified": standing["certified"],
                } == rows[name, role]
                assert (standing["doubt"] is None) == standing["certified"]
                assert standing["rank"] <= standing["slots"]
                assert "chosen as" in told["why"]
    assert told_chosen == set(rows)


def test_distances_and_ranks_are_those_of_brute_force(engine: EchoCoreset) -> None:
    """A certified rank by distance is the true one, among all that were ever counted."""
    x = points().astype(np.float64)
    cells = np.clip(np.floor(x * SIDE), -1, SIDE).astype(int)
    seen = set()
    for row in range(0, N, 130):
        told = engine.why(row)
        for sample in told["samples"]:
            mates = np.flatnonzero((cells == sample["cell"]).all(axis=1))
            assert sample["cell_count"] == len(mates)
            distances = np.sqrt(np.square(x[mates] - x[mates].mean(axis=0)).sum(axis=1))
            own = distances[mates == row][0]
            core = sample["core"]
            # Inputs are rounded to 2^-22 on entry.
            assert core["distance"] == pytest.approx(own, abs=1e-5)
            if core["by"] == "distance" and core["certified"]:
                assert core["rank"] == np.count_nonzero(distances < own) + 1
            if core["by"] == "distance" and core["certified"] is False:
                assert core["rank"] <= np.count_nonzero(distances < own) + 1
                assert core["doubt"]
            ahead = [other["distance"] for other in core["beaten_by"]]
            assert len(ahead) == min(core["rank"] - 1, 10)
            seen.add(told["held"])
    assert seen == {True}


def test_not_held(engine: EchoCoreset) -> None:
    """A dropped sample and one never seen cannot be told apart."""
    dropped = next(row for row in range(N) if not engine.why(row)["held"])
    for name in (dropped, "never"):
        told = engine.why(name)
        assert (told["id"], told["held"], told["samples"]) == (str(name), False, [])
        assert told["why"].startswith("not held: it was either discarded in favour of others or")


def test_what_would_beat_it() -> None:
    """With its payload, a dropped sample is placed; those that go before it are named."""
    engine = streamed(RULES[1])
    chosen = {name for name, role in rows_of(engine.snapshot()) if role == "core"}
    x = points()
    dropped = next(row for row in range(N) if not engine.why(row)["held"])
    told = engine.why(dropped, x[dropped])
    (sample,) = told["samples"]
    core = sample["core"]
    assert (told["held"], core["chosen"], core["in_pool"], core["certified"]) == (
        False, False, False, None,
    )  # fmt: skip
    beaters = [other["id"] for other in core["beaten_by"] if other["chosen"]]
    assert set(beaters) <= chosen
    assert len(beaters) == min(core["slots"], 10)
    assert core["rank"] > core["slots"]
    assert f"it would not be core: rank {core['rank']} or later" in told["why"]
    assert f"taken by {', '.join(beaters)}" in told["why"]
    before = engine.snapshot().id
    assert engine.snapshot().id == before


def test_what_would_win() -> None:
    """A sample at the very centre of a cell would be chosen; a new cell is empty."""
    engine = streamed(RULES[1])
    cells = engine.snapshot().cells
    told = engine.why("new", cells.centroids[1].astype(np.float32))
    assert told["samples"][0]["cell"] == list(cells.cells[1])
    assert told["samples"][0]["core"]["rank"] == 1
    assert "it would be chosen as core: rank 1 or later by distance in cell" in told["why"]
    away = engine.why("away", np.array([5.0, 5.0], np.float32))
    assert (away["samples"][0]["cell_count"], away["samples"][0]["core"]) == (0, None)
    assert "is empty, where it would be the first" in away["why"]


def test_forgotten(engine: EchoCoreset) -> None:
    """What was taken out on request is not held, and that is said."""
    name = engine.snapshot().rows.samples.ids[0]
    engine.forget(name)
    assert engine.why(name)["why"] == "not held: it was forgotten on request"


def test_same_id_twice() -> None:
    """Two samples of one id are told one by one."""
    engine = EchoCoreset(
        8, generation=identity_generation(2, 2), cells="grid", device="cpu", preset="fixed"
    )
    engine.partial_fit(np.array([[0.1, 0.1], [0.9, 0.9]], np.float32), [1, 2], ["twin", "twin"])
    told = engine.why("twin")
    assert sorted((s["label"], s["core"]["chosen"]) for s in told["samples"]) == [
        (1, True),
        (2, True),
    ]


def test_only_in_the_reservoir() -> None:
    """Kept to train the next generation on, and for nothing else."""
    engine = streamed(RULES[1])
    told = (engine.why(row) for row in range(0, N, 10))
    first = next(one for one in told if "reservoir alone" in one["why"])
    assert first["samples"][0]["in_reservoir"]
    assert not first["samples"][0]["core"]["in_pool"]


def test_another_shape_and_warmup() -> None:
    """What is unlike the samples counted has no place among them; nor has it in a warm-up."""
    engine = streamed(RULES[0])
    with pytest.raises(ShapeError):
        engine.why("new", np.zeros(3, np.float32))
    with pytest.raises(WarmupError):
        EchoCoreset(8, device="cpu").why(0)
    warming = EchoCoreset(8, device="cpu").partial_fit(np.eye(3))
    assert warming.why(0)["held"] and warming.is_warming_up
