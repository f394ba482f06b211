"""The reservoir: a uniform sample of real samples that order of arrival plays no part in."""

from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.hashes import hash_ids, seeded
from echo_stream._common.typing import Array
from echo_stream.generation.codebook import Codebook
from echo_stream.generation.grid import Grid
from echo_stream.generation.quantiser import Quantiser
from echo_stream.samples.members import Member
from echo_stream.sketch.pools.reservoir import Reservoir, reservoir_size
from echo_stream.sketch.size import memory_bound, size_bytes
from tests.support import naive
from tests.support.inside import places_of, sketch_of
from tests.support.strategies import codebook_generation

# Few ids, so that the same one comes twice.
streams = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=80)
sizes = st.integers(1, 20)
distinct = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=80, unique=True)


def member(sample_id: int, value: int) -> Member:
    """Return a sample with an id and a payload."""
    return Member.create(str(sample_id), np.full(2, value), np.zeros(2), value, None)


def filled(stream: list[tuple[int, int]], size: int, seed: int = 0) -> Reservoir:
    """Return a reservoir that has been offered a stream, sample by sample."""
    reservoir = Reservoir(size, seed)
    for sample_id, value in stream:
        reservoir.offer([member(sample_id, value)])
    return reservoir


def content(reservoir: Reservoir) -> list[tuple[str, list[int]]]:
    """Return ids and payloads in order."""
    return [(m.id, m.x.tolist()) for m in reservoir.members]


def keyed_hash(sample_id: str, seed: int) -> int:
    """Return the seeded hash of an id, written out."""
    return naive.splitmix64(naive.tie(sample_id)[0] ^ naive.splitmix64(seed))


@given(stream=streams, size=sizes, seed=st.integers(0, 5))
def test_reservoir_holds_the_smallest_hashes(
    stream: list[tuple[int, int]], size: int, seed: int
) -> None:
    """Those of the whole stream, sorted and cut; the labels of the first ones come first."""
    reservoir = filled(stream, size, seed)
    expected = sorted(keyed_hash(str(i), seed) for i, _ in stream)[:size]
    assert [keyed_hash(m.id, seed) for m in reservoir.members] == expected
    assert reservoir.labels(3) == [m.label for m in reservoir.members[:3]]
    assert len(reservoir) == min(size, len(stream))


@given(stream=streams, size=sizes, cut=st.integers(0, 80), shuffle=st.randoms())
def test_reservoir_is_order_free_and_mergeable(
    stream: list[tuple[int, int]], size: int, cut: int, shuffle: Random
) -> None:
    """Any order, and any two parts merged either way, give the same; the other is unchanged."""
    whole = content(filled(stream, size))
    shuffled = list(stream)
    shuffle.shuffle(shuffled)
    assert content(filled(shuffled, size)) == whole
    left, right = filled(shuffled[:cut], size), filled(shuffled[cut:], size)
    untouched = content(right)
    backwards = right.copy()
    backwards.merge(left)
    left.merge(right)
    assert content(left) == content(backwards) == whole
    assert content(right) == untouched


@given(stream=streams, size=sizes)
def test_reservoir_refuses_only_what_cannot_enter(stream: list[tuple[int, int]], size: int) -> None:
    """Who offers no more than what passes the threshold ends with the same samples."""
    reservoir = Reservoir(size, seed=0)
    for sample_id, value in stream:
        if reservoir.passes(hash_ids([sample_id])).all():
            reservoir.offer([member(sample_id, value)])
    assert content(reservoir) == content(filled(stream, size))


@given(stream=distinct, small=sizes, large=sizes, cut=st.integers(0, 80))
def test_reservoir_stays_uniform_when_it_grows(
    stream: list[tuple[int, int]], small: int, large: int, cut: int
) -> None:
    """What a smaller one has dropped, a larger one does not favour in those that come later."""
    before = filled(stream[:cut], small)
    is_whole = len(before) < small
    last = places_of(before)[-1][0] if len(before) else None
    after = before.resized(before.members, large)
    for sample_id, value in stream[cut:]:
        after.offer([member(sample_id, value)])
    everything = places_of(filled(stream, len(stream) + 1))
    possible = [m for place, m in everything if is_whole or (last and place <= last)]
    assert content(after) == [(m.id, m.x.tolist()) for m in possible[:large]]
    restored = Reservoir(large, seed=0)
    restored.restore(after.members, after.limit_to_json())
    assert content(restored) == content(after)
    assert restored.limit_to_json() == after.limit_to_json()


def test_reservoir_is_uniform() -> None:
    """Over many seeds each of 40 samples is among the 10 equally often, within five sigma."""
    ids, seeds = np.arange(40), 2_000
    held: Counter[int] = Counter()
    for seed in range(seeds):
        held.update(np.argsort(seeded(hash_ids(ids), seed))[:10].tolist())
    expected, sigma = seeds / 4, (seeds * 0.25 * 0.75) ** 0.5
    assert all(abs(held[sample_id] - expected) < 5 * sigma for sample_id in ids.tolist())


@pytest.mark.parametrize(
    ("quantiser", "budget", "size"),
    [
        (Grid(side=40, dim=2), 10, 2_048),
        (Grid(side=3, dim=2), 5_000, 5_000),
        (Codebook(torch.arange(100.0).double()[:, None]), 10, 3_400),
    ],
)
def test_reservoir_size(quantiser: Quantiser, budget: int, size: int) -> None:
    """max(2,048, 34 K), and never less than the budget."""
    assert reservoir_size(quantiser, budget) == size


def test_engine_keeps_payloads_labels_and_bounds(x_stream: Array) -> None:
    """What the reservoir holds is the caller's samples, counted in the bytes, within the bound."""
    generation = codebook_generation(np.random.default_rng(0).random((5, 2)))
    engine = EchoCoreset(20, generation=generation, preset="fixed")
    reused = x_stream.copy()
    engine.partial_fit(reused, y=np.arange(len(reused)) % 7)
    reused[:] = 9
    sketch = sketch_of(engine)
    sketch.flush()
    members = sketch.reservoir.members
    assert len(members) == 2_048
    assert all((m.x == x_stream[int(m.id)]).all() for m in members)
    assert all(m.label == int(m.id) % 7 for m in members)
    assert (
        sum(m.x.nbytes for m in members)
        < size_bytes(sketch, sketch.members())
        <= memory_bound(sketch)
    )
    by_hash = sorted(range(len(x_stream)), key=lambda row: keyed_hash(str(row), 0))
    labels = Counter(str(row % 7) for row in by_hash[:20])
    assert engine.snapshot().manifest["labels_reservoir"] == dict(sorted(labels.items()))


@pytest.fixture
def x_stream() -> Array:
    """Return a stream of 6,000 points."""
    return np.random.default_rng(1).random((6_000, 2)).astype(np.float32)
