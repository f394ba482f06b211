"""Selectors of streams that hold a given number of payloads, and no more."""

from itertools import combinations
from typing import Any, cast

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel

from benchmarks.data import DataSet
from benchmarks.selectors import Chosen, stream_select
from benchmarks.selectors.facility import facilities, greedy
from benchmarks.selectors.merge_reduce import reduced
from benchmarks.selectors.spaces import COMPONENTS, held_vectors
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.errors import ConfigError
from tests.support.benchmarks.toy_data import clusters

HOLDING = ("reservoir-facility", "reservoir-medoids", "kmeans-nearest", "merge-reduce")
ARRIVAL = np.random.default_rng(1).permutation(800)


class ReadOnce:
    """Samples that note which of them are read, and when; never all of them at once."""

    def __init__(self, x: Array) -> None:
        self._x = x
        self.shape, self.dtype = x.shape, x.dtype
        self.reads: list[IntArray] = []

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self._x)

    def __getitem__(self, rows: IntArray) -> Array:
        """Return some samples."""
        self.reads.append(np.array(rows))
        return self._x[rows]

    def __array__(self, *_: Any, **__: Any) -> Array:
        """Refuse to give all."""
        msg = "all samples were read at once"
        raise AssertionError(msg)


def observed(name: str, held: int, budget: int, order: IntArray) -> tuple[Chosen, list[set[int]]]:
    """Return what a selector chooses, and what it must have held at each of its reads.

    That is what it reads then, and what it has read before and reads again or chooses later.
    """
    data = clusters((200, 200, 200, 200))
    x = ReadOnce(data.x_train)
    watched = DataSet(
        "toy", cast("Array", x), data.y_train, data.x_test, data.y_test, "logistic", True
    )
    chosen = stream_select(name, watched, order, budget, 0, {"held": held})
    reads = [set(rows.tolist()) for rows in (*x.reads, chosen.core)]
    before = [set().union(*reads[: at + 1]) for at in range(len(reads))]
    later = [set().union(*reads[at:]) for at in range(len(reads))]
    return chosen, [one & other for one, other in zip(before, later, strict=True)]


@pytest.mark.parametrize(("held", "budget"), [(60, 9), (60, 59), (200, 100), (900, 50)])
@pytest.mark.parametrize("name", HOLDING)
def test_no_more_is_held_than_may_be_at_any_time(name: str, held: int, budget: int) -> None:
    """What waits in a batch counts; the selector says the largest number itself."""
    chosen, steps = observed(name, held, budget, ARRIVAL)
    most = max(map(len, steps))
    assert most <= chosen.info["payloads_held"] <= held
    assert chosen.info["payloads_held"] > 0.9 * min(held, 800)
    assert chosen.info["held_share"] == chosen.info["payloads_held"] / 800
    assert len(np.unique(chosen.core)) == budget


@pytest.mark.parametrize("name", HOLDING)
def test_a_stream_is_read_once_in_its_order(name: str) -> None:
    """What is new in a read comes after all that has been read before."""
    _, steps = observed(name, 100, 20, ARRIVAL)
    place = np.empty(800, np.int64)
    place[ARRIVAL] = np.arange(800)
    seen, last = set[int](), -1
    for held in steps:
        new = sorted(place[list(held - seen)])
        assert not new or new[0] > last
        last = max([last, *new])
        seen |= held


@pytest.mark.parametrize("name", HOLDING)
def test_weights_are_of_the_whole_stream(name: str) -> None:
    """And a choice is fixed by its seed."""
    data = clusters((400, 200, 100, 100))
    first, second, other = (
        stream_select(name, data, ARRIVAL, 12, seed, {"held": 120}) for seed in (3, 3, 4)
    )
    assert first.weights is not None
    assert second.weights is not None
    assert first.weights.sum() == pytest.approx(800)
    np.testing.assert_array_equal(first.core, second.core)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert set(first.core) != set(other.core)


@pytest.mark.parametrize("name", HOLDING)
def test_components_of_images_are_learnt_from_what_is_held(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To learn them from a tenth of the stream would be to hold that."""
    sizes, fit = list[int](), PCA.fit

    def noted(model: PCA, x: Array) -> PCA:
        sizes.append(len(x))
        return fit(model, x)

    monkeypatch.setattr(PCA, "fit", noted)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (800, 12, 12)).astype(np.uint8), np.zeros(800, np.int64)
    data = DataSet("toy", x, y, x, y, "lenet", False)
    assert len(stream_select(name, data, ARRIVAL, 10, 0, {"held": 60}).core) == 10
    assert 10 < min(sizes) <= max(sizes) <= 60


@pytest.mark.parametrize("name", HOLDING)
def test_what_is_held_must_leave_a_choice(name: str) -> None:
    """As many as the budget are none."""
    with pytest.raises(ConfigError, match="held must be more than the budget of 20; got 20"):
        stream_select(name, clusters(), np.arange(160), 20, 0, {"held": 20})


def test_components_are_of_the_rows_that_are_given() -> None:
    """As many as there can be, up to 64."""
    x = np.random.default_rng(0).integers(0, 256, (300, 10, 10)).astype(np.uint8)
    y = np.zeros(300, np.int64)
    data = DataSet("toy", x, y, x, y, "lenet", False)
    assert held_vectors(data, np.arange(200)).shape == (200, COMPONENTS)
    assert held_vectors(data, np.arange(20)).shape == (20, 20)


def worth(similar: FloatArray, demand: FloatArray, rows: tuple[int, ...]) -> float:
    """Return what facility location maximises, of some rows."""
    return float(similar[list(rows)].max(axis=0) @ demand)


@pytest.mark.parametrize("seed", range(5))
def test_the_lazy_choice_is_the_greedy_one(seed: int) -> None:
    """Row by row the largest gain, and nearly as much in all as the best of all choices."""
    rng = np.random.default_rng(seed)
    similar, demand = rbf_kernel(rng.normal(size=(14, 2))), rng.integers(1, 9, 14).astype(float)
    expected: list[int] = []
    for _ in range(3):
        rest = [row for row in range(14) if row not in expected]
        expected.append(max(rest, key=lambda row: worth(similar, demand, (*expected, row))))
    assert greedy(similar, demand, 3).tolist() == expected
    best = max(worth(similar, demand, rows) for rows in combinations(range(14), 3))
    assert worth(similar, demand, tuple(expected)) >= (1 - 1 / np.e) * best


def test_of_equal_rows_the_first_is_chosen() -> None:
    """Those that add nothing come in their order, so that the budget is full."""
    similar = rbf_kernel(np.array([[0.0], [9.0], [0.0], [9.0], [0.0]]), gamma=9)
    assert greedy(similar, np.ones(5), 4).tolist() == [0, 1, 2, 3]


def test_what_counts_more_is_chosen_first() -> None:
    """A far sample of a large weight comes before many near ones, and keeps its weight."""
    x = np.array([[0.0], [0.1], [0.2], [50.0]], np.float32)
    chosen, weights = facilities(x, np.array([1.0, 1.0, 1.0, 10.0]), 2, {})
    assert chosen.tolist() == [3, 1]
    assert weights.tolist() == [10.0, 3.0]


def test_a_kernel_has_a_width_in_median_distances() -> None:
    """The wider it is, the more a choice leans to where most samples are."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 2)), 8 * rng.normal(size=(20, 2))]).astype(np.float32)
    spread = [
        np.abs(x[facilities(x, np.ones(80), 8, {"width": width})[0]]).mean() for width in (0.2, 2.0)
    ]
    assert spread[0] != spread[1]
    scaled = facilities(1_000 * x, np.ones(80), 8, {})[0]
    assert scaled.tolist() == facilities(x, np.ones(80), 8, {})[0].tolist()
    plain = facilities(x, np.ones(80), 8, {"kernel": "distance"})[0]
    assert plain.tolist() != scaled.tolist()
    with pytest.raises(ConfigError, match="kernel must be rbf or distance; got 'cosine'"):
        facilities(x, np.ones(80), 8, {"kernel": "cosine"})


def test_a_reduction_keeps_the_mass_where_it_was() -> None:
    """Each group gets samples for its weight, and its sum of weights stays."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 25)
    x = (20 * np.eye(4)[groups] + rng.normal(size=(100, 4))).astype(np.float32)
    weights = rng.integers(1, 9, 100).astype(float)
    kept, sums = reduced(x, weights, 20, 0, 10)
    assert len(np.unique(kept)) == 20
    before = np.bincount(groups, weights)
    assert np.bincount(groups[kept], sums).tolist() == pytest.approx(before.tolist())


def test_a_reduction_leans_to_what_counts_more() -> None:
    """One sample that stands for many is nearer to their mean than those that stand for one."""
    line = np.arange(5, dtype=np.float32)[:, None]
    kept, sums = reduced(line, np.array([1.0, 1.0, 1.0, 1.0, 96.0]), 1, 0, 10)
    assert kept.tolist() == [4]
    assert sums.tolist() == [100.0]


def test_merge_and_reduce_knows_a_stream_that_is_sorted() -> None:
    """Its weights are those of all that has come, class by class."""
    data = clusters((400, 200, 100, 100))
    by_class = np.argsort(data.y_train, kind="stable")
    chosen = stream_select("merge-reduce", data, by_class, 4, 0, {"held": 40})
    assert sorted(data.y_train[chosen.core]) == [0, 1, 2, 3]
    assert chosen.weights is not None
    totals = np.bincount(data.y_train[chosen.core], chosen.weights)
    assert totals.tolist() == pytest.approx([400, 200, 100, 100], rel=0.1)


def test_ours_holds_no_more_than_it_may() -> None:
    """Its budget and what adaptive cells keep beside it are that number, warm-up included."""
    data = clusters((200, 200, 200, 200))
    chosen = stream_select("echo", data, ARRIVAL, 9, 0, {"held": 60})
    assert chosen.weights is not None
    assert chosen.weights.sum() == pytest.approx(800)
    assert len(np.unique(chosen.core)) == 9
    assert chosen.info["payloads_held"] == 60
    assert 9 <= 800 * chosen.info["held_share"] <= 60
    assert chosen.info["warmup_share"] == 60 / 800
    with pytest.raises(ConfigError, match="held must be more than the budget of 60; got 60"):
        stream_select("echo", data, ARRIVAL, 60, 0, {"held": 60})
