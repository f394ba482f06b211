"""Samples that the user's features cannot take: kept aside, and everything else is counted."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import EngineConfig
from echo_stream.connectors.app.consumer import consume
from echo_stream.connectors.dead_letters.files import read_dead_letters
from echo_stream.connectors.kafka.records import Record
from echo_stream.connectors.runner.consumption import Consumption
from echo_stream.connectors.storage.snapshots import newest_manifest
from echo_stream.errors import BadMessagesError, FeatureError, InfrastructureError
from echo_stream.generation.features import BLOCK_ROWS, failures
from echo_stream.run.bad_messages import split_off_failures
from echo_stream.run.config import RunConfig
from echo_stream.samples.changes import Forget
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.source import ArraySource, Batch, RejectedSample, Skipped
from tests.support.bad_messages import INFINITE, RAISES, N, picky, samples_with

CPU = torch.device("cpu")


def broken(_: Array) -> Array:
    """Fail on everything."""
    raise NotImplementedError


def starved(x: Array) -> Array:
    """Fail for want of memory as soon as a sample fails."""
    if (x[:, 0] == RAISES).any():
        raise MemoryError
    return x


class Slow(ArraySource):
    """A source that hands out a few samples at a time."""

    def __init__(self, samples: Samples, cap: int) -> None:
        super().__init__(samples)
        self._cap = cap

    def next_batch(self, max_samples: int) -> Batch:
        """Return at most as many samples as the cap says."""
        return super().next_batch(min(max_samples, self._cap))


def run(
    state: Path, samples: Samples, features: Any = picky, cap: int = 7, **config: Any
) -> list[RejectedSample]:
    """Consume samples into a state, and return the dead letters."""
    engine = EngineConfig(
        budget=8,
        warmup=25,
        features=f"{features.__module__}:{features.__name__}",
        auto_regenerate=False,
        preset="fixed",
    )
    consume(Consumption(lambda: Slow(samples, cap), state, engine, RunConfig(**config)))
    return [
        dead_letter.sample
        for dead_letter in read_dead_letters(state / "dead-letters")
        if dead_letter.sample
    ]


def snapshot(state: Path) -> tuple[Any, ...]:
    """Return what the newest snapshot is."""
    manifest = newest_manifest(state)
    assert manifest
    return manifest["id"], manifest["n"], manifest["generation"]


@pytest.mark.slow
@pytest.mark.parametrize("row", [0, 10, 24, 25, 26, 40, N - 1])
@pytest.mark.parametrize("kind", [RAISES, INFINITE])
def test_failing_samples_at_any_place(tmp_path: Path, row: int, kind: float) -> None:
    """In the warm-up, at its end and after it; all else is counted as if it had not been there."""
    samples = samples_with({row: kind})
    (dead_letter,) = run(tmp_path / "whole", samples)
    assert (dead_letter.reason, dead_letter.key) == ("feature", str(row).encode())
    words = "no such pixel" if kind == RAISES else "values that are not finite"
    assert words in dead_letter.message
    assert dead_letter.exception == ("ValueError" if kind == RAISES else "FeatureError")
    np.testing.assert_array_equal(np.load(io.BytesIO(dead_letter.value or b"")), samples.x[row])
    assert dict(dead_letter.headers)["label"] == f"class {row % 3}".encode()
    assert run(tmp_path / "rest", samples[np.delete(np.arange(N), row)]) == []
    assert snapshot(tmp_path / "whole") == snapshot(tmp_path / "rest")


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.dictionaries(st.integers(0, N - 1), st.sampled_from([RAISES, INFINITE]), max_size=12),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
def test_batch_sizes_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, failing: dict[int, float], caps: tuple[int, int]
) -> None:
    """The same dead letters in the same order, and the same coreset."""
    found = []
    for cap in caps:
        state = tmp_path_factory.mktemp("failing") / "state"
        dead_letters = run(state, samples_with(failing), cap=cap, max_bad_share=1)
        assert [int(dead_letter.key or b"") for dead_letter in dead_letters] == sorted(failing)
        found.append(snapshot(state))
    assert found[0] == found[1]


@pytest.mark.parametrize("failing", [(), (0,), (1_023, 1_024), (5, 6, 2_999), range(1_000, 1_100)])
def test_offenders_are_found_in_any_block(failing: Sequence[int]) -> None:
    """By halving blocks; good ones are called a few times at most."""
    x = np.zeros((3_000, 2))
    x[list(failing), 0] = RAISES
    calls = []

    def counted(block: Array) -> Array:
        calls.append(len(block))
        return picky(block)

    found = failures(counted, x, CPU)
    assert [failure.row for failure in found] == list(failing)
    assert all(isinstance(failure.error, FeatureError) for failure in found)
    assert len(calls) <= 3 + 2 * 10 * len(failing)
    assert max(calls) <= BLOCK_ROWS


def test_message_of_many_samples_is_kept_aside_whole() -> None:
    """Once, as it came, among the other bad ones; changes keep their place among what is left."""
    records = [
        Record(Origin("t", 0, offset, 7), None, b"%d" % offset, [("h", b"")]) for offset in range(4)
    ]
    origins = [Origin("t", 0, offset, 7) for offset in (0, 2, 2, 2, 3)]
    x = np.zeros((5, 2), np.float32)
    x[[2, 3]] = RAISES
    samples = Samples(x, np.arange(5), origins=as_objects(origins))
    bad = RejectedSample("decode", "no sample", None, b"1", (), Origin("t", 0, 1, 7), place=1)
    changes = [Forget("a", 1), Forget("b", 4), Forget("c", 5)]
    batch = Batch(samples, [bad], Skipped(), 4, changes, records)
    engine = EchoCoreset(5, features=picky, preset="fixed")
    left = split_off_failures(batch, engine.failures(samples))
    assert left.samples is not None
    assert left.samples.ids.tolist() == [0, 4]
    assert [
        (dead_letter.value, dead_letter.place, dead_letter.reason) for dead_letter in left.rejected
    ] == [
        (b"1", 1, "decode"),
        (b"2", 2, "feature"),
    ]
    assert left.rejected[1].headers == (("h", b""),)
    assert left.rejected[1].origin == Origin("t", 0, 2, 7)
    assert left.changes == [Forget("a", 1), Forget("b", 1), Forget("c", 2)]
    assert left.num_messages == 4


def test_features_that_fail_on_everything_stop_the_run(tmp_path: Path) -> None:
    """The stream is not drained into the dead letters."""
    with pytest.raises(BadMessagesError, match=r"feature: 20.*NotImplementedError"):
        run(tmp_path, samples_with({}), broken, cap=5, bad_window=20)
    assert len(list(read_dead_letters(tmp_path / "dead-letters"))) == 20
    assert not newest_manifest(tmp_path)


@pytest.mark.parametrize("row", [3, 40])
def test_want_of_memory_is_not_a_failing_sample(tmp_path: Path, row: int) -> None:
    """The run ends where it is, and no sample is blamed; the next one reads it again."""
    samples = samples_with({row: RAISES})
    with pytest.raises(InfrastructureError, match=r"MemoryError.*nothing has been skipped"):
        run(tmp_path, samples, starved)
    assert not (tmp_path / "dead-letters").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("HIP out of memory"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ConnectionError("model server"),
    ],
)
def test_errors_of_devices_are_not_failing_samples(error: Exception) -> None:
    """By their class, or by their words where torch has no class for them."""

    def failing(_: Array) -> Array:
        raise error

    with pytest.raises(InfrastructureError):
        failures(failing, np.zeros((4, 2)), CPU)


def test_an_interrupt_is_no_failure() -> None:
    """Ctrl-C goes through."""

    def interrupted(_: Array) -> Array:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failures(interrupted, np.zeros((4, 2)), CPU)
