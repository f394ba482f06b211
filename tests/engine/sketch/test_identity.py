"""A sample is the same wherever it is held: its id, content and origin say so, no object does."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.errors import ConfigError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.adversarial import (
    EXAMPLES,
    any_engine,
    claims,
    streams,
    supports,
    truth,
)
from tests.support.inside import fixed_sketch_of
from tests.support.strategies import clouds, identity_generation

pytestmark = pytest.mark.usefixtures("small_blocks")

FEWER = max(EXAMPLES // 6, 1)
RANKS = st.sampled_from(get_args(Rank))


def check_counts(engine: EchoCoreset, left: Array) -> None:
    """Compare count and sums of an engine with those of the points that should be left."""
    table = fixed_sketch_of(engine).flushed().table
    assert (engine.n_seen_, int(table.counts.sum())) == (len(left), len(left))
    alone = EchoCoreset.from_config(engine.config, generation=engine.generation_)
    if len(left):
        expected = fixed_sketch_of(alone.partial_fit(left)).flushed().statistics()
        found = fixed_sketch_of(engine).flushed().statistics()
        assert found.counts.tolist() == expected.counts.tolist()
        assert found.latent_sums.tobytes() == expected.latent_sums.tobytes()


@settings(max_examples=FEWER)
@given(points=streams(), rank=RANKS, support=supports, budget=st.integers(1, 40), data=st.data())
def test_forgetting_after_a_repair_takes_each_sample_out_once(
    points: Array, rank: Rank, support: int | float, budget: int, data: st.DataObject
) -> None:
    """A repair reads samples again that the reservoir holds already."""
    engine = any_engine(budget, rank, support, identity_generation(2, 3)).partial_fit(points)
    engine.repair(ArraySource(as_samples(points)))
    gone = data.draw(st.sets(st.integers(0, len(points) - 1), max_size=8))
    gone = {row for row in gone if engine.forget(row)}
    left = np.array([row for row in range(len(points)) if row not in gone], dtype=np.int64)
    check_counts(engine, points[left])
    wrong = {row for row, sure in claims(engine.snapshot()).items() if sure}
    assert not wrong - truth(points[left], engine, ids=left)


def test_forgetting_after_a_fit_of_sorted_data_takes_one_sample_out() -> None:
    """What a fit repairs is held once."""
    x = np.random.default_rng(0).normal(size=(3_000, 6)).astype(np.float32)
    engine = EchoCoreset(budget=20, preset="fixed").fit(x[np.argsort(x[:, 0])])
    assert (engine.forget(321), engine.n_seen_) == (1, 2_999)


@settings(max_examples=FEWER)
@given(points=streams(), rank=RANKS, budget=st.integers(1, 40))
def test_what_is_held_after_a_repair_is_held_once(points: Array, rank: Rank, budget: int) -> None:
    """Nothing that comes after is offered a sample twice, and no payload lies there twice."""
    engine = any_engine(budget, rank, 2, identity_generation(2, 3)).partial_fit(points)
    engine.repair(ArraySource(as_samples(points)))
    held = fixed_sketch_of(engine).flushed()
    assert max(Counter(member.id for member in held.members()).values()) == 1
    objects = [member for side in held.pools.all() for pool in side.pools for member in pool]
    payloads = {id(member.x) for member in (*objects, *held.reservoir.members)}
    assert len(payloads) == len(held.members())


def test_a_generation_trained_after_a_fit_chooses_no_sample_twice() -> None:
    """What is chosen from everything held has as many samples as rows."""
    x = np.random.default_rng(0).normal(size=(2_000, 6)).astype(np.float32)
    engine = EchoCoreset(budget=300, preset="paper", support=0, epochs=2)
    engine.fit(x[np.argsort(x[:, 0])])
    engine.regenerate()
    rows = engine.snapshot().rows
    assert len(set(rows.samples.ids)) == len(rows) == 300


@settings(max_examples=FEWER)
@given(points=clouds(max_size=60), rank=RANKS, budget=st.integers(1, 20), data=st.data())
def test_merging_with_a_copy_counts_each_sample_twice(
    points: Array, rank: Rank, budget: int, data: st.DataObject
) -> None:
    """As streaming them twice does; and a forgotten id takes both of its samples out."""
    generation = identity_generation(points.shape[1], 3)
    ids = np.arange(len(points))
    merged, streamed = (
        any_engine(budget, rank, 1, generation).partial_fit(points, ids=ids) for _ in range(2)
    )
    streamed.partial_fit(points, ids=ids)
    merged.merge(merged.copy())
    twice = np.concatenate([points, points])
    check_counts(merged, twice)
    assert claims(merged.snapshot()).keys() == claims(streamed.snapshot()).keys()
    merged = EchoCoreset.from_state(merged.to_state())
    gone = data.draw(st.integers(0, len(points) - 1))
    if merged.forget(gone) == 2:
        check_counts(merged, np.concatenate([np.delete(points, gone, axis=0)] * 2))


@settings(max_examples=FEWER)
@given(points=streams(), rank=RANKS, budget=st.integers(1, 40))
def test_a_sample_replaced_after_a_repair_counts_once(
    points: Array, rank: Rank, budget: int
) -> None:
    """A newer sample of an id takes the place of the one that was repaired."""
    generation = identity_generation(2, 3)
    engine = EchoCoreset(
        budget, rank=rank, generation=generation, on_duplicate="replace", preset="fixed"
    )
    engine.partial_fit(points)
    engine.repair(ArraySource(as_samples(points)))
    held = fixed_sketch_of(engine).flushed().members()[0].id
    engine.partial_fit(points[:1], ids=[held])
    assert engine.n_seen_ == len(points)


def test_a_stored_engine_cannot_go_on_with_a_larger_budget() -> None:
    """Its pools have dropped what that would need."""
    x = np.random.default_rng(0).random((500, 2)).astype(np.float32)
    engine = EchoCoreset(20, generation=identity_generation(2, 3), preset="fixed").partial_fit(x)
    wider = EchoCoreset(40, generation=identity_generation(2, 3), preset="fixed").config
    with pytest.raises(ConfigError, match="budget: 20 and 40"):
        EchoCoreset.from_state(engine.to_state(), config=wider)


def test_sums_that_have_left_the_exact_range_stay_inexact() -> None:
    """An overflow that cancels has lost bits: copies, states and merges remember it."""
    points = np.full((512, 2), 10.0, dtype=np.float32)
    points[:, 1] = 0.5
    engine = any_engine(4, "center", 0, identity_generation(2, 1)).partial_fit(points)
    while engine.snapshot().manifest["sums_are_exact"]:
        engine.merge(engine.copy())
    assert engine.n_seen_ == 2**27
    table = fixed_sketch_of(engine).flushed().table
    table.latent_sums.zero_()
    table.input_sums.zero_()
    table.norm_sums.zero_()
    restored = EchoCoreset.from_state(engine.to_state())
    for each in (engine, engine.copy(), restored):
        snapshot = each.snapshot()
        assert not snapshot.manifest["sums_are_exact"]
        assert snapshot.certified_fraction == 0.0


@settings(max_examples=FEWER)
@given(points=streams(), rank=RANKS, budget=st.integers(1, 20), times=st.integers(2, 60))
def test_a_repair_takes_out_every_copy_of_a_forgotten_sample(
    points: Array, rank: Rank, budget: int, times: int
) -> None:
    """Those that were held when it was forgotten, and those that were not."""
    ids = np.arange(len(points))
    points = np.concatenate([points, np.repeat(points[7:8], times, axis=0)])
    ids = np.concatenate([ids, np.full(times, 7)])
    engine = any_engine(budget, rank, 2, identity_generation(2, 4)).partial_fit(points, ids=ids)
    engine.forget(7)
    report = engine.repair(ArraySource(as_samples(points, None, ids)))
    assert report.is_accepted
    check_counts(engine, points[ids != 7])


def test_a_late_label_reaches_all_copies_of_a_sample() -> None:
    """Also where a pool's copy has the label already, and one of the reservoir has not."""
    x = np.random.default_rng(0).random((40, 2)).astype(np.float32)
    engine = EchoCoreset(4, generation=identity_generation(2, 1), preset="fixed").partial_fit(
        x, y=[0] * 40
    )
    held = fixed_sketch_of(engine).flushed()
    member = held.reservoir.members[0]
    for side in held.pools.all():
        for pool in side.pools:
            pool.swap(member.relabelled(5))
    held.reservoir.offer([member.relabelled(5)])
    held.release_index()
    assert held.index.label(member.id, 5)
    assert {copy.label for copy in held.members() if copy.id == member.id} == {5}
    assert {copy.label for copy in held.reservoir.of(member.id)} == {5}
