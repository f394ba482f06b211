"""Drift that is seen in errors and in distances, and scores over time."""

from itertools import pairwise

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.run.monitoring import (
    CURVE_POINTS,
    FIRST_STEP,
    DistanceMonitor,
    Prequential,
    RiseDetector,
)
from echo_stream.samples.validation import as_samples
from tests.support.strategies import identity_generation


@pytest.mark.parametrize("seed", range(5))
def test_stable_errors_are_no_drift_and_better_ones_neither(seed: int) -> None:
    """Only a rise is."""
    rng = np.random.default_rng(seed)
    rise = RiseDetector()
    assert not rise.update((rng.random(2_000) < 0.5).tolist())
    assert not rise.update((rng.random(2_000) < 0.1).tolist())
    assert rise.update((rng.random(2_000) < 0.5).tolist())


@pytest.mark.parametrize("seed", range(5))
def test_samples_that_move_away_from_their_cells(seed: int) -> None:
    """Those that come from where the first came from are none, in any batches."""
    rng = np.random.default_rng(seed)
    engine = EchoCoreset(
        20, preset="paper", cells="codebook", latent="identity", support=0, warmup=200,
        device="cpu",
    )  # fmt: skip
    monitor = DistanceMonitor()
    assert not monitor.update(engine, as_samples(rng.normal(size=(10, 2))))
    engine.partial_fit(rng.normal(size=(200, 2)))
    near = [rng.normal(size=(n, 2)) for n in (1, 499, 0, 2_000)]
    assert not any(monitor.update(engine, as_samples(x)) for x in near if len(x))
    assert monitor.update(engine, as_samples(rng.normal(size=(1_000, 2)) + 9))


def test_samples_that_move_away_from_adaptive_cells() -> None:
    """Their distance is that to the mean of the nearest cell, whatever has been counted."""
    rng = np.random.default_rng(3)
    engine = EchoCoreset(20, keep=100, warmup=50, device="cpu")
    monitor = DistanceMonitor()
    assert not monitor.update(engine, as_samples(rng.normal(size=(10, 2))))
    engine.partial_fit(rng.normal(size=(500, 2)))
    assert not monitor.update(engine, as_samples(rng.normal(size=(2_500, 2))))
    assert monitor.update(engine, as_samples(rng.normal(size=(1_000, 2)) + 9))


def test_distances_of_another_generation_are_not_compared() -> None:
    """What lay far off lies at a new centre: the monitor begins again."""
    x = np.random.default_rng(0).random((600, 2)).astype(np.float32)
    monitor = DistanceMonitor()
    for side in (8, 2):  # cells four times as wide
        engine = EchoCoreset(9, preset="paper", generation=identity_generation(2, side),
                             device="cpu").partial_fit(x)  # fmt: skip
        assert not monitor.update(engine, as_samples(x))


def test_scores_over_time() -> None:
    """Over all, over the last thousand, and along a curve that stays short."""
    record = Prequential("classification")
    assert record.to_json() == {
        "tested": 0, "accuracy": None, "accuracy_recent": None, "curve": [],
    }  # fmt: skip
    record.update([1] * 3_000, [0] * 2_000 + [1] * 1_000)
    found = record.to_json()
    assert (found["accuracy"], found["accuracy_recent"]) == (0.3333, 1.0)
    assert found["curve"][:1] == [[FIRST_STEP, 0.0]]
    assert found["curve"][-1] == [3_000, 1.0]
    record.update([1] * 40_000, [1] * 40_000)
    curve = record.to_json()["curve"]
    assert len(curve) <= CURVE_POINTS
    steps = {after[0] - before[0] for before, after in pairwise(curve)}
    assert len(steps) == 1


def test_regression_is_scored_by_absolute_errors() -> None:
    """In the unit of the labels."""
    record = Prequential("regression")
    record.update([1.0, 2.0], [1.5, 2.5])
    assert record.to_json()["mae"] == 0.5
