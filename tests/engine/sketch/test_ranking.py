"""The first members of a pool, found without computing where all of them are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream._common.typing import Array
from echo_stream.coreset.selection import Ranking
from echo_stream.samples.members import Member
from echo_stream.sketch.pools.ranks import rank_members
from tests.support.adversarial import cloud, stream, streams
from tests.support.inside import fixed_sketch_of
from tests.support.strategies import identity_generation

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.slow
@settings(max_examples=150)
@given(
    points=streams(),
    side=st.sampled_from([1, 3]),
    budget=st.integers(1, 30),
    support=st.integers(1, 3),
    numbers=st.lists(st.integers(1, 40), min_size=1, max_size=9),
    half=st.integers(0, 50),
    num_forgotten=st.integers(0, 20),
)
def test_first_members_are_those_of_all(
    points: Array,
    side: int,
    budget: int,
    support: int,
    numbers: list[int],
    half: int,
    num_forgotten: int,
) -> None:
    """However far centres have moved since pools were ordered, and however many are asked for.

    Also after a merge, and where samples were forgotten.
    """
    generation = identity_generation(2, side)
    engine = stream(points[half:], generation, budget, support)
    if half:
        engine.merge(stream(points[:half], generation, budget, support))
    for sample_id in range(num_forgotten):
        engine.forget(sample_id)
    sketch = fixed_sketch_of(engine)
    statistics = sketch.statistics()
    for pools, sums in (
        (sketch.pools.nearest, statistics.latent_sums),
        (sketch.pools.support, statistics.input_sums),
    ):
        assert pools is not None
        ranking = Ranking(pools, statistics, sums)
        for cell, (slot, count) in enumerate(
            zip(statistics.slots.tolist(), statistics.counts.tolist(), strict=True)
        ):
            held = list(pools.pools[slot])
            places = pools.points_of(held)
            ranked = rank_members(held, places, count, sums[cell], farthest=pools.farthest)
            number = numbers[cell % len(numbers)]
            assert ranking.first(cell, number) == ranked[:number]


def test_members_that_are_far_behind_are_left_out() -> None:
    """Of a pool whose centre has hardly moved, few are looked at."""
    points = cloud("normal", 2_000, np.random.default_rng(0)).astype(np.float32)
    sketch = fixed_sketch_of(stream(points, identity_generation(2, 1), 8, 1))
    pools, looked = sketch.pools.nearest, list[int]()
    assert pools is not None
    points_of = pools.points_of

    def watched(members: Sequence[Member]) -> Array:
        looked.append(len(members))
        return points_of(members)

    pools.points_of = watched
    statistics = sketch.statistics()
    ranking = Ranking(pools, statistics, statistics.latent_sums)
    largest = int(statistics.counts.argmax())
    ranking.first(largest, 1)
    assert 1 <= looked[0] < len(pools.pools[int(statistics.slots[largest])])
