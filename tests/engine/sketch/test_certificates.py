"""No certificate is ever wrong: the worst bug that this project can have."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.errors import ConfigError
from echo_stream.sketch.pools.certificates import (
    Drop,
    RankKey,
    collapsed,
    drop_bound,
    is_certified,
)
from tests.support.adversarial import (
    EXAMPLES,
    FIXED_QUANTISERS,
    any_engine,
    any_generation,
    assert_no_wrong_certificate,
    claims,
    stream,
    streams,
    supports,
    truth,
)
from tests.support.strategies import falling_quota, identity_generation

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    points=streams(),
    side=st.sampled_from([1, 2, 4]),
    budget=st.integers(1, 40),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    kind=st.sampled_from(FIXED_QUANTISERS),
)
def test_a_certified_row_is_the_batch_choice(
    points: Array, side: int, budget: int, support: int | float, rank: Rank, *, kind: str
) -> None:
    """In adversarial orders, at the end of the stream and in its middle."""
    generation = any_generation(side, points, kind=kind)
    engine = any_engine(budget, rank, support, generation)
    half = len(points) // 2
    for part in (slice(0, half), slice(half, None)):
        engine.partial_fit(points[part])
        expected = truth(points[: engine.n_seen_], engine)
        assert_no_wrong_certificate(engine.snapshot(), expected)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    points=streams(),
    side=st.sampled_from([1, 3]),
    budget=st.integers(1, 30),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    contiguous=st.booleans(),
)
def test_certificates_survive_merging(
    points: Array,
    side: int,
    budget: int,
    cuts: list[float],
    support: int | float,
    rank: Rank,
    *,
    contiguous: bool,
) -> None:
    """Shards of any size, merged, restored and streamed on: still none is wrong."""
    generation = any_generation(side, points, kind=FIXED_QUANTISERS[contiguous])
    rows = np.arange(len(points))
    last = len(points) - 40 if len(points) > 80 else len(points)
    arriving = rows[:last] if contiguous else np.random.default_rng(0).permutation(last)
    # Cut anywhere: a shard that has dropped nothing must take over what others have dropped.
    parts = np.split(arriving, sorted(int(cut * last) for cut in cuts))
    engines = [
        any_engine(budget, rank, support, generation).partial_fit(points[part], ids=part)
        for part in parts
    ]
    merged = engines[0]
    for engine in engines[1:]:
        merged.merge(engine)
    merged = EchoCoreset.from_state(merged.to_state())
    merged.partial_fit(points[last:], ids=rows[last:])
    assert_no_wrong_certificate(merged.snapshot(), truth(points, merged))


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    points=streams(),
    side=st.sampled_from([1, 3]),
    budget=st.integers(1, 30),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    kind=st.sampled_from(FIXED_QUANTISERS),
    seed=st.integers(0, 2**32 - 1),
)
def test_certificates_survive_forgetting(
    points: Array,
    side: int,
    budget: int,
    support: int | float,
    rank: Rank,
    seed: int,
    *,
    kind: str,
) -> None:
    """Samples are forgotten as the stream goes on: the batch is that of what was not."""
    rng = np.random.default_rng(seed)
    generation = any_generation(side, points, kind=kind)
    engine = any_engine(budget, rank, support, generation)
    rows, gone = np.arange(len(points)), set()
    for part in np.array_split(rows, 4):
        engine.partial_fit(points[part], ids=part)
        held = engine.coreset().ids[: rng.integers(0, 20)].astype(np.int64).tolist()
        for row in [*held, *rng.integers(0, part[-1] + 1, 3).tolist()]:
            if engine.forget(row):
                gone.add(row)
        left = np.array([row for row in rows[: part[-1] + 1] if row not in gone], dtype=np.int64)
        assert engine.n_seen_ == len(left)
        if len(left):
            expected = truth(points[left], engine, ids=left)
            assert_no_wrong_certificate(engine.snapshot(), expected)


@pytest.mark.parametrize(("seed", "budget"), [(178, 6), (275, 5)])
def test_nothing_enters_a_pool_beyond_what_it_has_dropped(seed: int, budget: int) -> None:
    """A quota that falls leaves room where twins were, in the midst of a period."""
    points = falling_quota(np.random.default_rng(seed)).astype(np.float32)
    engine = stream(points, identity_generation(2, 2), budget, 0)
    assert_no_wrong_certificate(engine.snapshot(), truth(points, engine))


@pytest.mark.slow
@settings(max_examples=EXAMPLES // 2)
@given(
    points=streams(),
    side=st.sampled_from([1, 2, 4]),
    budget=st.integers(1, 40),
    support=supports,
    rank=st.sampled_from(get_args(Rank)),
    cut=st.floats(0, 1),
    num_forgotten=st.integers(0, 5),
    kind=st.sampled_from(FIXED_QUANTISERS),
)
def test_merges_from_either_side_are_the_same(
    points: Array,
    side: int,
    budget: int,
    support: int | float,
    rank: Rank,
    cut: float,
    num_forgotten: int,
    *,
    kind: str,
) -> None:
    """All rows, certified or not, and the certificates."""
    generation = any_generation(side, points, kind=kind)
    parts = np.split(np.arange(len(points)), [1 + int(cut * (len(points) - 2))])
    sides = [
        any_engine(budget, rank, support, generation).partial_fit(points[part], ids=part)
        for part in parts
    ]
    for engine in sides:
        for row in engine.coreset().ids[:num_forgotten]:
            engine.forget(row)
    one, other = (engine.copy() for engine in sides)
    one.merge(sides[1])
    other.merge(sides[0])
    assert one.snapshot().id == other.snapshot().id
    assert claims(one.snapshot()) == claims(other.snapshot())


def test_a_cell_of_equal_samples_is_certified_whole() -> None:
    """Ties are decided by the hash, which the stream knows as well as the batch."""
    points = np.full((500, 2), 0.3, dtype=np.float32)
    generation = identity_generation(2, 2)
    engine = stream(points, generation, 10, 2)
    snapshot = engine.snapshot()
    assert snapshot.certified_fraction == 1.0
    assert set(claims(snapshot)) == truth(points, engine)


def test_a_shuffled_stream_is_certified_nearly_whole() -> None:
    """Certificates are no empty promise: in a random order most rows get one."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (20_000, 2)).astype(np.float32)
    snapshot = stream(points, identity_generation(2, 5), 50, 2).snapshot()
    assert snapshot.certified_fraction is not None
    assert snapshot.certified_fraction > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("value", [1e2, 1e6, 1e12, -1e14, 3e38])
def test_an_outlier_takes_no_certificate_away_and_leaves_none_that_is_wrong(value: float) -> None:
    """Its sums stay exact beside those of others, and are what they were once it is forgotten."""
    for seed in range(6):
        points = np.random.default_rng(seed).normal(0, 1, (600, 2)).astype(np.float32)
        points[300, seed % 2] = value
        made, ids = any_generation(5, points[:100], kind="codebook"), np.arange(600)
        engine = stream(points, made, 40, 1)
        snapshot = engine.snapshot()
        assert_no_wrong_certificate(snapshot, truth(points, engine, ids))
        assert (snapshot.certified_fraction or 0) > 0.5
        rest = ids != 300
        assert engine.forget(300) == 1
        empty = stream(points[:1], made, 40, 1)
        assert_no_wrong_certificate(engine.snapshot(), truth(points[rest], empty, ids[rest]))
        alone = any_engine(40, "center", 1, made).partial_fit(points[rest], ids=ids[rest])
        ours, expected = (each.snapshot().cells for each in (engine, alone))
        assert ours.centroids.tobytes() == expected.centroids.tobytes()


def test_nothing_is_certified_beyond_exact_sums() -> None:
    """Where sums have left the range in which they are exact, no promise is made."""
    points = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    engine = stream(points, identity_generation(2, 2), 10, 2)
    assert engine.snapshot().certified_fraction == 1.0
    arrays, meta = engine.to_state()
    arrays["sketch.table.latent_sums"] = arrays["sketch.table.latent_sums"].copy()
    arrays["sketch.table.latent_sums"][0, 0] = engine.generation_.latent_spacing * 2.0**53
    beyond = EchoCoreset.from_state((arrays, meta))
    snapshot = beyond.snapshot()
    assert (snapshot.certified_fraction, snapshot.manifest["sums_are_exact"]) == (0.0, False)
    assert "beyond exact addition" in str(beyond.explain(snapshot.cells.cells[0])["core"])


def test_a_tie_with_the_bound_is_no_proof() -> None:
    """What was dropped at the same distance may come first: only strictly nearer is certified."""
    drop = Drop(reference=np.zeros(2), distance=0.5)
    centre, rank_key = np.zeros(2), RankKey(0.0, (1, "a", 1), 9)
    assert is_certified(0.49, rank_key, [drop], centre, farthest=False)
    assert not is_certified(0.5, rank_key, [drop], centre, farthest=False)
    assert is_certified(0.51, rank_key, [drop], centre, farthest=True)
    assert not is_certified(0.5, rank_key, [drop], centre, farthest=True)


def test_a_standing_is_proof_while_the_cell_is_as_it_was() -> None:
    """A tie at one distance is settled by rank, until another sample has arrived."""
    drop = Drop(np.zeros(2), distance=0.5, last=RankKey(20.25, (5, "e", 0), 9))
    for rank_key, expected in (
        (RankKey(20.25, (4, "d", 0), 9), True),
        (RankKey(20.25, (6, "f", 0), 9), False),
        (RankKey(20.25, (4, "d", 0), 10), False),
    ):
        assert is_certified(0.5, rank_key, [drop], np.zeros(2), farthest=False) is expected


def test_merged_bounds_of_equal_samples_keep_the_earlier_tie() -> None:
    """Of two bounds at one place the stricter one holds, whichever is older."""
    place, ties = np.full(2, 0.3), [(5, "e", 0), (3, "c", 0), (9, "i", 0), (7, "g", 0)]
    drops = collapsed([Drop(place, 0.0, tie) for tie in ties], np.zeros(2), farthest=False)
    assert len(drops) <= 3
    assert is_certified(0.0, RankKey(0.0, (2, "b", 0), 9), drops, place, farthest=False)
    assert not is_certified(0.0, RankKey(0.0, (4, "d", 0), 9), drops, place, farthest=False)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=8),
    st.floats(-1, 1),
)
def test_merged_bounds_are_never_tighter(periods: list[tuple[float, float]], centre: float) -> None:
    """Merging the oldest periods only weakens what is known, and not at the centre of then."""
    for farthest in (False, True):
        drops = [Drop(np.array([place]), distance) for place, distance in periods]
        merged = collapsed(drops, np.array([centre]), farthest=farthest)
        for place in (centre, 0.1):
            weak = drop_bound(merged, np.array([place]), farthest=farthest)
            strong = drop_bound(drops, np.array([place]), farthest=farthest)
            # What is certified is never closer than 0. Both have their own margin of 1e-12.
            strong = strong if farthest else max(strong, 0.0)
            assert weak >= strong - 1e-9 if farthest else weak <= strong + 1e-9
            # At the centre itself, only margins are lost.
            assert place != centre or max(weak, 0.0) == pytest.approx(max(strong, 0.0), abs=1e-9)


def test_support_is_not_certified_where_core_is_missing() -> None:
    """What a batch takes as core could be farthest: the stream holds it as support alone."""
    points = np.random.default_rng(0).random((1_024, 2)).astype(np.float32)
    engine = any_engine(4, "uniform", 0.25, identity_generation(2, 1)).partial_fit(points)
    for row in np.argsort(hash_ids(np.arange(1_024)))[:22].tolist():
        assert engine.forget(row) == 1
    snapshot = engine.snapshot()
    assert snapshot.manifest["num_substituted"] == 3
    assert not any(claims(snapshot).values())


def test_explain_says_what_is_certified_and_what_is_in_doubt() -> None:
    """A cell's certified and doubtful samples are those of the snapshot, with the bound."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 1, (3_000, 2)).astype(np.float32)
    engine = stream(points[np.argsort(points[:, 0])], identity_generation(2, 2), 20, 2)
    snapshot = engine.snapshot()
    seen = set()
    for cell in snapshot.cells.cells:
        told = engine.explain(cell)
        for role in ("core", "support"):
            rows = {row[3]: is_sure for row, is_sure in claims(snapshot).items()
                    if row[:2] == (cell, role)}  # fmt: skip
            assert told[role]["num_held"] + told[role]["num_dropped"] == told["count"]
            assert (told[role]["why"] is None) == (not told[role]["in_doubt"])
            assert set(told[role]["certified"]) == {i for i, is_sure in rows.items() if is_sure}
            assert {doubt["id"] for doubt in told[role]["in_doubt"]} == {
                i for i, is_sure in rows.items() if not is_sure
            }
            if role == "core" and told[role]["in_doubt"]:
                assert told[role]["in_doubt"][0]["distance"] >= told[role]["bound"] - 1e-9
            seen |= {bool(told[role]["certified"]), bool(told[role]["in_doubt"])}
    assert seen == {True, False}
    with pytest.raises(ConfigError, match="is not occupied"):
        engine.explain((77, 77))
