"""A second reading makes exact what the first has left in doubt, and only then."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.errors import WarmupError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.adversarial import (
    EXAMPLES,
    FIXED_QUANTISERS,
    any_engine,
    any_generation,
    assert_no_wrong_certificate,
    claims,
    streams,
    supports,
    truth,
)
from tests.support.strategies import identity_generation

pytestmark = pytest.mark.usefixtures("small_blocks")


def source(points: Array, ids: Array | None = None) -> ArraySource:
    """Return a source that can be read again."""
    return ArraySource(as_samples(points, ids=ids))


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    points=streams(),
    side=st.sampled_from([1, 2, 4]),
    budget=st.integers(1, 40),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    kind=st.sampled_from(FIXED_QUANTISERS),
    cut=st.floats(0, 1),
)
def test_a_repaired_stream_is_the_batch(
    points: Array,
    side: int,
    budget: int,
    support: int | float,
    rank: Rank,
    cut: float,
    *,
    kind: str,
) -> None:
    """Every row equal and certified, in any order; and none wrong when the stream goes on."""
    first = 1 + int(cut * (len(points) - 1))
    generation = any_generation(side, points, kind=kind)
    engine = any_engine(budget, rank, support, generation).partial_fit(points[:first])
    report = engine.repair(source(points))
    snapshot = engine.snapshot()
    assert snapshot.manifest["sums_are_exact"]
    assert report.is_accepted
    assert snapshot.certified_fraction == 1.0
    assert set(claims(snapshot)) == truth(points[:first], engine)
    engine = EchoCoreset.from_state(engine.to_state())
    assert engine.snapshot().id == snapshot.id
    engine.partial_fit(points[first:])
    assert_no_wrong_certificate(engine.snapshot(), truth(points, engine))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_duplicates_tie_with_the_last_of_a_full_pool(seed: int) -> None:
    """Of more equal samples than a pool holds the first by tie are found, late as they come."""
    rng = np.random.default_rng(seed)
    # So near to their centre that its rounding is much of their distance to it.
    places = np.float32(0.5) + rng.uniform(0, 0.0005, (4, 2)).astype(np.float32)
    points = places[np.sort(rng.integers(0, 4, 20_000))]
    engine = any_engine(2, "center", 0, identity_generation(2, 1)).partial_fit(points)
    assert engine.snapshot().certified_fraction == 1.0
    # Four were to spare.
    gone = []
    for _ in range(5):
        gone.append(int(engine.coreset().ids[0]))
        engine.forget(gone[-1])
    assert engine.snapshot().certified_fraction == 0.5
    order = rng.permutation(len(points))
    assert engine.repair(source(points[order], order)).num_cells == 1
    left = np.delete(np.arange(len(points)), gone)
    assert set(claims(engine.snapshot())) == truth(points[left], engine, ids=left)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    points=streams(),
    budget=st.integers(1, 30),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_forgotten_stays_out(
    points: Array, budget: int, support: int | float, rank: Rank, seed: int
) -> None:
    """A repair passes over what has been taken out, and takes out what was missed."""
    rng = np.random.default_rng(seed)
    engine = any_engine(budget, rank, support, identity_generation(2, 3)).partial_fit(points)
    gone = {*engine.coreset().ids[: rng.integers(0, 30)].astype(np.int64).tolist()}
    gone |= set(rng.choice(len(points), 10, replace=False).tolist())
    missed = sum(engine.forget(row) == 0 for row in sorted(gone))
    report = engine.repair(source(points))
    assert report.is_accepted
    assert report.num_forgotten == missed
    left = np.array([row for row in range(len(points)) if row not in gone])
    snapshot = engine.snapshot()
    assert snapshot.n == len(left)
    assert snapshot.manifest["num_forget_missed"] == snapshot.manifest["num_substituted"] == 0
    assert snapshot.manifest["sums_are_exact"]
    assert snapshot.certified_fraction == 1.0
    assert set(claims(snapshot)) == truth(points[left], engine, ids=left)


def test_another_source_changes_nothing() -> None:
    """Samples that are gone, or others: the repair is dropped and the difference told."""
    points = np.random.default_rng(0).random((3_000, 2)).astype(np.float32)
    points = points[np.argsort(points[:, 0])]
    engine = any_engine(30, "center", 2, identity_generation(2, 3)).partial_fit(points)
    before = engine.snapshot()
    assert before.certified_fraction is not None
    assert before.certified_fraction < 1
    cell = engine.generation_.quantiser.cell(
        int(engine.generation_.quantiser.locate(engine.generation_.latent(
            engine.generation_.preprocess(points[-1:]))).keys)
    )  # fmt: skip
    count = before.cells.counts[before.cells.cells.index(cell)]
    report = engine.repair(source(points[:-1]))
    assert report.differences == [(cell, count, count - 1)]
    assert not report.is_accepted
    assert engine.snapshot().id == before.id
    engine.forget("never seen")
    assert engine.repair(source(points[:-1])).differences == report.differences
    # What has come after it was counted is not read.
    assert engine.repair(source(np.concatenate([points, points[:9]]))).is_accepted
    assert engine.snapshot().certified_fraction == 1.0


def test_where_nothing_is_in_doubt_nothing_is_read() -> None:
    """A source that is gone is no matter then."""
    points = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    engine = any_engine(60, "center", 2, identity_generation(2, 3)).partial_fit(points)
    report = engine.repair(source(points[:1]))
    assert (report.num_cells, report.is_accepted) == (0, True)


def test_a_batch_build_is_certified_whole() -> None:
    """One bounded pass and a repair, whatever the order of the rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6_000, 8)).astype(np.float32)
    x = x[np.argsort(x[:, 0])]
    engine = EchoCoreset(60, warmup=600, support_share=0.25, preset="fixed").fit(x)
    assert engine.snapshot().certified_fraction == 1.0
    stream = EchoCoreset(
        60, generation=engine.generation_, support_share=0.25, preset="fixed"
    ).partial_fit(x)
    assert not all(stream.snapshot().rows.certified)
    stream.repair(source(x))
    assert stream.snapshot().rows.samples.ids.tolist() == engine.coreset().ids.tolist()


def test_an_engine_that_warms_up_has_nothing_to_repair() -> None:
    """There is no cell yet that could be in doubt."""
    points = np.zeros((5, 2), dtype=np.float32)
    with pytest.raises(WarmupError):
        EchoCoreset(5, preset="fixed").partial_fit(points).repair(source(points))


def test_other_samples_in_the_same_cells_are_told() -> None:
    """Not numbers alone are compared but sums as well: nothing foreign is certified."""
    points = np.random.default_rng(0).random((3_000, 2)).astype(np.float32)
    points = points[np.argsort(points[:, 0])]
    engine = any_engine(30, "center", 2, identity_generation(2, 3)).partial_fit(points)
    before = engine.snapshot()
    moved = np.clip(points + 1e-4, 0, 0.999).astype(np.float32)
    same_cells = (np.floor(points * 3) == np.floor(moved * 3)).all(axis=1)
    others = np.where(same_cells[:, None], moved, points)
    differences = engine.repair(source(others)).differences
    assert differences
    assert all(counted == found for _, counted, found in differences)
    assert engine.snapshot().id == before.id


def test_ids_that_come_twice_are_taken_out_whole() -> None:
    """Held or dropped, before the id was forgotten or sent again under it since."""
    rng = np.random.default_rng(0)
    points = rng.random((4_000, 2)).astype(np.float32)
    points = points[np.argsort(points[:, 0])]
    ids = rng.permutation(np.arange(4_000) // 2)
    engine = any_engine(20, "center", 2, identity_generation(2, 3)).partial_fit(points, ids=ids)
    gone = [int(name) for name in engine.coreset().ids[:4]]
    for name in gone:
        assert engine.forget(name) >= 1
    again = points[:2]
    engine.partial_fit(again, ids=gone[:2])
    everything, names = np.concatenate([points, again]), np.concatenate([ids, gone[:2]])
    assert engine.repair(source(everything, names)).is_accepted
    left = ~np.isin(names, gone)
    assert engine.n_seen_ == left.sum()
    assert not set(gone) & {int(name) for name in engine.coreset().ids}
    assert engine.snapshot().certified_fraction == 1.0


def test_arrays_are_sources_too() -> None:
    """Their rows are named by their numbers, as those of `fit` are."""
    points = np.random.default_rng(0).random((3_000, 2)).astype(np.float32)
    points = points[np.argsort(points[:, 0])]
    engine = any_engine(30, "center", 2, identity_generation(2, 3)).partial_fit(points)
    assert engine.repair(points).is_accepted
    assert engine.snapshot().certified_fraction == 1.0
    assert engine.memory_bound() == engine.snapshot().manifest["state_bytes_bound"]
