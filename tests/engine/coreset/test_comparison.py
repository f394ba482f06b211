"""`Snapshot.diff`: against sets and counts made by hand."""

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from tests.support.strategies import codebook_generation, identity_generation


def snapshot_of(x: Array, labels: list[str | None], first: int = 0, side: int = 2) -> Snapshot:
    """Return the snapshot of points of the plane, named by their row from first on."""
    engine = EchoCoreset(
        6, preset="paper", support=1, generation=identity_generation(2, side), device="cpu"
    )
    return engine.fit(x, labels, [f"s{first + row}" for row in range(len(x))]).snapshot()


@pytest.fixture(scope="module")
def pair() -> tuple[Snapshot, Snapshot]:
    """Return snapshots of 40 points, and of these with 60 more, all to the right."""
    rng = np.random.default_rng(1)
    x = rng.random((100, 2)).astype(np.float32)
    x[40:, 0] = 0.5 + x[40:, 0] / 2
    labels = [None if row % 5 == 0 else "old" if row < 40 else "new" for row in range(100)]
    return snapshot_of(x[:40], labels[:40]), snapshot_of(x, labels)


def ids_of(snapshot: Snapshot, role: str | None = None) -> set[str]:
    """Return the ids of a snapshot's rows, of one role or of both."""
    rows = snapshot.rows
    chosen = zip(rows.samples.ids.tolist(), rows.roles.tolist(), strict=True)
    return {name for name, its_role in chosen if role in (None, its_role)}


def test_entered_left_and_stayed(pair: tuple[Snapshot, Snapshot]) -> None:
    """They are differences of sets of ids, over both roles and in each."""
    before, after = pair
    found = before.diff(after)
    assert (found["before"], found["after"]) == (before.id, after.id)
    assert (found["n_before"], found["n_after"]) == (40, 100)
    one, other = ids_of(before), ids_of(after)
    assert found["entered"] == sorted(other - one)
    assert found["left"] == sorted(one - other)
    assert found["stayed"] == len(one & other) > 0
    for row in found["by_role"]:
        one, other = ids_of(before, row["role"]), ids_of(after, row["role"])
        assert (row["entered"], row["left"], row["stayed"]) == (
            len(other - one), len(one - other), len(one & other),
        )  # fmt: skip


def test_labels_and_cells_add_up(pair: tuple[Snapshot, Snapshot]) -> None:
    """Every sample has one label and one cell; unknown labels come last."""
    found = pair[0].diff(pair[1])
    assert [row["label"] for row in found["by_label"]] == ["new", "old", None]
    assert found["by_label"][0]["left"] == found["by_label"][0]["stayed"] == 0
    for rows in (found["by_label"], found["by_cell"]):
        assert sum(row["entered"] for row in rows) == len(found["entered"])
        assert sum(row["left"] for row in rows) == len(found["left"])
        assert sum(row["stayed"] for row in rows) == found["stayed"]


def test_drift_of_cells(pair: tuple[Snapshot, Snapshot]) -> None:
    """Counts and shares are the snapshots' own; what came later is seen undiluted."""
    before, after = pair
    found = before.diff(after)
    shares = []
    for snapshot, side in ((before, "before"), (after, "after")):
        counts = dict(zip(snapshot.cells.cells, snapshot.cells.counts.tolist(), strict=True))
        assert {tuple(row["cell"]): row[f"count_{side}"] for row in found["by_cell"]} == counts
        shares.append(np.array([row[f"share_{side}"] for row in found["by_cell"]]))
        assert shares[-1].sum() == pytest.approx(1)
    distance = np.abs(shares[0] - shares[1]).sum() / 2
    assert found["drift"]["distance"] == pytest.approx(distance)
    # Of the 60 later ones none is to the left.
    left = shares[0][[row["cell"][0] == 0 for row in found["by_cell"]]].sum()
    assert found["drift"]["distance_of_new"] > found["drift"]["distance"]
    assert found["drift"]["distance_of_new"] >= left - 1e-12
    assert (found["drift"]["cells_entered"], found["drift"]["cells_left"]) == (0, 0)


def test_backwards_there_is_nothing_new(pair: tuple[Snapshot, Snapshot]) -> None:
    """What entered has left, and nothing was counted in between."""
    there, back = pair[0].diff(pair[1]), pair[1].diff(pair[0])
    assert (back["entered"], back["left"]) == (there["left"], there["entered"])
    assert back["drift"]["distance"] == pytest.approx(there["drift"]["distance"])
    assert back["drift"]["distance_of_new"] is None


def test_the_same_snapshot(pair: tuple[Snapshot, Snapshot]) -> None:
    """Nothing has changed."""
    found = pair[0].diff(pair[0])
    assert (found["entered"], found["left"], found["drift"]["distance"]) == ([], [], 0.0)
    assert found["stayed"] == len(ids_of(pair[0]))


def test_cells_of_two_generations_are_not_compared(pair: tuple[Snapshot, Snapshot]) -> None:
    """Samples and labels still are."""
    engine = EchoCoreset(
        4,
        generation=codebook_generation(np.array([[0.2, 0.2], [0.8, 0.8]])),
        device="cpu",
        preset="fixed",
    )
    other = engine.fit(np.random.default_rng(0).random((20, 2)).astype(np.float32)).snapshot()
    found = pair[0].diff(other)
    assert (found["same_generation"], found["by_cell"], found["drift"]) == (False, None, None)
    assert len(found["entered"]) == 4
