"""Which samples to label next."""

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot, suggest_labels
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError

BUDGET = 8


def blobs(sizes: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    """Return points around as many places, 10 apart, and the number of the place of each."""
    generator = np.random.default_rng(seed)
    places = np.repeat(np.arange(len(sizes)), sizes)
    x = generator.normal(scale=0.5, size=(len(places), 2))
    x[:, 0] += 10 * places
    return x, places


def engine_of(x: Array, order: Array, cut: int) -> EchoCoreset:
    """Return what has counted the rows in an order, some at a time; ids are the rows."""
    engine = EchoCoreset(BUDGET, device="cpu")
    for start in range(0, len(order), cut):
        rows = order[start : start + cut]
        engine.partial_fit(x[rows], ids=rows)
    engine.end_warmup()
    return engine


def suggested(snapshot: Snapshot, count: int) -> list[int]:
    """Return the rows that are suggested."""
    return [int(one) for one in suggest_labels(snapshot, count).samples.ids]


def test_without_labels_each_dense_region_comes_first() -> None:
    """One sample of each place, the larger ones first, before a second one of any."""
    x, places = blobs((30, 60, 15))
    engine = engine_of(x, np.arange(len(x)), len(x))
    rows = suggested(engine.snapshot(), 3)
    assert [places[row] for row in rows] == [1, 0, 2]


def test_a_region_with_a_label_is_left_for_others() -> None:
    """And what is taken for the one class known so far is not believed far from its label."""
    x, places = blobs((30, 60, 15))
    engine = engine_of(x, np.arange(len(x)), len(x))
    engine.label(suggested(engine.snapshot(), 1), ["first"])
    found = suggest_labels(engine.snapshot(), 2)
    assert [places[int(one)] for one in found.samples.ids] == [0, 2]
    assert found.gains[0] > found.gains[1] > 0


def test_unsure_samples_come_before_sure_ones() -> None:
    """Of two equal regions, one with labels that agree and one with labels that do not."""
    x, places = blobs((60, 60))
    engine = engine_of(x, np.arange(len(x)), len(x))
    held = engine.held()[0].ids.astype(np.int64)
    sure, unsure = held[places[held] == 0][:10], held[places[held] == 1][:10]
    engine.label(sure.tolist(), ["a"] * len(sure))
    engine.label(unsure.tolist(), [("b", "c")[at % 2] for at in range(len(unsure))])
    rows = suggested(engine.snapshot(), 3)
    assert [places[row] for row in rows] == [1, 1, 1]


def test_what_is_suggested_does_not_depend_on_batches() -> None:
    """Of the same stream, labelled the same way."""
    x, places = blobs((100, 200, 50))
    order = np.random.default_rng(3).permutation(len(x))
    found = []
    for cut in (len(x), 37, 1):
        engine = engine_of(x, order, cut)
        known = suggested(engine.snapshot(), 4)
        engine.label(known, [int(places[row]) for row in known])
        found.append(suggested(engine.snapshot(), 10))
    assert found[0] == found[1] == found[2]


def test_each_sample_is_suggested_once_and_none_that_has_a_label() -> None:
    """Asked for more than there are."""
    x, places = blobs((20, 20))
    engine = engine_of(x, np.arange(len(x)), len(x))
    held = {int(one) for one in engine.held()[0].ids}
    engine.label([0, 25], ["a", "b"])
    rows = suggested(engine.snapshot(), 1_000)
    assert len(rows) == len(set(rows))
    assert set(rows) == held - {0, 25}
    found = suggest_labels(engine.snapshot(), 1_000)
    taken = [{"a": 0, "b": 1}[label] for label in found.labels]
    assert taken == [places[row] for row in rows]


def test_nothing_is_left_where_all_have_labels() -> None:
    """An empty list, not an error."""
    engine = EchoCoreset(2, device="cpu").fit([[0.0], [1.0]], ["a", "b"])
    assert len(suggest_labels(engine.snapshot(), 5)) == 0


def test_a_count_below_one_is_refused() -> None:
    """By its name."""
    engine = EchoCoreset(2, device="cpu").fit([[0.0], [1.0]])
    with pytest.raises(ConfigError, match="count"):
        suggest_labels(engine.snapshot(), 0)
