"""Facility location: lazily chosen rows are those of the plain greedy choice."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from echo_stream._common.typing import FloatArray
from echo_stream.coreset import facility
from echo_stream.coreset.facility import Picks, kernel_width, locate_facilities, similarity_to

Problem = tuple[FloatArray, FloatArray, FloatArray]
"""Demand, its mass, and supply."""


def problem(seed: int, *, scale: float = 1.0) -> Problem:
    """Return a random problem: clusters, a few points far away, and masses of which some are 0."""
    rng = np.random.default_rng(seed)
    dim, size, number = (int(rng.integers(1, high)) for high in (9, 80, 80))
    centres = rng.normal(0, 3, (5, dim)) * rng.lognormal(0, 2, (5, 1))
    demand = centres[rng.integers(0, 5, size)] + rng.normal(size=(size, dim))
    supply = centres[rng.integers(0, 5, number)] + rng.normal(size=(number, dim))
    mass = rng.integers(0, 50, size) * rng.integers(0, 2, size)
    return demand * scale, mass.astype(np.float64), supply * scale


def similarities(demand: FloatArray, supply: FloatArray, width: float) -> FloatArray:
    """Return k of each point of the supply and of the demand, in float64."""
    return np.asarray(np.exp(-cdist(supply, demand, "sqeuclidean") / (2 * width**2)))


def greedy(similar: FloatArray, mass: FloatArray, number: int) -> tuple[list[int], list[float]]:
    """Return the rows of the plain greedy choice, and the gain of each."""
    covered, left = np.zeros(similar.shape[1]), list(range(len(similar)))
    rows, gains = list[int](), list[float]()
    while left and len(rows) < number:
        gain = [float(np.maximum(similar[row] - covered, 0) @ mass) for row in left]
        best = int(np.argmax(gain))
        rows.append(left.pop(best))
        gains.append(gain[best])
        covered = np.maximum(covered, similar[rows[-1]])
    return rows, gains


def chosen(given: Problem, number: int, width: float) -> Picks:
    """Return the lazy choice."""
    return locate_facilities(*given, number, width=width)


@pytest.mark.parametrize("seed", range(40))
def test_each_pick_gains_as_much_as_any_could(seed: int) -> None:
    """Gains are those of the plain greedy choice, to the accuracy of a similarity, and fall."""
    given = demand, mass, supply = problem(seed)
    width = kernel_width(supply)
    picks = chosen(given, 20, width)
    similar = similarities(demand, supply, width)
    near = 1e-6 * mass.sum()
    covered = np.zeros(len(demand))
    for row, gain in zip(picks.rows, picks.gains, strict=True):
        gains = np.maximum(similar - covered, 0) @ mass
        assert gain == pytest.approx(gains[row], abs=near)
        assert gains[row] >= gains.max() - near
        covered = np.maximum(covered, similar[row])
    assert np.all(np.diff(picks.gains) <= near)
    assert picks.similarities == pytest.approx(covered, abs=1e-6)
    assert similar[picks.rows[picks.nearest], np.arange(len(demand))] == pytest.approx(
        covered, abs=1e-6
    )
    assert picks.gains == pytest.approx(greedy(similar, mass, 20)[1], rel=1e-3, abs=10 * near)


def test_rows_are_those_of_the_greedy_choice() -> None:
    """Where no two gains are nearly equal, each row is the same."""
    rng = np.random.default_rng(3)
    demand, supply, mass = rng.normal(size=(90, 4)), rng.normal(size=(60, 4)), rng.random(90)
    rows, _ = greedy(similarities(demand, supply, 1.5), mass, 25)
    assert locate_facilities(demand, mass, supply, 25, width=1.5).rows.tolist() == rows


def test_of_equal_gains_the_earlier_row_is_chosen() -> None:
    """Copies and points that mirror each other are chosen in their order."""
    line = np.array([[-2.0], [2.0], [-2.0], [2.0], [0.0]])
    picks = locate_facilities(line[:2], np.ones(2), line[:4], 4, width=1.0)
    assert picks.rows.tolist() == [0, 1, 2, 3]
    assert picks.gains[2:].tolist() == [0, 0]
    swapped = locate_facilities(line[:2], np.ones(2), line[[1, 0, 3, 2]], 4, width=1.0)
    assert swapped.rows.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(10))
def test_copies_are_chosen_last(seed: int) -> None:
    """Of equal samples the first one is chosen, and another only where nothing else gains."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, 5))
    order = rng.permutation(np.tile(np.arange(30), 3))
    supply = points[order]
    picks = locate_facilities(points, np.ones(30), supply, 90, width=0.5)
    assert sorted(order[picks.rows[:30]].tolist()) == list(range(30))
    first = [int(np.flatnonzero(order == number)[0]) for number in order[picks.rows[:30]]]
    assert picks.rows[:30].tolist() == first
    assert sorted(picks.rows.tolist()) == list(range(90))
    assert picks.gains[30:].tolist() == [0.0] * 60


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("block", [1, 100, 2**22])
def test_what_is_not_kept_is_computed_again(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few numbers in memory the rows are the same."""
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(70, 6)), rng.random(70), rng.normal(size=(50, 6))
    expected = chosen(given, 30, 1.0)
    monkeypatch.setattr(facility, "KEPT_NUMBERS", 0)
    monkeypatch.setattr(facility, "BLOCK_NUMBERS", block)
    found = chosen(given, 30, 1.0)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.nearest.tolist() == expected.nearest.tolist()
    assert found.gains == pytest.approx(expected.gains, rel=1e-6)


@pytest.mark.parametrize("kept", [60, 150, 400])
def test_similarities_may_be_kept_after_any_pick(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are too many at first, they are kept when fewer are of use: the same rows."""
    rng = np.random.default_rng(kept)
    given = rng.normal(size=(70, 3)), rng.random(70), rng.normal(size=(50, 3))
    expected = chosen(given, 40, 1.0)
    monkeypatch.setattr(facility, "KEPT_NUMBERS", kept)
    found = chosen(given, 40, 1.0)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.gains == pytest.approx(expected.gains, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_no_two_rows_lie_nearer_than_allowed(seed: int) -> None:
    """With a least distance each pick keeps it, and whatever could be added would not."""
    demand, mass, supply = problem(seed)
    distance = float(np.quantile(cdist(supply, supply), 0.2)) * 1.001 or 1.0
    picks = locate_facilities(
        demand, mass, supply, len(supply), width=kernel_width(supply), min_distance=distance
    )
    taken = supply[picks.rows]
    assert pdist(taken).min(initial=np.inf) >= distance
    others = np.delete(supply, picks.rows, axis=0)
    assert np.all(cdist(others, taken).min(axis=1, initial=np.inf) < distance)


def test_least_distance_holds_far_from_the_width() -> None:
    """Points nearer to each other than float32 tells, beside others far away, are told apart."""
    line = np.array([[0.0], [1e-6], [2.5e-6], [1e3], [1e3 + 1e-6], [1e3 + 2.5e-6]])
    rows = locate_facilities(line, np.ones(6), line, 6, width=1.0, min_distance=2e-6).rows
    assert sorted(rows.tolist()) == [0, 2, 3, 5]


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_scale_and_origin_change_nothing(scale: float) -> None:
    """Rows are the same in any unit, and far from the origin."""
    demand, mass, supply = (part.round(2) for part in problem(1))
    width = kernel_width(supply)
    expected = locate_facilities(demand, mass, supply, 9, width=width)
    found = locate_facilities(
        (demand + 4_096) * scale, mass, (supply + 4_096) * scale, 9, width=width * scale
    )
    assert found.rows.tolist() == expected.rows.tolist()
    assert kernel_width((supply + 4_096) * scale) == pytest.approx(width * scale)


def test_far_points_cover_themselves() -> None:
    """A group far away, and the point that is farthest, gain what they have of the mass."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(50, 3)), rng.normal(size=(10, 3)) + 1e5
    points = np.concatenate([near, far, [[1e7, 0.0, 0.0]]])
    mass = np.array([1.0] * 60 + [1_000.0])
    picks = locate_facilities(points, mass, points, 61, width=kernel_width(near))
    assert picks.rows[0] == 60
    assert picks.gains[0] == pytest.approx(1_000)
    assert picks.similarities == pytest.approx(np.ones(61))


def test_few_points_are_all_chosen() -> None:
    """One point, none, and fewer than asked for are no trouble."""
    one = np.zeros((1, 2))
    assert locate_facilities(one, np.ones(1), one, 5, width=1.0).rows.tolist() == [0]
    nothing = locate_facilities(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)), 5, width=1.0)
    assert (len(nothing.rows), len(nothing.nearest)) == (0, 0)
    without_demand = locate_facilities(np.zeros((0, 2)), np.zeros(0), one, 5, width=1.0)
    assert without_demand.rows.tolist() == [0]


def test_mass_that_is_zero_asks_for_nothing() -> None:
    """Demand without mass draws no pick, and where there is none rows come in their order."""
    line = np.array([[0.0], [9.0], [18.0]])
    picks = locate_facilities(line, np.array([0.0, 0.0, 1.0]), line, 2, width=1.0)
    assert picks.rows.tolist() == [2, 0]
    assert locate_facilities(line, np.zeros(3), line, 3, width=1.0).rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e7])
def test_width_of_equal_points_is_one(value: float) -> None:
    """Equal points have no distance to take a width from, however they are rounded."""
    assert kernel_width(np.full((20, 13), value)) == 1
    assert kernel_width(np.zeros((1, 2))) == 1
    assert kernel_width(np.zeros((0, 2))) == 1


def test_width_is_that_of_points_that_differ() -> None:
    """Where most points are equal the width still is in the unit of the others."""
    points = np.array([[0.0]] * 90 + [[2e-6]] * 10)
    assert kernel_width(points) == pytest.approx(2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_covered_before_counts_like_earlier_picks(seed: int) -> None:
    """Going on from the similarity to the first picks gives the others."""
    generator = np.random.default_rng(seed)
    demand, supply = generator.normal(size=(300, 3)), generator.normal(size=(200, 3))
    mass = generator.uniform(1, 9, size=300)
    at_once = locate_facilities(demand, mass, supply, 20, width=0.7)
    covered = similarity_to(demand, supply[at_once.rows[:8]], width=0.7)
    rest = locate_facilities(demand, mass, supply, 12, width=0.7, covered=covered)
    assert rest.rows.tolist() == at_once.rows[8:].tolist()
    assert rest.gains == pytest.approx(at_once.gains[8:])
    is_earlier = at_once.nearest < 8
    assert (rest.nearest[is_earlier] == -1).all()
    assert (rest.nearest[~is_earlier] == at_once.nearest[~is_earlier] - 8).all()


def test_nothing_is_similar_to_no_points() -> None:
    """Of no points there is no nearest."""
    found = similarity_to(np.ones((3, 2)), np.empty((0, 2)), width=1.0)
    assert found.tolist() == [0.0, 0.0, 0.0]
