"""Samples that take the place of those of their id."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.inside import sketch_of
from tests.support.same_coreset import comparable
from tests.support.strategies import codebook_generation, identity_generation

GENERATION = identity_generation(2, 3)


def cloud(n: int, seed: int = 5) -> Array:
    """Return points of shape (n, 2)."""
    return np.random.default_rng(seed).random((n, 2)).astype(np.float32)


def replacing(budget: int = 20, **settings: Any) -> EchoCoreset:
    """Return an engine that replaces, with a generation unless settings say otherwise."""
    chosen: dict[str, Any] = {"generation": GENERATION, "on_duplicate": "replace", **settings}
    return EchoCoreset(budget, **{"preset": "fixed", **chosen})


def feed(engine: EchoCoreset, x: Array, ids: Sequence[object], cuts: Sequence[int]) -> EchoCoreset:
    """Let an engine count samples in batches; labels are the numbers of the rows."""
    y = np.arange(len(x))
    for start, stop in zip([0, *cuts], [*cuts, len(x)], strict=True):
        engine.partial_fit(x[start:stop], y[start:stop], ids[start:stop])
    return engine


def test_of_samples_that_are_all_held_the_last_of_each_id_is_left() -> None:
    """Counts, sums, cells and rows are those of a stream that never had the others."""
    x, ids = cloud(600), [f"key-{row % 250}" for row in range(600)]
    engine = feed(replacing(1_000), x, ids, [])
    expected = replacing(1_000).partial_fit(x[350:], np.arange(350, 600), ids[350:])
    snapshot, other = engine.snapshot(), expected.snapshot()
    assert (engine.n_seen_, snapshot.manifest["num_replaced"]) == (250, 350)
    assert snapshot.rows.samples.ids.tolist() == other.rows.samples.ids.tolist()
    assert snapshot.rows.samples.labels is not None
    assert other.rows.samples.labels is not None
    assert snapshot.rows.samples.labels.tolist() == other.rows.samples.labels.tolist()
    assert snapshot.cells.counts.tolist() == other.cells.counts.tolist()
    assert snapshot.cells.centroids.tolist() == other.cells.centroids.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("is_warming", [False, True])
@settings(max_examples=4)
@given(st.lists(st.integers(0, 4_000), max_size=6), st.integers(0, 2))
def test_batches_make_no_difference(is_warming: bool, cuts: list[int], seed: int) -> None:
    """Beyond the warm-up and several blocks, with samples dropped in between."""
    x, rng = cloud(4_000, seed), np.random.default_rng(seed)
    ids = rng.integers(0, 1_500, 4_000).tolist()
    chosen: dict[str, Any] = (
        {"generation": None, "latent": "identity", "warmup": 300} if is_warming else {}
    )
    engines = [feed(replacing(**chosen), x, ids, at) for at in ([], sorted(cuts))]
    assert comparable(engines[0]) == comparable(engines[1])
    manifest = engines[0].snapshot().manifest
    assert manifest["num_replaced"] > 0
    assert manifest["n"] == 4_000 - manifest["num_replaced"]


def test_a_sample_that_was_dropped_stays_counted() -> None:
    """Nobody knows where it is, so the new one counts beside it."""
    x = cloud(9_000)
    engine = replacing().partial_fit(x)
    held = {member.id for member in sketch_of(engine).flushed().members()}
    dropped = next(row for row in range(9_000) if str(row) not in held)
    engine.partial_fit(x[:1], ids=[dropped])
    assert engine.n_seen_ == 9_001
    assert engine.snapshot().manifest["num_replaced"] == 0


def test_a_state_goes_on_exactly() -> None:
    """With samples replaced before and after, in pools and in the tail."""
    x, ids = cloud(3_000), np.random.default_rng(1).integers(0, 900, 3_000).tolist()
    whole = feed(replacing(), x, ids, [])
    begun = feed(replacing(), x[:1_700], ids[:1_700], [])
    again = EchoCoreset.from_state(begun.to_state())
    again.partial_fit(x[1_700:], np.arange(1_700, 3_000), ids[1_700:])
    assert comparable(again) == comparable(whole)


@pytest.mark.slow
def test_a_source_that_is_read_again_is_replaced_in_again() -> None:
    """A new generation counts as the stream did; a repair cannot, and changes nothing."""
    x = np.sort(cloud(6_000), axis=0)  # centres move, so that rows are in doubt
    source = ArraySource(as_samples(x, ids=[row % 4_000 for row in range(6_000)]))
    engine = replacing(preset="paper", cells="codebook", latent="identity")
    engine.set_params(generation=codebook_generation(x[::2_000])).fit_source(source)
    before = comparable(engine)
    assert not engine.repair(source).is_accepted
    assert comparable(engine) == before
    engine.regenerate(source)
    manifest = engine.snapshot().manifest
    assert manifest["n"] == 6_000 - manifest["num_replaced"] < 6_000


def test_engines_that_treat_duplicates_differently_do_not_merge() -> None:
    """They have counted other things."""
    counting = EchoCoreset(20, generation=GENERATION, preset="fixed").partial_fit(cloud(3))
    with pytest.raises(ConfigError, match="on_duplicate: 'replace' and 'count'"):
        replacing().partial_fit(cloud(3)).merge(counting)


def test_features_that_fail_leave_nothing_counted() -> None:
    """Neither the samples before, nor those that they would have replaced."""

    def picky(x: Array) -> Array:
        if (x < 0).any():
            msg = "negative"
            raise ValueError(msg)
        return x

    x = cloud(2_000)
    trained = EchoCoreset(20, features=picky, latent="identity", preset="fixed").fit(x).generation_
    engine = replacing(features=picky, generation=trained)
    engine.partial_fit(x, ids=[row % 700 for row in range(2_000)])
    before = comparable(engine)
    x[1_500] = -1
    with pytest.raises(Exception, match="negative"):
        engine.partial_fit(x, ids=[row % 700 for row in range(2_000)])
    assert comparable(engine) == before
