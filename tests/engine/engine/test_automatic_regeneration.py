"""Streams that regenerate by themselves when they drift, and those that do not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import Array
from echo_stream.config import Cells
from echo_stream.connectors.storage.engine_files import read_generation
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.engine.drift import DriftDetector
from echo_stream.generation.generation import train_generation
from echo_stream.run.config import RunConfig
from echo_stream.run.runtime import Environment, Run
from echo_stream.run.schedule import Every
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.fixed_sketch import FixedSketch
from tests.support.clusters import SETTINGS, WARMUP, N, in_clusters, rows, streamed
from tests.support.inside import detector_of, sketch_of
from tests.support.runtime_rig import NEVER, Clock, Diary, Memory
from tests.support.same_coreset import comparable


@pytest.fixture(scope="module")
def clusters() -> Array:
    """Return points in twelve clusters, one after the other."""
    return in_clusters()


def automatic(x: Array, size: int, **settings: Any) -> EchoCoreset:
    """Return an engine that has streamed x in batches of a size and may regenerate."""
    engine = EchoCoreset(preset="fixed", **{**SETTINGS, **settings})
    for start in range(0, len(x), size):
        engine.partial_fit(x[start : start + size])
    return engine


@pytest.mark.slow
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


@pytest.mark.slow
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
        detector = detector_of(engine)
        assert detector is not None
        assert detector.n == 2_048


def test_duplicates_are_no_drift() -> None:
    """Samples that all sit on their codewords have distances of rounding alone."""
    values = np.random.default_rng(0).normal(size=(10, 4))
    x = values[np.random.default_rng(1).integers(0, 10, 3_000)].astype(np.float32)
    assert automatic(x, 3_000).snapshot().manifest["regenerations"] == 0
    x[WARMUP:] += 1
    assert automatic(x, 3_000).snapshot().manifest["regenerations"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("override", [{"preset": "paper", "epochs": 1}, {"auto_regenerate": False}])
def test_regeneration_by_itself_is_a_setting(clusters: Array, override: dict[str, Any]) -> None:
    """Off under the paper's preset, and where it is switched off."""
    settings = override if "preset" in override else {"preset": "fixed", **SETTINGS, **override}
    engine = EchoCoreset(**{**settings, "warmup": WARMUP}).partial_fit(clusters)
    assert engine.snapshot().manifest["regenerations"] == 0


def halved(x: Array) -> Array:
    """Return half of each sample's values."""
    return x / 2


@pytest.mark.slow
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
    engine = EchoCoreset(preset="fixed", **SETTINGS, generation=given_one).partial_fit(clusters)
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
    config = EngineConfig(budget=24, cells=cells, latent="identity", preset="fixed")
    device = torch.device("cpu")
    generation = train_generation(x[:2_000], config, expected_n=N, device=device)
    counted = FixedSketch(generation, config, device)
    counted.update(as_samples(x))
    drift = DriftDetector.fit(generation, x[:2_000], seed=0).drift(counted)
    # Five standard errors; cross-validation makes no more than two of them of bias.
    assert drift.share == pytest.approx(expected, abs=5 * drift.error)
    assert drift.is_drift == (moved > 0)
    assert 0 < drift.error < 0.02


def test_outliers_are_no_drift() -> None:
    """A distribution with heavy tails sends far samples at all times."""
    for seed in range(3):
        x = np.random.default_rng(seed).standard_t(2, size=(5_000, 3)).astype(np.float32)
        assert automatic(x, 5_000, seed=seed).snapshot().manifest["regenerations"] == 0


def test_merged_engines_still_check_for_drift(clusters: Array) -> None:
    """The next check comes when N has doubled since the merge, whichever side absorbs."""
    left = automatic(clusters[:900], 900)
    right = EchoCoreset(preset="fixed", **SETTINGS, generation=left.generation_).partial_fit(
        clusters[:800]
    )
    other = EchoCoreset.from_state(right.to_state(), device="cpu")
    other.merge(left)
    left.merge(right)
    detector = detector_of(left)
    assert detector == detector_of(other)
    assert detector is not None
    assert (detector.n, detector.next_check) == (1_700, 3_400)
    left.partial_fit(clusters[1_000:])
    assert left.snapshot().manifest["regenerations"] == 1


@pytest.mark.slow
def test_the_runtime_keeps_every_generation_that_it_checkpoints(
    clusters: Array, tmp_path: Path
) -> None:
    """Stopped and started again across regenerations, a run ends as one that was not."""
    config = EngineConfig(
        preset="fixed", **{key: value for key, value in SETTINGS.items() if key != "device"}
    )
    every = RunConfig(checkpoint_every=Every(samples=700), max_samples=1_500)
    generations = set()
    for _ in range(4):
        with StateStore(tmp_path) as store:
            found = store.load_checkpoint(config, device="cpu")
            engine = found.engine if found else EchoCoreset.from_config(config, device="cpu")
            source = ArraySource(as_samples(clusters))
            source.seek(found.offsets if found else {"row": 0})
            Run(source, engine, store, Memory(Diary()), every, Environment(Clock())).run()
            generations.add(engine.generation_.id)
    undisturbed = EchoCoreset.from_config(config, device="cpu")
    memory = Memory(Diary())
    Run(
        ArraySource(as_samples(clusters), description={"kind": "array", "n": 100}),
        undisturbed, memory, memory, NEVER, Environment(Clock()),
    ).run()  # fmt: skip
    assert comparable(engine) == comparable(undisturbed)
    assert engine.snapshot().manifest["regenerations"] == 3
    folders = {folder.name for folder in (tmp_path / "generations").iterdir()}
    assert generations <= folders
    assert read_generation(tmp_path / "generations" / engine.generation_.id).id in generations


@pytest.mark.parametrize("given", [False, True])
def test_other_streams_have_no_detector(clusters: Array, given: bool) -> None:
    """One with the generation of another engine, or that may not train again by itself."""
    batch = EchoCoreset(preset="fixed", **SETTINGS).fit(clusters)
    settings: dict[str, Any] = {"generation": batch.generation_} if given else {}
    stream = automatic(clusters, N, **settings, auto_regenerate=given)
    assert [detector_of(engine) for engine in (batch, stream)] == [None, None]
    assert "drift_detector" not in stream.to_state()[1]
    assert "drift_detector" in automatic(clusters, N).to_state()[1]
