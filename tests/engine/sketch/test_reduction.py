"""Merging weighted points by Ward's method, against scipy's."""

from typing import Any

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, ward

from echo_stream._common.typing import FloatArray, IntArray
from echo_stream.sketch import reduction
from echo_stream.sketch.reduction import reduce_points


def ones(number: int) -> IntArray:
    """Return counts of single samples."""
    return np.ones(number, dtype=np.int64)


def groups(labels: IntArray) -> set[frozenset[int]]:
    """Return a division as sets of rows."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def scatter(points: FloatArray, labels: IntArray) -> float:
    """Return the sum of squared distances to the mean of each group."""
    parts = (points[labels == label] for label in np.unique(labels))
    return float(sum(np.square(part - part.mean(axis=0)).sum() for part in parts))


@pytest.mark.parametrize("seed", range(10))
def test_single_points_merge_as_in_scipy(seed: int) -> None:
    """The same groups and the same last cost, for any number of groups."""
    rng = np.random.default_rng(seed)
    size, dim = int(rng.integers(2, 200)), int(rng.integers(1, 20))
    points = rng.normal(size=(size, dim)) * rng.lognormal(0, 2, size=(size, 1))
    tree = ward(points)
    for number in {1, 2, size // 3 + 1, size - 1, size}:
        found = reduce_points(points, ones(size), number)
        assert groups(found.labels) == groups(fcluster(tree, number, "maxclust"))
        cost = tree[size - number - 1, 2] ** 2 / 2 if number < size else 0.0
        assert found.cost == pytest.approx(cost, rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_a_weighted_point_is_as_many_equal_ones(seed: int) -> None:
    """Where copies are given one by one, they merge at no cost, and then as their mean does."""
    rng = np.random.default_rng(seed)
    points, counts = rng.normal(size=(60, 4)), rng.integers(1, 30, 60)
    copies = np.repeat(points, counts, axis=0)
    found = reduce_points(points, counts, 17)
    one_by_one = reduce_points(copies, ones(len(copies)), 17)
    assert groups(np.repeat(found.labels, counts)) == groups(one_by_one.labels)
    assert found.cost == pytest.approx(one_by_one.cost, rel=1e-4)


def test_of_equal_costs_the_earlier_points_merge() -> None:
    """Points at equal distances are merged from the first on."""
    line = np.arange(8.0)[:, None]
    assert reduce_points(line, ones(8), 6).labels.tolist() == [0, 0, 1, 1, 2, 3, 4, 5]
    assert reduce_points(line[::-1], ones(8), 6).labels.tolist() == [0, 0, 1, 1, 2, 3, 4, 5]


def test_copies_merge_first_and_cost_nothing() -> None:
    """Equal points become one before any others, wherever they lie."""
    points = np.repeat(np.random.default_rng(0).normal(size=(30, 5)) + 1_000, 4, axis=0)
    found = reduce_points(points, ones(120), 30)
    assert found.labels.tolist() == np.repeat(np.arange(30), 4).tolist()
    assert found.cost == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["equal", "equally far", "grid", "random"])
def test_many_pairs_merge_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs are computed anew a few times, even where points are equal or equally far."""
    rng = np.random.default_rng(0)
    points = {
        "equal": np.zeros((300, 2)),
        "equally far": np.eye(300),
        "grid": rng.integers(0, 9, (300, 3)).astype(np.float64),
        "random": rng.normal(size=(300, 8)),
    }[kind]
    rounds, merge_costs = list[int](), reduction.merge_costs

    def counted(*given: Any) -> None:
        """Take note of a round."""
        rounds.append(1)
        merge_costs(*given)

    monkeypatch.setattr(reduction, "merge_costs", counted)
    found = reduce_points(points, ones(300), 200)
    assert found.labels.max() == 199
    assert len(rounds) <= 20


@pytest.mark.parametrize("number", [1, 2, 7, 300, 600, 999])
def test_many_points_are_reduced_to_so_many_groups(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all pairs are compared, so many groups are left, and scatter little more."""
    points = np.random.default_rng(number).normal(size=(1_000, 3))
    whole = scatter(points, reduce_points(points, ones(1_000), number).labels)
    monkeypatch.setattr(reduction, "MOST_TOGETHER", 64)
    parts = reduce_points(points, ones(1_000), number).labels
    assert sorted(set(parts.tolist())) == list(range(number))
    assert scatter(points, parts) <= 1.25 * whole + 1e-12
    first = np.unique(parts, return_index=True)[1]
    assert first.tolist() == sorted(first.tolist())  # numbered by their first point


@pytest.mark.parametrize("scale", [1e30, 1.0, 1e-30, 1e-140])
def test_scale_and_origin_change_nothing(scale: float) -> None:
    """Points merge alike in any unit and far from the origin; costs are in the unit's square."""
    points = np.random.default_rng(5).normal(size=(100, 3)).round(3)
    expected = reduce_points(points, ones(100), 40)
    moved = reduce_points((points + 4_096.0) * scale, ones(100), 40)
    assert moved.labels.tolist() == expected.labels.tolist()
    assert moved.cost == pytest.approx(expected.cost * scale**2, rel=1e-3)


def test_a_far_point_hides_nothing() -> None:
    """Beside an outlier a million times as far, the others merge as without it."""
    points = np.random.default_rng(6).normal(size=(100, 3))
    expected = reduce_points(points, ones(100), 40)
    with_far = np.concatenate([points, [[1e6, 0, 0]]])
    found = reduce_points(with_far, ones(101), 41)
    assert found.labels.tolist() == [*expected.labels.tolist(), 40]
