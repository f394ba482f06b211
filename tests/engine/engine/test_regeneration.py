"""New generations in the midst of a stream: exact where they can be, honest where they cannot."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.engine.stratified import shares
from echo_stream.errors import ConfigError, ShapeError, SourceError, WarmupError
from echo_stream.samples.members import Member
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from echo_stream.sketch import sketch
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.size import memory_bound, size_bytes
from tests.support.clusters import SETTINGS, N, in_clusters, rows, streamed
from tests.support.inside import fixed_sketch_of
from tests.support.same_coreset import comparable


@pytest.fixture(scope="module")
def clusters() -> Array:
    """Return points in twelve clusters, one after the other."""
    return in_clusters()


@pytest.fixture
def _small_reservoirs() -> Iterator[None]:
    """Keep few samples, so that small streams are estimated from them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echo_stream.sketch.pools.reservoir.MIN_SIZE", 64)
        patch.setattr("echo_stream.sketch.pools.reservoir.SAMPLES_PER_CODEWORD", 10)
        patch.setattr(sketch, "BLOCK_SIZE", 32)
        yield


def standing(old: FixedSketch) -> list[tuple[Member, int]]:
    """Return for how many samples each one held stands, cell by cell."""
    if old.is_approximate:
        kept = old.reservoir.members
        return list(zip(kept, shares(old.n, len(kept)).tolist(), strict=True))
    by_cell: dict[int, list[Member]] = {}
    for member in old.members():
        by_cell.setdefault(int(old.embedder.placed([member]).keys), []).append(member)
    chosen = [m for side in old.pools.ordered.values() for pool in side.pools for m in pool]
    statistics, stands = old.statistics(), []
    for key, count in zip(statistics.keys.tolist(), statistics.counts.tolist(), strict=True):
        near = [m for m in by_cell[key] if any(m is each for each in chosen)]
        others = [m for m in by_cell[key] if not any(m is each for each in near)]
        stands += [(m, 1) for m in near] if others else []
        rest, sharers = (count - len(near), others) if others else (count, near)
        stands += zip(sharers, shares(rest, len(sharers)).tolist(), strict=True)
    return stands


@pytest.mark.slow
@settings(max_examples=30)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(100, 900),
    share=st.sampled_from([0, 0.3]),
    is_second=st.booleans(),
)
@pytest.mark.usefixtures("_small_reservoirs")
def test_each_sample_that_is_kept_stands_for_others_of_its_cell(
    seed: int, n: int, share: float, is_second: bool
) -> None:
    """Those in pools ordered by distance for themselves, the rest for the rest; sums are exact.

    A second time pools have not seen all of their cells, and the reservoir stands for all.
    """
    x = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    engine = streamed(x, budget=12, warmup=60, support_share=share)
    if is_second:
        engine.regenerate()
    stands = standing(fixed_sketch_of(engine).flushed())
    engine.regenerate()
    after = fixed_sketch_of(engine)
    counts: dict[int, int] = {}
    sums: dict[int, list[Fraction]] = {}
    for member, times in stands:
        placed = after.embedder.embed(as_samples(member.x[None]))
        cell = int(placed.keys)
        counts[cell] = counts.get(cell, 0) + times
        old = sums.get(cell, [Fraction(0)] * 2)
        sums[cell] = [
            a + times * Fraction(z) for a, z in zip(old, placed.latent[0].tolist(), strict=True)
        ]
    statistics = after.statistics()
    assert dict(zip(statistics.keys.tolist(), statistics.counts.tolist(), strict=True)) == counts
    for key, ours in zip(statistics.keys.tolist(), statistics.latent_sums.tolist(), strict=True):
        assert [Fraction(value) for value in ours] == sums[key]
    assert after.n == n
    assert int(after.witnesses.rows()[:, 2].sum()) == (n if after.table.keys.numel() > 1 else 0)


@pytest.mark.slow
@settings(max_examples=30)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(100, 900),
    more=st.integers(0, 300),
    share=st.sampled_from([0, 0.3]),
)
@pytest.mark.usefixtures("_small_reservoirs")
def test_an_approximate_coreset_is_whole_and_promises_nothing(
    seed: int, n: int, more: int, share: float
) -> None:
    """B rows whose weights sum to N, none certified: also after more samples and a merge."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=(n + more, 2)), axis=0).astype(np.float32)
    chosen: dict[str, Any] = {"budget": 30, "support_share": share}
    engine = streamed(x[:n], warmup=60, **chosen)
    is_whole = len(fixed_sketch_of(engine).flushed().members()) == n
    engine.regenerate()
    twin = EchoCoreset.from_state(engine.to_state(), device="cpu")
    engine.partial_fit(x[n:])
    fresh = EchoCoreset(preset="fixed", **{**SETTINGS, **chosen, "generation": engine.generation_})
    engine.merge(fresh.partial_fit(x[:40]))
    for each, total in ((twin, n), (engine, n + more + 40)):
        snapshot = each.snapshot()
        assert snapshot.manifest["approximate"] is not is_whole
        assert len(snapshot.rows) == 30
        assert snapshot.rows.weights.sum() == pytest.approx(total)
        sketch = fixed_sketch_of(each)
        assert size_bytes(sketch, sketch.members()) <= memory_bound(sketch)
        if not is_whole:
            assert snapshot.certified_fraction == 0
            told = each.explain(snapshot.cells.cells[0])
            assert (told["core"]["certified"], told["core"]["bound"]) == ([], None)


@pytest.mark.parametrize("is_repaired", [False, True])
@pytest.mark.parametrize("share", [0, 0.25])
def test_regeneration_is_exact_when_all_is_held(
    clusters: Array, share: float, is_repaired: bool
) -> None:
    """The reservoir holds everything: the choice of pools that drop nothing, and certified.

    Also after a repair, which fills pools with copies of what the reservoir holds.
    """
    x = clusters[:2_000]
    engine = streamed(x, support_share=share)
    if is_repaired:
        engine.repair(ArraySource(as_samples(x)))
    before = engine.generation_.id
    engine.regenerate()
    with pytest.MonkeyPatch.context() as patch:
        for slack in ("SLACK", "SUPPORT_SLACK"):
            patch.setattr(f"echo_stream.sketch.pools.pools.{slack}", len(x))
        expected = streamed(x, support_share=share, generation=engine.generation_).snapshot()
    snapshot = engine.snapshot()
    assert engine.generation_.id != before
    assert rows(snapshot) == rows(expected)
    assert snapshot.cells.centroids.tobytes() == expected.cells.centroids.tobytes()
    assert snapshot.edges.lengths.tobytes() == expected.edges.lengths.tobytes()
    assert snapshot.manifest["approximate"] is False
    assert snapshot.certified_fraction == 1.0
    assert snapshot.manifest["former_generations"] == [before]
    assert snapshot.manifest["regenerations"] == 1


def test_reading_again_is_exact(clusters: Array) -> None:
    """Bit for bit what the new generation makes of the stream; an approximate engine recovers."""
    engine = streamed(clusters)
    engine.regenerate()
    assert engine.snapshot().manifest["approximate"] is True
    engine.regenerate(ArraySource(as_samples(clusters)))
    expected = streamed(clusters, generation=engine.generation_)
    mine, theirs = engine.snapshot(), expected.snapshot()
    assert rows(mine) == rows(theirs)
    assert mine.rows.certified.tolist() == theirs.rows.certified.tolist()
    assert mine.cells.centroids.tobytes() == theirs.cells.centroids.tobytes()
    assert mine.certified_fraction
    assert mine.manifest["regenerations"] == 2


def test_reading_again_takes_no_more_than_was_counted(clusters: Array) -> None:
    """The source is left behind the last sample that had been counted."""
    engine, source = streamed(clusters[:3_000]), ArraySource(as_samples(clusters))
    engine.regenerate(source)
    assert source.offsets() == {"row": 3_000}
    assert engine.n_seen_ == 3_000


def test_reading_again_refuses_other_data(clusters: Array) -> None:
    """Too few samples, others, or of another shape: an error, and the engine is as it was."""
    engine = streamed(clusters)
    before = comparable(engine)
    with pytest.raises(SourceError, match="has 5999 of the 6000 samples that arrived"):
        engine.regenerate(ArraySource(as_samples(clusters[:-1])))
    others = as_samples(clusters, ids=np.arange(7, N + 7))
    with pytest.raises(SourceError, match="other samples than the 6000 that arrived"):
        engine.regenerate(ArraySource(others))
    with pytest.raises(ShapeError):
        engine.regenerate(ArraySource(as_samples(clusters[:, :2])))
    assert comparable(engine) == before


@pytest.mark.usefixtures("_small_reservoirs")
def test_estimates_cannot_be_repaired() -> None:
    """A repair compares counts and settles pools; it has nothing to go by in estimates."""
    x = np.random.default_rng(0).normal(size=(900, 2)).astype(np.float32)
    engine = streamed(x, warmup=60)
    engine.regenerate()
    with pytest.raises(ConfigError, match="call regenerate\\(source\\)"):
        engine.repair(ArraySource(as_samples(x)))
    engine.regenerate(ArraySource(as_samples(x)))
    assert engine.repair(ArraySource(as_samples(x))).is_accepted
    assert engine.snapshot().certified_fraction == 1


def test_regeneration_needs_samples(clusters: Array) -> None:
    """Neither a warm-up nor an empty sketch has anything to train on."""
    with pytest.raises(WarmupError, match="still warming up"):
        EchoCoreset(preset="fixed", **SETTINGS).partial_fit(clusters[:10]).regenerate()
    generation = streamed(clusters[:600]).generation_
    with pytest.raises(WarmupError, match="no sample has been counted"):
        EchoCoreset(preset="fixed", **SETTINGS, generation=generation).regenerate()


@pytest.mark.usefixtures("_small_reservoirs")
def test_what_is_forgotten_stays_forgotten() -> None:
    """Held by the reservoir alone, kept over by a regeneration, or read again: it is gone."""
    x = np.random.default_rng(0).normal(size=(900, 2)).astype(np.float32)
    engine = streamed(x, warmup=60)
    sides = fixed_sketch_of(engine).pools.all()
    pooled = {member.id for side in sides for pool in side.pools for member in pool}
    only = next(m.id for m in fixed_sketch_of(engine).reservoir.members if m.id not in pooled)
    dropped = next(
        r for r in range(800) if str(r) not in {m.id for m in fixed_sketch_of(engine).members()}
    )
    assert (engine.forget(only), engine.forget(dropped)) == (1, 0)
    assert engine.n_seen_ == 899
    engine.regenerate()
    before = fixed_sketch_of(engine).statistics().counts.tolist()
    gone = [only, str(dropped), engine.coreset().ids[0]]
    assert engine.forget(gone[2]) == 1
    # Estimates stay as they are: what a sample has given them is not known.
    assert fixed_sketch_of(engine).statistics().counts.tolist() == before
    assert not {m.id for m in fixed_sketch_of(engine).members()} & set(gone)
    manifest = engine.snapshot().manifest
    assert (manifest["num_forgotten"], manifest["num_forget_missed"]) == (1, 2)
    engine.regenerate(ArraySource(as_samples(x)))
    left = np.array([row for row in range(900) if str(row) not in gone])
    alone = EchoCoreset(preset="fixed", **SETTINGS, generation=engine.generation_).partial_fit(
        x[left], ids=left
    )
    assert rows(engine.snapshot()) == rows(alone.snapshot())
    manifest = engine.snapshot().manifest
    assert (manifest["n"], manifest["num_forgotten"]) == (897, 3)
    assert manifest["num_forget_missed"] == 0


def test_nothing_is_trained_on_what_was_forgotten(clusters: Array) -> None:
    """The reason is told; the engine stays as it was."""
    engine = streamed(clusters)
    engine.regenerate()
    for name in [member.id for member in fixed_sketch_of(engine).members()]:
        engine.forget(name)
    before = engine.generation_
    with pytest.raises(WarmupError, match="all held samples have been forgotten"):
        engine.regenerate()
    assert engine.generation_ is before


@pytest.mark.parametrize("n", [5, 12, 100])
def test_shares_are_whole_and_sum_to_n(n: int) -> None:
    """As equal as whole numbers can be, the larger ones first."""
    parts = shares(n, 5).tolist()
    assert sum(parts) == n
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= 1
