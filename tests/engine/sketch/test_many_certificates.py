"""So many certificates, and not one of them wrong: 10,000 in each run, a million at night."""

import os
from typing import NamedTuple, get_args

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.adversarial import (
    FIXED_QUANTISERS,
    KINDS,
    ORDERS,
    Row,
    any_engine,
    any_generation,
    claims,
    cloud,
    order_of,
    truth,
)

pytestmark = pytest.mark.usefixtures("small_blocks")

TARGET = int(os.environ.get("ECHO_STREAM_FUZZ_CERTIFICATES", "10_000"))


class Case(NamedTuple):
    """A stream, the engine that counts it, and what is left of it in the end."""

    name: str
    engine: EchoCoreset
    points: Array
    left: Array


@pytest.mark.slow
def test_no_certificate_is_wrong() -> None:
    """Streams of every kind and order, cut, merged, restored and forgotten: seed by seed."""
    issued, seed, kinds = 0, 0, set()
    while issued < TARGET:
        case = counted(seed)
        expected = batch_choice(case)
        for is_repaired in (False, True):
            if is_repaired:
                case.engine.repair(ArraySource(as_samples(case.points)))
            told = claims(case.engine.snapshot())
            certified = {row for row, is_sure in told.items() if is_sure}
            wrong = certified - expected
            assert not wrong, f"seed {seed}, {case.name}, {is_repaired=}: {sorted(wrong)[:3]}"
            issued += len(certified)
        seed += 1
        kinds.add(case.name)
    assert len(kinds) == len(KINDS)


def counted(seed: int) -> Case:
    """Return an engine that has counted a stream in one of many ways."""
    rng = np.random.default_rng(seed)
    kind, order = KINDS[rng.integers(len(KINDS))], ORDERS[rng.integers(len(ORDERS))]
    points = cloud(kind, int(rng.integers(100, 1_500)), rng)
    points = points[order_of(order, points, rng)].astype(np.float32)
    rank = get_args(Rank)[rng.integers(len(get_args(Rank)))]
    support = [0, 2, 0.0, 0.25, 0.5][rng.integers(5)]
    quantiser = FIXED_QUANTISERS[rng.integers(len(FIXED_QUANTISERS))]
    generation = any_generation(int(rng.integers(1, 6)), points, kind=quantiser)
    parts = np.array_split(np.arange(len(points)), rng.integers(1, 5))
    budget, merges = int(rng.integers(1, 120)), bool(rng.integers(2))
    engine = any_engine(budget, rank, support, generation)
    gone: set[int] = set()
    for part in parts:
        shard = any_engine(budget, rank, support, generation) if merges else engine
        shard.partial_fit(points[part], ids=part)
        if merges:
            engine.merge(shard)
        for name in engine.coreset().ids[: rng.integers(0, 4)]:
            if engine.forget(name):
                gone.add(int(name))
        engine = EchoCoreset.from_state(engine.to_state())
    left = np.array([row for row in range(len(points)) if row not in gone])
    return Case(kind, engine, points, left)


def batch_choice(case: Case) -> set[Row]:
    """Return what a batch build chooses from all that is left."""
    return truth(case.points[case.left], case.engine, ids=case.left)
