"""Ranks and weights where the property tests rarely go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.coreset.allocation import allocate_slots, row_weights
from echo_stream.samples.members import Member
from echo_stream.sketch.pools.quotas import rounds_needed
from echo_stream.sketch.pools.ranks import first_by_key, rank_members


def member(name: str, *latent: float) -> Member:
    """Return a member at a place."""
    return Member.create(name, np.zeros(1), np.array(latent), None, None)


def test_samples_that_lie_symmetrically_tie_exactly() -> None:
    """With three samples the mean is no float; the two ends still tie, and the hash decides."""
    spacing = 2.0**-22
    points = np.array([[1.0], [8.0], [15.0]]) * spacing
    for names in (("a", "b", "c"), ("c", "b", "a"), ("x", "y", "z"), ("7", "8", "9")):
        members = [member(name, *point) for name, point in zip(names, points, strict=True)]
        ranked = rank_members(members, points, 3, points.sum(axis=0), farthest=True)
        ends = sorted([members[0], members[2]], key=lambda m: m.tie)
        assert [m.id for _, m in ranked] == [ends[0].id, ends[1].id, members[1].id]


def test_equal_ids_are_two_samples_told_apart_by_their_payload() -> None:
    """The same id twice counts twice, in an order that does not depend on arrival."""
    one = Member.create("id", np.zeros(2), np.zeros(1), 1, None)
    two = Member.create("id", np.ones(2), np.zeros(1), 1, None)
    points, total = np.zeros((2, 1)), np.zeros(1)
    forth = rank_members([one, two], points, 2, total, farthest=False)
    back = rank_members([two, one], points, 2, total, farthest=False)
    assert forth == back


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 14))
def test_the_first_few_are_those_of_all(places: list[int], number: int) -> None:
    """Ties at the last place included."""
    members = [member(f"{row}", place) for row, place in enumerate(places)]
    everyone = sorted(
        zip(map(float, places), members, strict=True), key=lambda entry: (entry[0], entry[1].tie)
    )
    assert first_by_key(members, np.array(places, float), number) == everyone[:number]


def test_a_budget_beyond_the_samples_takes_them_all() -> None:
    """No slot is dealt twice, and none is invented."""
    cells, ranks = allocate_slots(np.array([2, 1]), np.array([0, 1]), 99)
    assert list(zip(cells.tolist(), ranks.tolist(), strict=True)) == [(0, 1), (1, 1), (0, 2)]


def test_rounds_needed_is_the_smallest() -> None:
    """R against the definition, by trying every number."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(1, 20, rng.integers(1, 8))
        slots = int(rng.integers(1, 60))
        enough = [r for r in range(1, 61) if np.minimum(counts, r).sum() >= slots]
        assert rounds_needed(counts, slots) == (enough[0] if enough else np.inf)


def test_a_cell_without_rows_gives_to_the_nearest() -> None:
    """Ties of distance go to the lower cell index."""
    centroids = np.array([[0.0], [1.0], [2.0]])
    counts, rows = np.array([3, 5, 4]), np.array([1, 0, 2])
    weights = row_weights(counts, rows, centroids, np.zeros(3, dtype=np.int64))
    assert weights.tolist() == [8.0, 0.0, 2.0]


def test_a_cell_without_rows_gives_to_its_own_class() -> None:
    """Where the class has no row at all, the nearest of any takes the count."""
    centroids = np.array([[0.0], [1.0], [4.0], [3.0]])
    counts, rows, classes = np.array([3, 5, 4, 2]), np.array([1, 0, 2, 0]), np.array([0, 1, 1, 2])
    assert row_weights(counts, rows, centroids, classes).tolist() == [3.0, 0.0, 5.5, 0.0]
