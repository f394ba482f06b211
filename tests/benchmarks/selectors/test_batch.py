"""Batch selectors against what defines them."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.evaluation.choosing import loaded
from benchmarks.selectors import select
from benchmarks.selectors.greedy import farthest_first, herd
from benchmarks.selectors.medoids import nearest_rows
from benchmarks.selectors.sampling import even_shares
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array, IntArray
from tests.support.benchmarks.toy_data import clusters

SEEDS = range(5)


def radius(x: Array, rows: IntArray | tuple[int, ...]) -> float:
    """Return the largest distance of a sample to its nearest chosen one."""
    return float(np.linalg.norm(x[:, None] - x[None, list(rows)], axis=2).min(axis=1).max())


@pytest.mark.parametrize("seed", SEEDS)
def test_k_center_is_within_twice_the_optimum(seed: int) -> None:
    """Against all choices of three out of twelve."""
    x = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
    best = min(radius(x, rows) for rows in combinations(range(12), 3))
    assert radius(x, farthest_first(x, 3, first=0)) <= 2 * best + 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_k_center_takes_the_farthest(seed: int) -> None:
    """As the definition, sample by sample, with all distances at hand."""
    x = np.random.default_rng(seed).normal(size=(40, 3)).astype(np.float32)
    chosen = [4]
    while len(chosen) < 10:
        chosen.append(
            int(np.linalg.norm(x[:, None] - x[None, chosen], axis=2).min(axis=1).argmax())
        )
    assert farthest_first(x, 10, first=4).tolist() == chosen


def test_k_center_takes_each_cluster_before_a_second_sample_of_one() -> None:
    """They are farther apart than wide."""
    data = clusters()
    assert set(data.y_train[select("k-center", data, 4, 0, {}).core]) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", SEEDS)
def test_herding_follows_the_mean(seed: int) -> None:
    """Each pick is the one after which the mean of the chosen is nearest to that of all."""
    x = np.random.default_rng(seed).normal(size=(30, 3)).astype(np.float32)
    chosen: list[int] = []
    for _ in range(8):
        rest = [row for row in range(30) if row not in chosen]
        errors = [np.linalg.norm(x[[*chosen, row]].mean(axis=0) - x.mean(axis=0)) for row in rest]
        chosen.append(rest[int(np.argmin(errors))])
    assert herd(x, 8).tolist() == chosen


def test_herding_begins_with_the_sample_nearest_to_the_mean() -> None:
    """The library that most use takes the farthest one."""
    x = np.array([[0.0], [1.0], [2.0], [9.0]], np.float32)  # their mean is 3
    assert herd(x, 1).tolist() == [2]


def test_balanced_gives_every_class_its_share() -> None:
    """A class that has too few gives all; the others share what is left."""
    data = clusters((3, 50, 50, 50))
    core = select("balanced", data, 33, 0, {}).core
    assert np.bincount(data.y_train[core]).tolist() == [3, 10, 10, 10]


def test_what_is_left_over_goes_to_random_classes() -> None:
    """Not to the first ones always."""
    shares = [
        even_shares(np.full(4, 9), 5, np.random.default_rng(seed)).tolist() for seed in range(40)
    ]
    assert {int(np.argmax(share)) for share in shares} == {0, 1, 2, 3}
    assert all(sum(share) == 5 and min(share) == 1 for share in shares)


def test_random_is_uniform() -> None:
    """Each row is as likely as any: 160 rows, 10 of them, 2,000 times."""
    data = clusters()
    hits = np.bincount(
        np.concatenate([select("random", data, 10, seed, {}).core for seed in range(2_000)])
    )
    # 125 expected, standard deviation 10.8; five of these either way.
    assert hits.min() > 125 - 55
    assert hits.max() < 125 + 55


def test_k_medoids_are_the_samples_nearest_to_their_centres() -> None:
    """One of each cluster, near its middle, standing for all of it."""
    data = clusters()
    chosen = select("k-medoids", data, 4, 0, {})
    assert sorted(data.y_train[chosen.core]) == [0, 1, 2, 3]
    assert chosen.weights is not None
    assert chosen.weights.tolist() == [40] * 4
    for row in chosen.core:
        members = data.x_train[data.y_train == data.y_train[row]]
        distances = np.linalg.norm(members - members.mean(axis=0), axis=1)
        assert np.linalg.norm(data.x_train[row] - members.mean(axis=0)) == pytest.approx(
            distances.min(), abs=1e-5
        )


def test_no_row_is_nearest_to_two_centres() -> None:
    """The second centre takes the nearest one that is left."""
    x = np.array([[0.0], [1.0], [5.0]], np.float32)
    assert nearest_rows(x, np.array([[0.1], [0.2], [0.3]])).tolist() == [0, 1, 2]


def test_ours_has_support_beside_the_core() -> None:
    """With a share of the budget in fixed cells, on top of it under the paper's preset."""
    data = clusters()
    chosen = select("echo-fixed", data, 20, 0, {"support_share": 0.25})
    assert (len(chosen.core), len(chosen.support)) == (15, 5)
    assert chosen.info["certified_fraction"] == 1
    paper = select("echo-paper", data, 20, 0, {"epochs": 2})
    assert len(paper.core) == 20
    assert len(paper.support) > 0


def test_choices_of_the_paper_share_a_training_and_are_what_they_are_alone() -> None:
    """Whatever budget and support were asked before; another seed has a training of its own."""
    data = loaded("digits", ())
    asked = ((20, 2, 0, False), (40, 1, 0, True), (20, 0, 0, True), (20, 0, 1, False))
    for budget, support, seed, is_shared in asked:
        found = select("echo-paper", data, budget, seed, {"support": support, "epochs": 2})
        alone = EchoCoreset(budget, preset="paper", support=support, epochs=2, seed=seed)
        alone.fit(data.x_train, data.y_train)
        rows = np.concatenate([found.core, found.support])
        assert rows.tolist() == alone.sample_indices_.tolist()
        assert (min(found.spent_before) > 0) is is_shared


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, [4, 4, 4, 4]), (0.5, [7, 5, 2, 2]), (1.0, [9, 5, 1, 1])]
)
def test_quotas_follow_a_power_of_the_counts(power: float, expected: list[int]) -> None:
    """Sixteen slots for four cells, one to a cluster: one each, and by the largest m^p / r."""
    data = clusters((90, 50, 16, 8))
    core = select("echo-quotas", data, 16, 0, {"power": power}).core
    assert np.bincount(data.y_train[core]).tolist() == expected


def test_quotas_take_the_nearest_of_each_cell() -> None:
    """To the mean of a cluster, of all its samples."""
    data = clusters((60, 20, 20, 20))
    core = select("echo-quotas", data, 16, 0, {"power": 1.0}).core
    for number in range(4):
        own = np.flatnonzero(data.y_train == number)
        mean = data.x_train[own].astype(np.float64).mean(axis=0)
        nearest = own[np.argsort(np.linalg.norm(data.x_train[own] - mean, axis=1))]
        mine = [row for row in core if data.y_train[row] == number]
        assert mine == nearest[: len(mine)].tolist()
