"""What is forgotten has never been, as far as anything that is held can tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream import EchoCoreset, Generation, Snapshot
from echo_stream._common.typing import Array
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.inside import sketch_of, waiting_ids
from tests.support.same_coreset import comparable
from tests.support.strategies import clouds, codebook_generation, identity_generation

N = 5_000


@pytest.fixture(scope="module")
def x() -> Array:
    """Return a cloud that pools drop most of."""
    return np.random.default_rng(3).random((N, 2)).astype(np.float32)


@pytest.fixture(scope="module", params=["grid", "codebook"])
def generation(request: pytest.FixtureRequest, x: Array) -> Generation:
    """Return a quantiser of either kind."""
    return identity_generation(2, 3) if request.param == "grid" else codebook_generation(x[:9])


def content(snapshot: Snapshot) -> list[object]:
    """Return all that a snapshot selects and counts."""
    rows, cells, edges = snapshot.rows, snapshot.cells, snapshot.edges
    return [
        rows.samples.ids.tolist(), rows.roles.tolist(), rows.ranks_in_cell.tolist(),
        rows.weights.tolist(), cells.cells, cells.counts.tolist(), cells.centroids.tolist(),
        edges.left, edges.right, edges.lengths.tolist(), edges.is_bridge.tolist(),
    ]  # fmt: skip


@given(clouds(), st.integers(1, 30), st.integers(1, 5), st.booleans(), st.data())
def test_the_rest_is_what_is_left(
    points: Array, budget: int, k: int, is_codebook: bool, data: st.DataObject
) -> None:
    """Rows, weights, cells, links and bridges: as if the forgotten had never arrived."""
    words = np.unique(np.round(points[:k] * 64) / 64, axis=0)
    made = codebook_generation(words) if is_codebook else identity_generation(points.shape[1], k)
    rows = np.arange(len(points))
    gone = data.draw(st.sets(st.sampled_from(rows.tolist()), max_size=len(rows) - 1))
    engine = EchoCoreset(budget, preset="paper", generation=made).fit(points)
    for row in sorted(gone):
        engine.forget(row)
    # Some have been dropped: duplicates that can never be chosen, if nothing else.
    engine.repair(ArraySource(as_samples(points)))
    left = np.array([row for row in rows if row not in gone])
    expected = EchoCoreset(budget, preset="paper", generation=made).fit(points[left], ids=left)
    snapshot = engine.snapshot()
    assert content(snapshot) == content(expected.snapshot())
    assert snapshot.certified_fraction == 1.0
    assert snapshot.manifest["num_forgotten"] == len(gone)
    labels = sum(snapshot.manifest["labels_reservoir"].values())
    assert min(budget, len(points)) - len(gone) <= labels <= min(budget, len(left))


def test_a_dropped_sample_is_a_miss(x: Array, generation: Generation) -> None:
    """It cannot be told from one never seen: nothing changes but the count of misses."""
    engine = EchoCoreset(20, generation=generation, preset="fixed").partial_fit(x)
    sketch = sketch_of(engine)
    held = {member.id for member in sketch.members()}
    dropped = next(row for row in range(N // 2) if str(row) not in held)
    before = content(engine.snapshot())
    assert engine.forget(dropped) == engine.forget("never seen") == 0
    snapshot = engine.snapshot()
    assert content(snapshot) == before
    assert snapshot.manifest["num_forget_missed"] == 2
    assert snapshot.manifest["num_forgotten"] == 0


@pytest.mark.parametrize("rank", ["center", "uniform", "mixed"])
def test_cells_can_be_emptied_and_filled_again(rank: str, generation: Generation) -> None:
    """A cell whose samples are all forgotten is not occupied; it may become so again."""
    points = np.array([[0.1, 0.1], [0.9, 0.9], [0.12, 0.1]], dtype=np.float32)
    settings = {"rank": rank, "generation": generation}
    engine = EchoCoreset(3, preset="fixed", **settings).fit(points)  # type: ignore[arg-type]
    engine.merge(EchoCoreset(3, preset="fixed", **settings))  # type: ignore[arg-type]
    engine.forget(1)
    other = EchoCoreset(3, preset="fixed", **settings).partial_fit(points[:1], ids=[7])  # type: ignore[arg-type]
    other.merge(EchoCoreset(3, preset="fixed", **settings))  # type: ignore[arg-type]
    other.forget(7)
    engine.merge(other)
    assert engine.snapshot().n == 2
    engine.partial_fit(points[1:2], ids=["again"])
    expected = EchoCoreset(3, preset="fixed", **settings).fit(points, ids=[0, "again", 2])  # type: ignore[arg-type]
    assert content(engine.snapshot()) == content(expected.snapshot())


@pytest.mark.slow
def test_slots_of_forgotten_samples_are_filled_and_counted(x: Array) -> None:
    """When too many are gone the next ones held take their places, uncertified."""
    engine = EchoCoreset(40, preset="paper", support=0, generation=identity_generation(2, 2))
    engine.partial_fit(x)
    rows = engine.snapshot().rows
    for cell in rows.cells[:1] * 3:
        while held := [i for i, c in zip(engine.coreset().ids, engine.snapshot().rows.cells,
                                         strict=True) if c == cell]:  # fmt: skip
            assert engine.forget(held[0]) == 1
    snapshot = engine.snapshot()
    assert len(snapshot.rows) == 40
    substituted = snapshot.manifest["num_substituted"]
    assert substituted == 10
    assert snapshot.rows.certified.tolist().count(False) == substituted
    assert snapshot.rows.weights.sum() == pytest.approx(snapshot.n)


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["center", "uniform", "mixed"])
def test_a_restored_engine_goes_on_bit_for_bit(x: Array, rank: str, generation: Generation) -> None:
    """Bounds, ends and hashes of ids are in the state."""
    settings = {"rank": rank, "support_share": 0.25, "generation": generation}
    straight = EchoCoreset(30, preset="fixed", **settings).partial_fit(x[:3_500])  # type: ignore[arg-type]
    for name in [*straight.coreset().ids[:9], "never seen", 3_499]:
        straight.forget(name)
    restored = EchoCoreset.from_state(straight.to_state())
    first = straight.coreset().ids[0]
    for engine in (straight, restored):
        engine.partial_fit(x[3_500:])
        engine.forget(first)
    assert comparable(restored) == comparable(straight)
    assert restored.snapshot().n == straight.snapshot().n


def test_forgetting_while_warming_up_is_exact(x: Array) -> None:
    """What is held back for the training is held: it goes, and row numbers go on."""
    engine = EchoCoreset(10, warmup=500, preset="fixed").partial_fit(x[:100])
    assert engine.forget(99) == 1
    assert engine.forget(99) == 0
    engine.partial_fit(x[100:102])
    assert engine.n_seen_ == 101
    assert waiting_ids(engine)[-2:] == [100, 101]
    engine = EchoCoreset.from_state(engine.to_state())
    engine.end_warmup()
    assert engine.snapshot().manifest["num_forgotten"] == 1
    engine.partial_fit(x[102:103])
    assert engine.snapshot().n == 102


def test_merges_remember_what_both_sides_have_forgotten(x: Array, generation: Generation) -> None:
    """The counts of both are in the merged manifest."""
    left, right = (EchoCoreset(20, generation=generation, preset="fixed") for _ in range(2))
    left.partial_fit(x[:2_000], ids=np.arange(2_000))
    right.partial_fit(x[2_000:], ids=np.arange(2_000, N))
    left.forget(left.coreset().ids[0])
    right.forget("never seen")
    left.merge(right)
    manifest = left.snapshot().manifest
    assert (manifest["num_forgotten"], manifest["num_forget_missed"]) == (1, 1)
    assert manifest["n"] == N - 1


def test_a_snapshot_can_be_empty() -> None:
    """All that was held is forgotten; what was dropped is counted still."""
    engine = EchoCoreset(1, rank="center", preset="fixed").fit(
        np.ones((1_000, 2), dtype=np.float32)
    )
    while len(engine.snapshot().rows):
        engine.forget(engine.coreset().ids[0])
    snapshot = engine.snapshot()
    assert snapshot.n > 900
    assert snapshot.certified_fraction == 0.0


def test_a_merge_does_not_bring_back_what_one_side_has_forgotten(x: Array) -> None:
    """What the other side holds of it is taken out."""
    made = identity_generation(2, 3)
    left, right = (EchoCoreset(20, preset="paper", generation=made) for _ in range(2))
    left.partial_fit(x[:2_000], ids=np.arange(2_000))
    right.partial_fit(x[2_000:], ids=np.arange(2_000, N))
    name = right.coreset().ids[0]
    assert left.forget(name) == 0
    left.merge(right)
    assert name not in left.coreset().ids
    assert left.n_seen_ == N - 1
