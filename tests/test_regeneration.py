"""New generations in the midst of a stream: exact where they can be, honest where they cannot."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig, Snapshot, sketch
from echo_stream.config import Cells
from echo_stream.connectors.engine_files import read_generation
from echo_stream.connectors.state_store import StateStore
from echo_stream.drift import Watch
from echo_stream.errors import ConfigError, ShapeError, SourceError, WarmupError
from echo_stream.generation import train_generation
from echo_stream.members import Member
from echo_stream.run_config import RunConfig
from echo_stream.runtime import Run
from echo_stream.schedule import Every
from echo_stream.sketch import Sketch
from echo_stream.source import ArraySource
from echo_stream.stand_ins import shares
from echo_stream.typing import Array
from echo_stream.validation import as_samples
from tests.runtime_rig import NEVER, Clock, Diary, Memory, comparable

N = 6_000
WARMUP = 500
SETTINGS: dict[str, Any] = {"budget": 24, "latent": "identity", "warmup": WARMUP, "device": "cpu"}


@pytest.fixture(scope="module")
def clusters() -> Array:
    """Return points in twelve clusters, one after the other."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 4, (12, 3)).repeat(N // 12, axis=0)
    return (centres + rng.normal(0, 0.3, (N, 3))).astype(np.float32)


@pytest.fixture
def _small_reservoirs() -> Iterator[None]:
    """Keep few samples, so that small streams are estimated from them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echo_stream.reservoir.MIN_SIZE", 64)
        patch.setattr("echo_stream.reservoir.SAMPLES_PER_CODEWORD", 10)
        patch.setattr(sketch, "BLOCK_SIZE", 32)
        yield


def streamed(x: Array, **settings: Any) -> EchoCoreset:
    """Return an engine that has counted x."""
    return EchoCoreset(**{**SETTINGS, "auto_regenerate": False, **settings}).partial_fit(x)


def rows(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    """Return all that a snapshot says of its rows but whether they are certified."""
    table = snapshot.rows
    columns = (table.samples.ids, table.roles, table.rounds, table.cells, table.weights)
    return list(zip(*(list(column) for column in columns), strict=True))


def sketch_of(engine: EchoCoreset) -> Sketch:
    """Return an engine's sketch."""
    return engine._current.settled_sketch()


def standing(old: Sketch) -> list[tuple[Member, int]]:
    """Return for how many samples each one held stands, cell by cell."""
    if old.is_approximate:
        kept = old.reservoir.members
        return list(zip(kept, shares(old.n, len(kept)).tolist(), strict=True))
    by_cell: dict[int, list[Member]] = {}
    for member in old.members():
        by_cell.setdefault(int(old.placed([member]).keys), []).append(member)
    chosen = [m for side in old.pools.ordered.values() for pool in side.pools for m in pool]
    statistics, stands = old.statistics(), []
    for key, count in zip(statistics.keys.tolist(), statistics.counts.tolist(), strict=True):
        near = [m for m in by_cell[key] if any(m is each for each in chosen)]
        others = [m for m in by_cell[key] if not any(m is each for each in near)]
        stands += [(m, 1) for m in near] if others else []
        rest, sharers = (count - len(near), others) if others else (count, near)
        stands += zip(sharers, shares(rest, len(sharers)).tolist(), strict=True)
    return stands


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
    stands = standing(sketch_of(engine).settled())
    engine.regenerate()
    after = sketch_of(engine)
    counts: dict[int, int] = {}
    sums: dict[int, list[Fraction]] = {}
    for member, times in stands:
        placed = after.embed(as_samples(member.x[None]))
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
    is_whole = sketch_of(engine).settled().num_retained == n
    engine.regenerate()
    twin = EchoCoreset.from_state(engine.to_state(), device="cpu")
    engine.partial_fit(x[n:])
    fresh = EchoCoreset(**{**SETTINGS, **chosen, "generation": engine.generation_})
    engine.merge(fresh.partial_fit(x[:40]))
    for each, total in ((twin, n), (engine, n + more + 40)):
        snapshot = each.snapshot()
        assert snapshot.manifest["approximate"] is not is_whole
        assert len(snapshot.rows) == 30
        assert snapshot.rows.weights.sum() == pytest.approx(total)
        assert sketch_of(each).size_bytes <= sketch_of(each).memory_bound
        if not is_whole:
            assert snapshot.certified_fraction == 0
            told = each.explain(snapshot.cells.cells[0])
            assert (told["core"]["certified"], told["core"]["bound"]) == ([], None)


@pytest.mark.parametrize("is_repaired", [False, True])
@pytest.mark.parametrize("share", [0, 0.25])
def test_regeneration_is_exact_when_all_is_held(
    clusters: Array, share: float, is_repaired: bool
) -> None:
    """The reservoir holds everything: the choice of pools that drop nothing, and proven.

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
            patch.setattr(f"echo_stream.pools.{slack}", len(x))
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
    assert source.position() == {"row": 3_000}
    assert engine.n_seen_ == 3_000


def test_reading_again_refuses_other_data(clusters: Array) -> None:
    """Too few samples, others, or of another shape: an error, and the engine is as it was."""
    engine = streamed(clusters)
    before = comparable(engine)
    with pytest.raises(SourceError, match="has brought 5999 of the 6000 samples that arrived"):
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
        EchoCoreset(**SETTINGS).partial_fit(clusters[:10]).regenerate()
    generation = streamed(clusters[:600]).generation_
    with pytest.raises(WarmupError, match="no sample has been counted"):
        EchoCoreset(**SETTINGS, generation=generation).regenerate()


@pytest.mark.usefixtures("_small_reservoirs")
def test_what_is_forgotten_stays_forgotten() -> None:
    """Held by the reservoir alone, kept over by a regeneration, or read again: it is gone."""
    x = np.random.default_rng(0).normal(size=(900, 2)).astype(np.float32)
    engine = streamed(x, warmup=60)
    pooled = {member.id for member in sketch_of(engine).pools.distinct_members()}
    only = next(m.id for m in sketch_of(engine).reservoir.members if m.id not in pooled)
    dropped = next(
        r for r in range(800) if str(r) not in {m.id for m in sketch_of(engine).members()}
    )
    assert (engine.forget(only), engine.forget(dropped)) == (1, 0)
    assert engine.n_seen_ == 899
    engine.regenerate()
    before = sketch_of(engine).statistics().counts.tolist()
    gone = [only, str(dropped), engine.coreset().ids[0]]
    assert engine.forget(gone[2]) == 1
    # Estimates stay as they are: what a sample has given them is not known.
    assert sketch_of(engine).statistics().counts.tolist() == before
    assert not {m.id for m in sketch_of(engine).members()} & set(gone)
    manifest = engine.snapshot().manifest
    assert (manifest["num_forgotten"], manifest["num_forget_missed"]) == (1, 2)
    engine.regenerate(ArraySource(as_samples(x)))
    left = np.array([row for row in range(900) if str(row) not in gone])
    alone = EchoCoreset(**SETTINGS, generation=engine.generation_).partial_fit(x[left], ids=left)
    assert rows(engine.snapshot()) == rows(alone.snapshot())
    manifest = engine.snapshot().manifest
    assert (manifest["n"], manifest["num_forgotten"]) == (897, 3)
    assert manifest["num_forget_missed"] == 0


def automatic(x: Array, size: int, **settings: Any) -> EchoCoreset:
    """Return an engine that has streamed x in batches of a size and may regenerate."""
    engine = EchoCoreset(**{**SETTINGS, **settings})
    for start in range(0, len(x), size):
        engine.partial_fit(x[start : start + size])
    return engine


def test_a_sorted_stream_regenerates_whatever_its_batches(clusters: Array) -> None:
    """Each time that N has doubled, at the end of a block: the state is the same bit for bit."""
    whole = automatic(clusters, N)
    assert whole.snapshot().manifest["regenerations"] == 3
    assert len({*sketch_of(whole).former_generations, whole.generation_.id}) == 4
    for size in (7, 1_000, 1_025):
        assert comparable(automatic(clusters, size)) == comparable(whole)


@pytest.mark.parametrize("cells", ["grid", "grid-budget"])
def test_a_grid_regenerates_too(clusters: Array, cells: Cells) -> None:
    """What leaves its span is far; one that would become too fine keeps its resolution."""
    x = np.hstack([clusters, clusters[:, :1]])
    engine = automatic(x, N, cells=cells)
    manifest = engine.snapshot().manifest
    assert manifest["regenerations"] > 0
    assert manifest["n"] == N
    # N would make 18 cells a side, and with the outer ring 160,000 in all.
    assert WARMUP <= engine.generation_.expected_n < N


@settings(max_examples=10)
@given(cut=st.integers(0, N))
def test_a_restored_engine_regenerates_bit_for_bit(clusters: Array, cut: int) -> None:
    """Save, load and continue is to continue, across warm-up, looks and regenerations."""
    engine = automatic(clusters[:cut], N)
    arrays, meta = engine.to_state()
    restored = EchoCoreset.from_state((arrays, json.loads(json.dumps(meta))), device="cpu")
    engine.partial_fit(clusters[cut:])
    restored.partial_fit(clusters[cut:])
    assert comparable(restored) == comparable(engine)


@pytest.mark.parametrize("dim", [2, 16])
def test_a_stationary_stream_is_left_alone(dim: int) -> None:
    """Its codebook's training samples lie nearer to it than others: that is no drift."""
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(3_000, dim)).astype(np.float32)
        engine = automatic(x, 3_000, budget=50, seed=seed)
        assert engine.snapshot().manifest["regenerations"] == 0
        watch = sketch_of(engine).watch
        assert watch is not None
        assert watch.n == 2_048


def test_duplicates_are_no_drift() -> None:
    """Samples that all sit on their codewords have distances of rounding alone."""
    values = np.random.default_rng(0).normal(size=(10, 4))
    x = values[np.random.default_rng(1).integers(0, 10, 3_000)].astype(np.float32)
    assert automatic(x, 3_000).snapshot().manifest["regenerations"] == 0
    x[WARMUP:] += 1
    assert automatic(x, 3_000).snapshot().manifest["regenerations"] > 0


@pytest.mark.parametrize("override", [{"preset": "paper", "epochs": 1}, {"auto_regenerate": False}])
def test_regeneration_by_itself_is_a_setting(clusters: Array, override: dict[str, Any]) -> None:
    """Off under the paper's preset, and where it is switched off."""
    settings = {**override} if "preset" in override else {**SETTINGS, **override}
    engine = EchoCoreset(**{**settings, "warmup": WARMUP}).partial_fit(clusters)
    assert engine.snapshot().manifest["regenerations"] == 0


def halved(x: Array) -> Array:
    """Return half of each sample's values."""
    return x / 2


def test_features_are_those_of_the_first_generation(clusters: Array) -> None:
    """Each generation measures samples by what was given to the first, under its name."""
    engine = automatic(clusters, N, features=halved)
    plain = automatic(clusters, N)
    assert engine.generation_.features is not None
    assert engine.generation_.features.name == f"{halved.__module__}:halved"
    # Halving is exact, and changes neither cells nor distances in proportion.
    ours, theirs = engine.snapshot(), plain.snapshot()
    assert ours.manifest["regenerations"] == theirs.manifest["regenerations"] == 3
    assert rows(ours) == rows(theirs)
    engine.regenerate(ArraySource(as_samples(clusters)))
    assert engine.snapshot().manifest["approximate"] is False


def test_a_given_generation_is_kept(clusters: Array) -> None:
    """Who gives a generation, to merge with others or to compare, gets no other."""
    given_one = streamed(clusters[:WARMUP]).generation_
    engine = EchoCoreset(**SETTINGS, generation=given_one).partial_fit(clusters)
    assert engine.generation_.id == given_one.id


@pytest.mark.parametrize("cells", ["codebook", "grid-budget"])
@pytest.mark.parametrize(("moved", "expected"), [(0.0, 0.1), (0.3, 0.37)])
def test_a_look_estimates_the_share_of_far_samples(
    cells: Cells, moved: float, expected: float
) -> None:
    """A tenth of those like the training samples, and all that have moved far away."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2)).astype(np.float32)
    x[2_000:][rng.random(N - 2_000) < moved] += 50
    config = EngineConfig(budget=24, cells=cells, latent="identity")
    device = torch.device("cpu")
    generation = train_generation(x[:2_000], config, expected_n=N, device=device)
    counted = Sketch(generation, config, device)
    counted.update(as_samples(x))
    watch = Watch.begin(generation, x[:2_000], seed=0)
    drift = watch.drift(N, counted.settled().reservoir.members, generation.partition)
    # Five standard errors; cross-validation makes no more than two of them of bias.
    assert drift.share == pytest.approx(expected, abs=5 * drift.error)
    assert drift.is_drift == (moved > 0)
    assert 0 < drift.error < 0.02


def test_outliers_are_no_drift() -> None:
    """A distribution with heavy tails sends far samples at all times."""
    for seed in range(3):
        x = np.random.default_rng(seed).standard_t(2, size=(5_000, 3)).astype(np.float32)
        assert automatic(x, 5_000, seed=seed).snapshot().manifest["regenerations"] == 0


def test_merged_engines_go_on_watching(clusters: Array) -> None:
    """The next look comes when N has doubled since the merge, whichever side absorbs."""
    left = automatic(clusters[:900], 900)
    right = EchoCoreset(**SETTINGS, generation=left.generation_).partial_fit(clusters[:800])
    other = EchoCoreset.from_state(right.to_state(), device="cpu")
    other.merge(left)
    left.merge(right)
    assert sketch_of(left).watch == sketch_of(other).watch
    watch = sketch_of(left).watch
    assert watch is not None
    assert (watch.n, watch.next_look) == (1_700, 3_400)
    left.partial_fit(clusters[1_000:])
    assert left.snapshot().manifest["regenerations"] == 1


def test_nothing_is_trained_on_what_was_forgotten(clusters: Array) -> None:
    """The reason is told; the engine stays as it was."""
    engine = streamed(clusters)
    engine.regenerate()
    for name in [member.id for member in sketch_of(engine).members()]:
        engine.forget(name)
    before = engine.generation_
    with pytest.raises(WarmupError, match="all that was kept has been forgotten"):
        engine.regenerate()
    assert engine.generation_ is before


@pytest.mark.parametrize("n", [5, 12, 100])
def test_shares_are_whole_and_sum_to_n(n: int) -> None:
    """As equal as whole numbers can be, the larger ones first."""
    parts = shares(n, 5).tolist()
    assert sum(parts) == n
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= 1


def test_the_runtime_keeps_every_generation_that_it_checkpoints(
    clusters: Array, tmp_path: Path
) -> None:
    """Stopped and started again across regenerations, a run ends as one that was not."""
    config = EngineConfig(**{key: value for key, value in SETTINGS.items() if key != "device"})
    every = RunConfig(checkpoint_every=Every(samples=700), max_samples=1_500)
    generations = set()
    for _ in range(4):
        with StateStore(tmp_path) as store:
            found = store.load_checkpoint(config, device="cpu")
            engine = found.engine if found else EchoCoreset.from_config(config, device="cpu")
            source = ArraySource(as_samples(clusters))
            source.seek(found.position if found else {"row": 0})
            Run(source, engine, store, Memory(Diary()), config=every, clock=Clock()).run()
            generations.add(engine.generation_.id)
    undisturbed = EchoCoreset.from_config(config, device="cpu")
    memory = Memory(Diary())
    Run(
        ArraySource(as_samples(clusters), description={"kind": "array", "n": 100}),
        undisturbed, memory, memory, config=NEVER, clock=Clock(),
    ).run()  # fmt: skip
    assert comparable(engine) == comparable(undisturbed)
    assert engine.snapshot().manifest["regenerations"] == 3
    folders = {folder.name for folder in (tmp_path / "generations").iterdir()}
    assert generations <= folders
    assert read_generation(tmp_path / "generations" / engine.generation_.id).id in generations


def test_a_snapshot_may_hold_the_coreset_anew(clusters: Array) -> None:
    """It is what regeneration would select, and leaves the engine and its own rows alone."""
    engine = streamed(clusters)
    before, plain = comparable(engine), engine.snapshot()
    both = engine.snapshot(anew=True)
    assert comparable(engine) == before
    assert rows(both) == rows(plain)
    assert both.anew is not None
    assert both.id != plain.id
    assert plain.anew is None
    changed = engine.copy()
    changed.regenerate()
    expected = changed.snapshot()
    assert rows(both.anew) == rows(expected)
    assert both.manifest["anew"]["generation"] == expected.manifest["generation"]
    assert both.manifest["anew"]["approximate"]
