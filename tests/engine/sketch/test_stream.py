"""The stream: any batches, any order, bounded memory, merges, and a state that is whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig, Generation, Snapshot
from echo_stream._common.typing import Array
from echo_stream.config import Preset
from echo_stream.coreset.building import take_snapshot
from echo_stream.errors import ConfigError, DataError, ShapeError, WarmupError
from echo_stream.samples.samples import Samples
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.size import memory_bound, size_bytes
from echo_stream.sketch.sketch import BLOCK_SIZE
from tests.support.inside import fixed_sketch_of
from tests.support.same_coreset import comparable
from tests.support.strategies import identity_generation

N = 12_000


CLUSTERS = np.random.default_rng(7).integers(0, 20, N)


@pytest.fixture(scope="module")
def x() -> Array:
    """Return points in twenty clusters, enough for pools to drop most of them."""
    rng = np.random.default_rng(8)
    centres = rng.random((20, 2))
    return (centres[CLUSTERS] + rng.normal(0, 0.03, (N, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def generation() -> Generation:
    """Return a grid of nine cells a side over the points as they are."""
    return identity_generation(dim=2, side=9)


def engine(generation: Generation, budget: int = 100) -> EchoCoreset:
    """Return an engine of a generation."""
    return EchoCoreset(budget, preset="paper", generation=generation)


def in_batches(engine: EchoCoreset, x: Array, size: int, ids: Array | None = None) -> EchoCoreset:
    """Stream x in batches of a size."""
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        engine.partial_fit(x[rows], ids=None if ids is None else ids[rows])
    return engine


def chosen(snapshot: Snapshot, role: str) -> set[str]:
    """Return the ids of a role."""
    return set(snapshot.rows.samples.ids[snapshot.rows.roles == role])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 1_000, BLOCK_SIZE, 5_000])
def test_batch_sizes_do_not_matter(x: Array, generation: Generation, size: int) -> None:
    """The state is the same, bit for bit, however the stream is cut."""
    some = x[:4_500] if size == 1 else x
    whole = engine(generation).partial_fit(some)
    assert comparable(in_batches(engine(generation), some, size)) == comparable(whole)


# Share of equal samples. In a sorted stream, along an axis above all, the centres move
# towards what has been dropped; only a second pass could mend that.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "share"), [("shuffled", 0.985), ("by cluster", 0.7), ("along an axis", 0.3)]
)
def test_stream_equals_batch_in_any_order(
    x: Array, generation: Generation, order: str, share: float
) -> None:
    """Counts, centroids and edges are the same bits; of the samples nearly all are the same."""
    rows = {
        "shuffled": np.random.default_rng(0).permutation(N),
        "by cluster": np.argsort(CLUSTERS, kind="stable"),
        "along an axis": np.argsort(x[:, 0], kind="stable"),
    }[order]
    batch = brute_force(x, generation)
    stream = in_batches(engine(generation), x[rows], 777, rows).snapshot()
    assert stream.cells.counts.tobytes() == batch.cells.counts.tobytes()
    assert stream.cells.centroids.tobytes() == batch.cells.centroids.tobytes()
    assert stream.edges.lengths.tobytes() == batch.edges.lengths.tobytes()
    for role in ("core", "support"):
        expected = chosen(batch, role)
        assert len(chosen(stream, role) & expected) >= share * len(expected)


def brute_force(x: Array, generation: Generation) -> Snapshot:
    """Return the batch choice: pools that hold everything drop nothing."""
    everything = EchoCoreset(N, preset="paper", support=N, generation=generation).fit(x)
    sketch = fixed_sketch_of(everything).flushed()
    wanted = FixedSketch(generation, EngineConfig(budget=100, preset="paper"), sketch.device)
    wanted.table, wanted.pools = sketch.table, sketch.pools
    return take_snapshot(wanted)


@pytest.mark.parametrize("budget", [1, 50, 300])
def test_memory_stays_within_the_bound(x: Array, generation: Generation, budget: int) -> None:
    """After every batch the bytes in use are below the bound, and the rounds only fall."""
    stream = engine(generation, budget)
    rounds = np.inf
    for start in range(0, N, 500):
        stream.partial_fit(x[start : start + 500])
        sketch = fixed_sketch_of(stream)
        assert size_bytes(sketch, sketch.members()) <= memory_bound(sketch)
        assert sketch.pools.quotas.of(0).rounds <= rounds
        rounds = sketch.pools.quotas.of(0).rounds
        for side in sketch.pools.all():
            sizes = zip(map(len, side.pools), side.capacities, strict=True)
            assert all(size <= capacity for size, capacity in sizes)
        assert sketch.pools.nearest is not None
        assert set(sketch.pools.nearest.capacities) <= {2 * rounds + 16}
        assert sketch.pools.support is not None
        assert set(sketch.pools.support.capacities) <= {2 + 24}


@settings(max_examples=20)
@given(cut=st.integers(0, 5_000), more=st.integers(0, 2_500))
def test_a_restored_engine_goes_on_bit_for_bit(
    x: Array, generation: Generation, cut: int, more: int
) -> None:
    """Save, load and continue is the same as to continue, wherever the cut falls."""
    straight = engine(generation).partial_fit(x[:cut])
    restored = EchoCoreset.from_state(straight.to_state(), device="cpu")
    straight.partial_fit(x[cut : cut + more])
    restored.partial_fit(x[cut : cut + more])
    assert comparable(restored) == comparable(straight)


@pytest.mark.parametrize("shards", [2, 5])
def test_merged_shards_are_one_engine(x: Array, generation: Generation, shards: int) -> None:
    """Counts, centroids and graph bit for bit; the coreset at least 98.5 % the same."""
    rows = np.arange(N)
    parts = [
        in_batches(engine(generation), x[i::shards], 900, rows[i::shards]) for i in range(shards)
    ]
    first = parts[0]
    for other in parts[1:]:
        untouched = comparable(other)
        first.merge(other)
        assert comparable(other) == untouched
    merged, whole = first.snapshot(), engine(generation).partial_fit(x).snapshot()
    assert merged.n == N
    assert merged.cells.centroids.tobytes() == whole.cells.centroids.tobytes()
    assert merged.edges.lengths.tobytes() == whole.edges.lengths.tobytes()
    assert merged.manifest["labels_reservoir"] == whole.manifest["labels_reservoir"]
    for role in ("core", "support"):
        expected = chosen(whole, role)
        assert len(chosen(merged, role) & expected) >= 0.985 * len(expected)


def test_merging_refuses_what_does_not_fit(generation: Generation) -> None:
    """Other generations and budgets are named; an engine that warms up has nothing to merge."""
    with pytest.raises(ConfigError, match="budget: 100 and 101"):
        engine(generation, 100).merge(engine(generation, 101))
    with pytest.raises(ConfigError, match="cannot merge sketches of generations"):
        engine(generation).merge(engine(identity_generation(dim=2, side=8)))
    with pytest.raises(WarmupError):
        engine(generation).merge(EchoCoreset(100, preset="fixed"))
    itself = engine(generation)
    with pytest.raises(ConfigError, match="cannot be merged with itself"):
        itself.merge(itself)


def test_a_snapshot_leaves_the_engine_as_it_is(x: Array, generation: Generation) -> None:
    """The tail is applied to a copy: asking changes nothing."""
    stream = engine(generation).partial_fit(x[:1_500])
    before = comparable(stream)
    assert stream.snapshot().n == 1_500
    assert comparable(stream) == before


def test_changing_the_callers_array_changes_nothing(x: Array, generation: Generation) -> None:
    """Whatever is kept, in pools or in the tail, is a copy."""
    reused = x[:1_500].copy()
    stream = engine(generation).partial_fit(reused)
    expected = engine(generation).partial_fit(x[:1_500])
    reused[:] = 9
    assert comparable(stream) == comparable(expected)


def test_warmup_holds_back_trains_and_counts(x: Array) -> None:
    """A stream with its own warm-up ends like one that is given that generation."""
    stream = in_batches(
        EchoCoreset(50, warmup=1_000, epochs=1, expected_n=N, preset="fixed"), x, 300
    )
    assert stream.generation_.expected_n == N
    given_it = EchoCoreset(50, generation=stream.generation_, preset="fixed").partial_fit(x)
    assert stream.snapshot().rows.samples.ids.tolist() == (
        given_it.snapshot().rows.samples.ids.tolist()
    )


def test_the_warmup_is_cut_by_position(x: Array) -> None:
    """Batch sizes do not change what the generation is trained on."""
    settings = {"warmup": 1_000, "epochs": 1}
    one = in_batches(EchoCoreset(50, preset="fixed", **settings), x[:3_000], 1)  # type: ignore[arg-type]
    other = in_batches(EchoCoreset(50, preset="fixed", **settings), x[:3_000], 999)  # type: ignore[arg-type]
    assert comparable(one) == comparable(other)


def test_training_that_is_stopped_holds_the_whole_batch_back(x: Array) -> None:
    """It begins again with what it would have had; the rest is counted after it."""
    samples = as_samples(x[:900])
    whole, stopped = (EchoCoreset(50, preset="paper", warmup=300, epochs=2) for _ in range(2))
    whole.update(samples)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.update(samples, on_epoch=stop)
    assert (stopped.n_seen_, stopped.is_warming_up) == (900, True)
    stopped = EchoCoreset.from_state(stopped.to_state())
    stopped.end_warmup()
    assert comparable(stopped) == comparable(whole)


@pytest.mark.parametrize("preset", ["adaptive", "fixed"])
def test_a_snapshot_during_the_warmup_is_provisional(x: Array, preset: Preset) -> None:
    """It is that of a warm-up which ends now, and the warm-up goes on as if there were none."""
    engine = EchoCoreset(20, preset=preset).partial_fit(x[:100])
    early = engine.snapshot()
    assert early.manifest["provisional"] and engine.is_warming_up
    assert early.rows.samples.ids.tolist() == engine.coreset().ids.tolist()
    assert len(engine.held()[0]) == 100
    engine.forget(int(early.rows.samples.ids[0]))
    assert engine.snapshot().n == 99  # what is known of it is made again
    engine = EchoCoreset(20, preset=preset).partial_fit(x[:100])
    restored = EchoCoreset.from_state(engine.to_state())
    assert comparable(restored) == comparable(engine)
    restored.end_warmup()
    whole = restored.snapshot()
    assert not whole.manifest["provisional"]
    assert whole.rows.samples.ids.tolist() == early.rows.samples.ids.tolist()
    assert whole.rows.weights.tolist() == early.rows.weights.tolist()
    with pytest.raises(WarmupError, match="no sample has been counted yet"):
        EchoCoreset(20, preset=preset).snapshot()


def test_fit_keeps_the_conventions(x: Array) -> None:
    """Row numbers, weights and labels of one fit belong together; a second fit starts again."""
    y = np.arange(N) % 3
    batch = EchoCoreset(60, preset="paper", epochs=1).fit(x, y).fit(x[:5_000], y[:5_000])
    rows = batch.snapshot().rows
    assert rows.samples.x.tolist() == x[batch.indices_].tolist()
    assert rows.samples.labels is not None
    assert rows.samples.labels.tolist() == y[batch.indices_].tolist()
    assert batch.weights_.sum() == pytest.approx(5_000)
    assert len(batch.support_indices_) == len(batch.indices_) - 60


def test_indices_are_not_invented(x: Array, generation: Generation) -> None:
    """Where the caller's ids are no numbers there are no row numbers."""
    stream = engine(generation).partial_fit(x[:50], ids=[f"id-{row}" for row in range(50)])
    with pytest.raises(AttributeError, match="row numbers"):
        _ = stream.indices_


def test_bad_samples_are_refused_before_anything_is_counted(
    x: Array, generation: Generation
) -> None:
    """Shape, dtype, NaN, lengths: one clear error, and the state is untouched."""
    stream = engine(generation).partial_fit(x[:1_500])
    before = comparable(stream)
    bad = x[:10].copy()
    bad[7, 1] = np.nan
    with pytest.raises(DataError, match="NaN in row 7"):
        stream.partial_fit(bad)
    with pytest.raises(ShapeError, match=r"expected samples of shape \(2,\)"):
        stream.partial_fit(np.zeros((3, 5), dtype=np.float32))
    with pytest.raises(ShapeError, match="dtype float64"):
        stream.partial_fit(x[:3].astype(np.float64))
    with pytest.raises(DataError):
        stream.partial_fit(x[:3], y=[1, 2])
    with pytest.raises(DataError, match="no samples"):
        stream.fit(x[:0])
    assert comparable(stream) == before


def test_as_dataset_has_all_rows(x: Array) -> None:
    """Pairs of tensors, core first; labels become classes, unknown ones -1."""
    y = [None if row % 5 == 0 else ("odd" if row % 2 else "even") for row in range(200)]
    snapshot = EchoCoreset(30, epochs=0, preset="fixed").fit(x[:200], y).snapshot()
    dataset = snapshot.as_dataset()
    assert len(dataset) == len(snapshot.rows)
    assert dataset.classes == ("even", "odd")
    labels = snapshot.rows.samples.labels
    assert labels is not None
    expected = [-1 if y is None else dataset.classes.index(y) for y in labels]
    assert [int(dataset[row][1]) for row in range(len(dataset))] == expected
    assert dataset[0][0].tolist() == snapshot.rows.samples.x[0].tolist()


def test_outliers_far_beyond_the_warmup_are_counted(generation: Generation) -> None:
    """Values up to float32's limits land in the outer ring, and sums stay exact."""
    x = np.array([[0.5, 0.5], [1e38, -1e38], [3e38, 3e38]], dtype=np.float32)
    snapshot = engine(generation).partial_fit(x).snapshot()
    assert snapshot.n == 3
    assert snapshot.cells.cells == [(4, 4), (9, -1), (9, 9)]
    assert snapshot.manifest["sums_are_exact"] is True
    assert isinstance(snapshot.select("core"), Samples)
