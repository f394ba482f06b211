"""The labels of a stream as they arrived: counted once, in any order, in bounded memory."""

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array, Label
from echo_stream.samples.label_counts import MAX_CHARACTERS, MAX_LABELS, label_counts
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.strategies import identity_generation

N = 5_000
LABELS: list[Label] = ["cat", None, 3, 2.5]


@pytest.fixture(scope="module")
def x() -> Array:
    """Return a cloud that pools drop most of."""
    return np.random.default_rng(3).random((N, 2)).astype(np.float32)


def engine() -> EchoCoreset:
    """Return an engine that has counted nothing."""
    return EchoCoreset(
        10, generation=identity_generation(2, 3), cells="grid", device="cpu", preset="fixed"
    )


def counted(of: EchoCoreset) -> dict[str, int] | None:
    """Return what a snapshot says of the stream's labels."""
    found: dict[str, int] | None = of.snapshot().manifest["labels_stream"]
    return found


def labelled(number: int) -> list[Label]:
    """Return labels in turn."""
    return [LABELS[row % len(LABELS)] for row in range(number)]


def test_any_cut_any_order_and_any_sharding(x: Array) -> None:
    """The counts are those of the whole, and the snapshot is the batch's to its id."""
    y = labelled(N)
    whole = engine().fit(x, y)
    assert counted(whole) == {"2.5": 1_250, "3": 1_250, "cat": 1_250, "null": 1_250}
    order = np.random.default_rng(0).permutation(N)
    left, right = engine(), engine()
    for start in range(0, N, 700):
        rows = order[start : start + 700]
        side = left if start % 1_400 else right
        side.partial_fit(x[rows], [y[row] for row in rows], ids=rows)
    left.merge(right)
    assert counted(left) == counted(whole)
    assert counted(right) != counted(whole)


def test_samples_without_labels_are_unknown(x: Array) -> None:
    """They count as such, beside those that have one."""
    assert counted(engine().partial_fit(x[:3]).partial_fit(x[3:5], [7, 7])) == {"7": 2, "null": 3}


def test_a_state_has_them(x: Array) -> None:
    """They go on where they were."""
    arrays, meta = engine().partial_fit(x, labelled(N)).to_state()
    again = EchoCoreset.from_state((arrays, meta), device="cpu").partial_fit(x[:4], labelled(4))
    assert counted(again) == {"2.5": 1_251, "3": 1_251, "cat": 1_251, "null": 1_251}


def test_a_warm_up_counts_what_arrived(x: Array) -> None:
    """Labels that came late to what is held back are none that arrived with it."""
    waiting = EchoCoreset(10, warmup=100, epochs=1, device="cpu", preset="fixed")
    waiting.partial_fit(x[:50], [0] * 50)
    waiting.label(3, 1)
    assert counted(waiting.partial_fit(x[50:150], [0] * 100)) == {"0": 150}


def test_what_becomes_of_samples_changes_nothing(x: Array) -> None:
    """Late labels, forgotten ids and a new generation, with the source or without it."""
    stream = engine().partial_fit(x, labelled(N))
    before, held = counted(stream), stream.snapshot().rows.samples.ids
    stream.label(held[0], "dog")
    assert stream.forget(held[1]) == 1
    assert counted(stream) == before
    stream.regenerate()
    assert counted(stream) == before
    stream.regenerate(ArraySource(as_samples(x, labelled(N))))
    assert counted(stream) == before


@pytest.mark.parametrize("text", ["", "x" * (MAX_CHARACTERS // 500)])
def test_too_many_labels_are_none(x: Array, text: str) -> None:
    """A regression's numbers, or long names, are let go of, whatever came first."""
    number = MAX_LABELS + 1
    labels: list[Label] = [f"{text}{row}" for row in range(number)]
    some = engine().partial_fit(x[: number - 1], labels[:-1])
    assert (counted(some) is None) == bool(text)
    assert counted(some.partial_fit(x[number - 1 : number], labels[-1:])) is None
    halves = [engine().partial_fit(x[half:number:2], labels[half::2]) for half in (0, 1)]
    few = engine().partial_fit(x[:1], ["a"])
    few.merge(halves[0])
    few.merge(halves[1])
    assert counted(few) is None


def test_equal_numbers_of_different_types_are_different_labels() -> None:
    """As texts they are, whichever comes first; True is 1, as a snapshot stores it."""
    mixed = np.array([1, True, 1.0, "1", np.int64(1), float("nan")], dtype=object)
    assert label_counts(mixed) == {
        "1": 4,
        "1.0": 1,
        "null": 1,
    }
    assert label_counts(np.array([2, 2, 1], np.uint8)) == {"1": 1, "2": 2}
