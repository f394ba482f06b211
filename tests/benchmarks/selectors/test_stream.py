"""Selectors of streams against what defines them."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.data import DataSet
from benchmarks.selectors import stream_select
from benchmarks.selectors.nearest import NearestCache
from benchmarks.selectors.sieve import sieve
from echo_stream._common.typing import Array, IntArray
from tests.support.benchmarks.toy_data import clusters

SHUFFLED = np.random.default_rng(0).permutation(160)


def test_a_reservoir_is_uniform() -> None:
    """The last sample is kept as often as the first: 160 rows, 10 of them, 2,000 times."""
    data = clusters()
    hits = np.bincount(
        np.concatenate(
            [stream_select("reservoir", data, SHUFFLED, 10, seed, {}).core for seed in range(2_000)]
        )
    )
    # 125 expected, standard deviation 10.8; five of these either way.
    assert hits.min() > 125 - 55
    assert hits.max() < 125 + 55


def imbalanced() -> DataSet:
    """Return classes of 400, 100, 20 and 8 samples."""
    return clusters((400, 100, 20, 8))


def orders(data: DataSet) -> dict[str, IntArray]:
    """Return a stream at random, and one class after another, the largest first and last."""
    by_class = np.argsort(data.y_train, kind="stable")
    shuffled = np.random.default_rng(0).permutation(len(by_class))
    return {"shuffled": shuffled, "sorted": by_class, "reversed": by_class[::-1].copy()}


@pytest.mark.parametrize("order", ["shuffled", "sorted", "reversed"])
@pytest.mark.parametrize("name", ["cbrs", "gdumb"])
def test_balanced_memories_keep_rare_classes_whole(name: str, order: str) -> None:
    """And share the rest of the budget between the others, in any order of arrival."""
    data = imbalanced()
    core = stream_select(name, data, orders(data)[order], 40, 0, {}).core
    counts = np.bincount(data.y_train[core], minlength=4)
    assert counts[3] == 8
    assert counts[:3].min() >= 10
    assert counts.sum() == 40


def test_gdumb_refuses_what_is_beyond_its_share() -> None:
    """Though there is room: half of the memory is class 1's once that has been seen."""
    data = clusters((305, 5))
    zeros, ones = (np.flatnonzero(data.y_train == label) for label in (0, 1))
    order = np.concatenate([zeros[:5], ones[:2], zeros[5:], ones[2:]])
    core = stream_select("gdumb", data, order, 40, 0, {}).core
    assert core.tolist() == [*zeros[:20], *ones]


@pytest.mark.parametrize("name", ["cbrs", "gdumb"])
def test_balanced_memories_say_that_they_look_at_all_labels(name: str) -> None:
    """However few are trained on."""
    data = clusters()
    assert stream_select(name, data, SHUFFLED[:100], 9, 0, {}).info["labels_seen"] == 100


def test_cbrs_is_uniform_within_a_class() -> None:
    """A late sample of a full class is kept as often as an early one; GDumb's is not."""
    data, runs = clusters((100, 100)), 400
    order = np.arange(200)
    kept = [stream_select("cbrs", data, order, 20, seed, {}).core for seed in range(runs)]
    late = np.mean([np.isin(core, order[100:]).mean() for core in kept])
    assert late == pytest.approx(0.5, abs=0.05)
    greedy = [stream_select("gdumb", data, order, 20, seed, {}).core for seed in range(runs)]
    assert np.mean([np.isin(core, order[100:]).mean() for core in greedy]) < 0.1


def test_the_cache_keeps_what_is_nearest_to_each_centre() -> None:
    """As all samples at once would have it, where centres do not move."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    centres = rng.normal(size=(5, 2))
    cache = NearestCache(x, budget=10, num_centres=5, seed=0)
    for rows in np.array_split(np.arange(300), 7):
        cache.offer(rows, centres)
    distances = np.linalg.norm(x[:, None] - centres[None], axis=2)
    owners = distances.argmin(axis=1)
    expected = {
        int(row)
        for centre in range(5)
        for row in np.argsort(np.where(owners == centre, distances[:, centre], np.inf))[:2]
    }
    rows, num_filled = cache.choose()
    assert set(rows.tolist()) == expected
    assert num_filled == 0


def test_the_cache_fills_up_with_others() -> None:
    """Where a centre has no sample near it."""
    x = np.zeros((50, 1), np.float32)
    x[:25] = 1
    cache = NearestCache(x, budget=4, num_centres=4, seed=0)
    cache.offer(np.arange(50), np.array([[0.0], [50.0], [60.0], [70.0]]))
    rows, num_filled = cache.choose()
    assert len(np.unique(rows)) == 4
    assert num_filled == 2


def test_kmeans_takes_a_sample_of_each_cluster() -> None:
    """Near the middle of it."""
    data = clusters((200, 200, 200, 200))
    order = np.random.default_rng(0).permutation(800)
    core = stream_select("kmeans-nearest", data, order, 4, 0, {}).core
    assert sorted(data.y_train[core]) == [0, 1, 2, 3]


def test_kmeans_weighs_its_samples_by_their_clusters() -> None:
    """A sample stands for all that were nearest to its centre, and says how much was kept."""
    data = clusters((400, 250, 150))
    order = np.random.default_rng(0).permutation(800)
    chosen = stream_select("kmeans-nearest", data, order, 6, 0, {"max_centres": 3})
    assert chosen.weights is not None
    totals = np.bincount(data.y_train[chosen.core], weights=chosen.weights)
    assert totals.tolist() == pytest.approx([400, 250, 150])
    assert 6 / 800 < chosen.info["held_share"] < 1


def test_kmeans_takes_several_samples_a_centre() -> None:
    """Where there are more to choose than centres."""
    data = clusters((200, 200, 200, 200))
    order = np.random.default_rng(0).permutation(800)
    core = stream_select("kmeans-nearest", data, order, 40, 0, {"max_centres": 4}).core
    assert np.bincount(data.y_train[core]).tolist() == [10] * 4


def worth(x: Array, rows: tuple[int, ...]) -> float:
    """Return what the sieve maximises, of some rows, where all samples are the reference."""
    base = np.square(x - x.mean(axis=0)).sum(axis=1)
    nearest = np.square(x[:, None] - x[None, list(rows)]).sum(axis=2).min(axis=1)
    return float(base.mean() - np.minimum(base, nearest).mean())


@pytest.mark.parametrize("epsilon", [0.1, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_the_sieve_is_worth_half_the_optimum(seed: int, epsilon: float) -> None:
    """Less epsilon, against all choices of three out of fourteen."""
    x = np.random.default_rng(seed).normal(size=(14, 2))
    best = max(worth(x, rows) for rows in combinations(range(14), 3))
    sieved = sieve(x, np.arange(14), np.arange(14), 3, epsilon)
    assert 0 < len(sieved.rows) <= 3
    assert sieved.value >= (0.5 - epsilon) * best
    assert sieved.value == pytest.approx(worth(x, tuple(sieved.rows.tolist())))


def sieved_by_definition(x: Array, budget: int, epsilon: float) -> list[int]:
    """Return what Algorithm 1 chooses: a set for each threshold, and whole values for all."""
    sets: dict[int, list[int]] = {}
    lower = largest = 0.0
    for row in range(len(x)):
        largest = max(largest, worth(x, (row,)))
        if worth(x, (row,)) <= 0:
            continue
        least = max(lower, largest) / (2 * budget)
        among = [
            i for i in range(-99, 99) if least / (1 + epsilon) <= (1 + epsilon) ** i <= largest
        ]
        sets = {i: sets.get(i, []) for i in among}
        for i, rows in sets.items():
            value = worth(x, tuple(rows)) if rows else 0.0
            gain = worth(x, (*rows, row)) - value
            if len(rows) < budget and gain >= (1 + epsilon) ** i:
                rows.append(row)
                lower = max(lower, value + gain)
    return max(sets.values(), key=lambda rows: worth(x, tuple(rows)) if rows else 0.0)


@pytest.mark.parametrize("epsilon", [0.1, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_the_sieve_is_that_of_its_definition(seed: int, epsilon: float) -> None:
    """Row by row, of more than fit into a set."""
    x = np.random.default_rng(seed).normal(size=(60, 2))
    rows = sieve(x, np.arange(60), np.arange(60), 6, epsilon).rows
    assert rows.tolist() == sieved_by_definition(x, 6, epsilon)


def test_the_sieve_passes_over_samples_that_add_nothing() -> None:
    """Equal samples are worth no more than one of them; the rest of the budget is filled up."""
    x = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    y = np.repeat(np.arange(3), 50)
    chosen = stream_select(
        "sieve-streaming++", DataSet("toy", x, y, x, y, "logistic", True),
        np.random.default_rng(0).permutation(150), 6, 0, {},
    )  # fmt: skip
    assert chosen.info["num_filled"] >= 3
    assert set(y[chosen.core[:3]]) == {0, 1, 2}


def test_the_sieve_fills_up_with_a_uniform_sample() -> None:
    """Sorted by class too: its own choice ends early there, and others are of the first class."""
    data = clusters((200, 200, 200, 200))
    by_class = np.argsort(data.y_train, kind="stable")
    chosen = stream_select("sieve-streaming++", data, by_class, 100, 0, {})
    filled = data.y_train[chosen.core[-chosen.info["num_filled"] :]]
    assert len(filled) > 50
    assert min(np.bincount(filled, minlength=4)) > len(filled) / 8
    assert chosen.info["warmup_share"] == 0.1
    assert 0.1 < chosen.info["held_share"] < 1


def test_clustream_looks_at_some_rows_of_a_stream() -> None:
    """And says at how many; each micro-cluster gives as many as another."""
    data = clusters((200, 200, 200, 200))
    order = np.random.default_rng(0).permutation(800)
    options = {"max_rows": 300, "micro_clusters": 4}
    chosen = stream_select("clustream-nearest", data, order, 8, 0, options)
    assert chosen.info["rows"] == 300
    assert chosen.info["num_filled"] == 0
    assert chosen.weights is not None
    assert chosen.weights.sum() == pytest.approx(300, rel=0.01)
    assert 8 / 800 < chosen.info["held_share"] < 1


def test_medoids_of_a_reservoir_are_of_what_it_keeps() -> None:
    """A fifth of the stream; weights are of all of it."""
    data = clusters((400, 250, 150))
    order = np.random.default_rng(0).permutation(800)[:600]
    chosen = stream_select("reservoir-medoids", data, order, 3, 0, {"share": 0.2})
    assert set(data.y_train[chosen.core]) == {0, 1, 2}
    assert set(chosen.core) <= set(order)
    assert chosen.weights is not None
    expected = np.bincount(data.y_train[order])[data.y_train[chosen.core]]
    assert chosen.weights.tolist() == pytest.approx(expected.tolist(), rel=0.25)
    assert chosen.info["held_share"] == 0.2


def test_fixed_cells_learn_from_a_tenth_of_a_stream() -> None:
    """And say so, and how much they keep."""
    info = stream_select("echo-fixed", clusters(), SHUFFLED, 9, 0, {}).info
    assert info["warmup_share"] == 0.1
    assert 0 < info["held_share"] <= 1
    assert "labels_seen" not in info


def test_ours_looks_at_labels_only_to_split_the_budget() -> None:
    """Each class gets as many rows as another then, and all labels count as seen."""
    data = clusters()
    chosen = stream_select("echo-fixed", data, SHUFFLED, 9, 0, {"balance": "class"})
    assert chosen.info["labels_seen"] == len(data.y_train)
    assert sorted(np.bincount(data.y_train[chosen.core])) == [2, 2, 2, 3]
