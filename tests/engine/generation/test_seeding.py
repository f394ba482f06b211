"""Greedy seeds against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream._common.typing import Array, FloatArray
from echo_stream.generation import seeding
from echo_stream.generation.seeding import greedy_seeds


def total(points: FloatArray, centres: FloatArray) -> float:
    """Return the sum of the squared distances of points to the nearest of some centres."""
    squares = np.square(points[:, None] - centres[None]).sum(axis=2)
    return float(squares.min(axis=1).sum())


def greedily(points: FloatArray, number: int) -> FloatArray:
    """Return seeds by trying every point at each step."""
    candidates, chosen = np.unique(points, axis=0), np.empty((0, points.shape[1]))
    while len(chosen) < number:
        sums = [total(points, np.vstack([chosen, [point]])) for point in candidates]
        chosen = np.vstack([chosen, [candidates[int(np.argmin(sums))]]])
        candidates = np.array([p for p in candidates if not (chosen == p).all(axis=1).any()])
    return chosen


def cloud(seed: int, n: int) -> FloatArray:
    """Return points in clumps of different sizes."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) + 5 * rng.integers(0, 3, size=(n, 1)) ** 2


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 12))
def test_each_seed_leaves_the_least(seed: int, n: int, number: int) -> None:
    """No point would have brought them nearer at its step; each counts as often as it does."""
    points, number = cloud(seed, n), min(number, n)
    times = np.random.default_rng(seed).integers(1, 9, n)
    every = np.repeat(points, times, axis=0)
    found = greedy_seeds(points, number, seed=0, times=times)
    for step in range(number):
        best = min(total(every, np.vstack([found[:step], [point]])) for point in points)
        assert total(every, found[: step + 1]) == pytest.approx(best, rel=1e-5, abs=1e-9)


def test_far_groups_of_few_points_have_seeds() -> None:
    """A rare class is often such a group, and gets a cell of its own by it."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * np.arange(5) / 5
    far = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([rng.normal(size=(3_000, 2)), far])
    found = {tuple(seed) for seed in greedy_seeds(points, 30, seed=0)}
    assert found >= {tuple(point) for point in far}


def test_of_equals_the_smaller_is_chosen() -> None:
    """Wherever it stands: 2 and 3 are as central, and 3 and 4 bring as much beside 2."""
    points = np.array([[4.0], [3.0], [2.0], [1.0]])
    assert greedy_seeds(points, 2, seed=0).tolist() == [[2.0], [3.0]]


@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_neither_order_nor_repetition_decides(seed: int, n: int) -> None:
    """A point that counts five times is five of them, wherever they stand."""
    rng = np.random.default_rng(seed)
    points, times = cloud(seed, n), rng.integers(1, 6, n)
    found = greedy_seeds(points, min(n, 9), seed=0, times=times)
    repeated = rng.permutation(np.repeat(points, times, axis=0))
    np.testing.assert_array_equal(greedy_seeds(repeated, min(n, 9), seed=1), found)


@pytest.mark.parametrize(("scale", "shift"), [(3e37, 0.0), (1e-300, 0.0), (1.0, 1e9)])
def test_neither_scale_nor_place_decides(scale: float, shift: float) -> None:
    """As far as numbers go, and as long as they tell the points apart."""
    points = cloud(5, 60)
    found = greedy_seeds(points * scale + shift, 12, seed=0)
    expected = greedy_seeds(points, 12, seed=0) * scale + shift
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.slow
def test_of_many_points_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed chooses it; what comes of it is about as good."""
    monkeypatch.setattr(seeding, "MAX_CANDIDATES", 300)
    points = cloud(0, 1_000)
    one, other = (greedy_seeds(points, 20, seed=seed) for seed in (1, 2))
    assert {tuple(p) for p in one} <= {tuple(p) for p in points}
    assert not np.array_equal(one, other)
    best = total(points, greedily(points, 20))
    assert total(points, one) < 1.1 * best
    # What weighs next to nothing is no seed.
    order, is_heavy = np.random.default_rng(0).permutation(1_000), points[:, 0] > 10
    times = np.where(is_heavy, 10**6, 1)
    heavy = greedy_seeds(points[order], 20, seed=1, times=times[order])
    assert heavy[:, 0].min() > 10 > one[:, 0].min()
    np.testing.assert_array_equal(greedy_seeds(points, 20, seed=1, times=times), heavy)


@pytest.mark.parametrize("points", [np.ones((5, 2)), np.full((3, 1), 1e-300)])
def test_equal_points_have_one_seed(points: Array) -> None:
    """Which is that point."""
    assert greedy_seeds(points, 3, seed=0).tolist() == points[:1].tolist()


def test_all_distinct_points_can_be_chosen() -> None:
    """Also those that bring nothing, since they all but coincide with another."""
    points = np.array([[0.0], [1e-12], [1.0], [1.0], [2e-12]])
    assert sorted(greedy_seeds(points, 4, seed=0).ravel()) == [0.0, 1e-12, 2e-12, 1.0]
