"""The consumer's loop: what it writes when."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.run.config import RunConfig
from echo_stream.run.runtime import BATCH_SAMPLES, SLOW_SAMPLES
from echo_stream.run.schedule import Every
from echo_stream.samples.source import Skipped
from tests.support.runtime_rig import (
    CAP,
    Clock,
    CrashError,
    Diary,
    Ear,
    N,
    rig,
    settled,
    warming,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(1, 120), st.integers(1, 40), st.integers(0, 60))
def test_snapshots_at_exact_multiples(step: int, cap: int, start: int) -> None:
    """At each multiple of the interval since the stream began, and at the end."""
    resumed = rig(
        RunConfig(snapshot_every=Every(samples=step)),
        engine=settled(start),
        offsets={"row": start},
        cap=cap,
    )
    report = resumed.run.run()
    multiples = [n for n in range(step, N, step) if n > start]
    assert resumed.counts == [*multiples, N]
    assert report.snapshots == list(resumed.memory.snapshots)


def test_checkpoints_at_exact_multiples() -> None:
    """The offset is the number of samples counted, each time, and a last one is written."""
    checked = rig(RunConfig(checkpoint_every=Every(samples=30)))
    report = checked.run.run()
    assert [offsets for _, offsets in checked.memory.checkpoints] == [
        {"row": n} for n in (30, 60, 90, N)
    ]
    assert report.checkpoints == 4
    assert checked.counts == [N]


def test_intervals_do_not_disturb_each_other() -> None:
    """Each keeps its own multiples, and a snapshot's checkpoint is not written twice."""
    config = RunConfig(checkpoint_every=Every(samples=20), snapshot_every=Every(samples=30))
    mixed = rig(config)
    mixed.run.run()
    assert mixed.counts == [30, 60, 90, N]
    assert [offsets["row"] for _, offsets in mixed.memory.checkpoints] == [
        20, 30, 40, 60, 80, 90, N, N,
    ]  # fmt: skip


def test_last_snapshot_is_reported_once() -> None:
    """Where the end is a multiple there is one snapshot of it."""
    report = rig(RunConfig(snapshot_every=Every(samples=50))).run.run()
    assert len(report.snapshots) == len(set(report.snapshots)) == 2


def test_time_intervals() -> None:
    """A batch of seven takes a second: every three seconds are every 21 samples."""
    config = RunConfig(checkpoint_every=Every(seconds=2), snapshot_every=Every(seconds=3))
    timed = rig(config)
    timed.run.run()
    assert timed.counts == [21, 42, 63, 84, N]
    # A snapshot's checkpoint counts as one: the next is two seconds later.
    assert [offsets["row"] for _, offsets in timed.memory.checkpoints] == [
        14, 21, 35, 42, 56, 63, 77, 84, 98, N, N,
    ]  # fmt: skip


def test_time_passes_without_samples() -> None:
    """An idle source is checkpointed and asked again."""
    idle = rig(RunConfig(checkpoint_every=Every(seconds=2)), idle=5)
    report = idle.run.run()
    assert idle.memory.diary.entries[:6] == ["flush", "checkpoint 0", "commit"] * 2
    assert (report.n, report.samples) == (N, N)
    assert idle.ear.heard[:6] == [0, 0, 0, 0, 0, CAP]


@pytest.mark.parametrize("start", [0, 13])
@pytest.mark.parametrize("cap", [1, 7, 1_000])
@pytest.mark.parametrize("max_samples", [1, 50, 86])
def test_max_samples_is_exact(max_samples: int, cap: int, start: int) -> None:
    """The run counts so many, not those of earlier runs, and leaves the rest where it is."""
    limited = rig(
        RunConfig(max_samples=max_samples),
        engine=settled(start),
        offsets={"row": start},
        cap=cap,
    )
    report = limited.run.run()
    assert (report.samples, report.n) == (max_samples, start + max_samples)
    assert limited.source.offsets() == limited.source.committed == {"row": start + max_samples}
    assert limited.counts == [start + max_samples]


def test_source_may_end_before_max_samples() -> None:
    """The limit is no promise."""
    assert rig(RunConfig(max_samples=N + 1)).run.run().samples == N


def test_batches_are_bounded() -> None:
    """Without anything due, the source is asked for so many samples at a time and no more."""
    bounded = rig(RunConfig(max_samples=20))
    bounded.run.run()
    assert bounded.source.asked == [20, 13, 6]
    free = rig()
    free.run.run()
    assert set(free.source.asked) == {SLOW_SAMPLES, BATCH_SAMPLES}
    assert free.source.asked.index(BATCH_SAMPLES) == 1


def test_batches_are_smaller_where_samples_are_dear() -> None:
    """What is due, and a stop, does not wait for thousands of slow features."""
    clock = Clock()

    def slow(x: Array) -> Array:
        clock.now += 0.005 * len(x)
        return x

    engine = EchoCoreset(6, warmup=40, features=slow, device="cpu", preset="fixed")
    dear = rig(engine=engine, clock=clock, cap=20)
    dear.run.run()
    assert dear.source.asked[2:] == [SLOW_SAMPLES] * (len(dear.source.asked) - 2)


def test_stop_ends_after_the_batch() -> None:
    """With a checkpoint and a snapshot of what has been counted."""
    ear = Ear(at=3)
    stopped = rig(ear=ear)
    ear.do = stopped.run.stop
    report = stopped.run.run()
    assert report.n == 3 * CAP
    assert stopped.memory.diary.entries == ["flush", "checkpoint 21", "commit", "snapshot 21"]


def test_stop_before_the_first_batch() -> None:
    """Nothing is read; what was counted before is written."""
    stopped = rig(engine=settled(10), offsets={"row": 10})
    stopped.run.stop()
    assert stopped.run.run().samples == 0
    assert stopped.source.asked == []
    assert stopped.memory.diary.entries == ["flush", "checkpoint 10", "commit", "snapshot 10"]


def test_snapshot_that_is_asked_for() -> None:
    """It is taken after the batch at hand, once."""
    ear = Ear(at=2)
    asked = rig(ear=ear)
    ear.do = asked.run.ask_snapshot
    asked.run.run()
    assert asked.counts == [2 * CAP, N]


def test_end_of_input_ends_the_warmup() -> None:
    """Fewer samples than the warm-up wants are a stream all the same."""
    short = rig(
        engine=EchoCoreset(6, warmup=1_000, latent="identity", device="cpu", preset="fixed")
    )
    report = short.run.run()
    assert not short.engine.is_warming_up
    assert short.counts == [N]
    assert short.memory.diary.entries == ["flush", f"checkpoint {N}", "commit", f"snapshot {N}"]
    assert (report.n, report.checkpoints) == (N, 1)


@pytest.mark.parametrize("reason", ["max_samples", "stop"])
def test_nothing_else_ends_the_warmup(reason: str) -> None:
    """What is held back is in the checkpoint, and the snapshot is provisional."""
    ear = Ear(at=3)
    config = RunConfig(max_samples=3 * CAP if reason == "max_samples" else None)
    warm = rig(config, engine=warming(), ear=ear)
    if reason == "stop":
        ear.do = warm.run.stop
    report = warm.run.run()
    assert (report.n, report.snapshot_provisional) == (21, True)
    assert warm.memory.diary.entries == ["flush", "checkpoint 21", "commit", "snapshot 21"]
    assert warm.memory.snapshots[report.snapshots[-1]].manifest["provisional"]
    restored, offsets = warm.memory.restored()
    assert restored.is_warming_up
    assert (restored.n_seen_, offsets) == (21, {"row": 21})


def test_snapshots_wait_for_the_warmup() -> None:
    """What is due before is left out, and the multiples after it are as ever."""
    early = rig(RunConfig(snapshot_every=Every(samples=15)), engine=warming())
    early.run.run()
    assert early.counts == [45, 60, 75, 90, N]


def test_snapshot_asked_for_in_the_warmup_is_provisional() -> None:
    """It comes with the next batch, and the warm-up goes on."""
    ear = Ear(at=1)
    early = rig(engine=warming(), ear=ear)
    ear.do = early.run.ask_snapshot
    early.run.run()
    assert early.counts == [7, N]
    are_provisional = [one.manifest["provisional"] for one in early.memory.snapshots.values()]
    assert are_provisional == [True, False]


@pytest.mark.parametrize("engine", [settled, warming])
def test_checkpoint_is_three_steps(engine: Callable[[], EchoCoreset]) -> None:
    """Dead letters first, then state and offsets, then the source; a snapshot comes after."""
    config = RunConfig(checkpoint_every=Every(samples=10), snapshot_every=Every(samples=25))
    ordered = rig(config, engine=engine(), bad=range(N))
    report = ordered.run.run()
    entries = ordered.memory.diary.entries
    for place, entry in enumerate(entries):
        if entry.startswith("checkpoint"):
            assert entries[place - 1] == "flush"
            assert entries[place + 1] == "commit"
        if entry.startswith("snapshot"):
            n = entry.removeprefix("snapshot ")
            assert entries[place - 3 : place] == ["flush", f"checkpoint {n}", "commit"]
    assert entries.count("flush") == entries.count("commit") == report.checkpoints


def test_no_refused_message_is_passed_over() -> None:
    """With every checkpoint, all messages before its offsets are durable."""
    bad = [0, 6, 7, 50, 51, 99]
    config = RunConfig(checkpoint_every=Every(samples=5))
    for moment in range(200):
        diary = Diary(dies_before=moment)
        strict = rig(config, diary=diary, bad=bad)
        try:
            strict.run.run()
        except CrashError:
            _, offsets = strict.memory.checkpoints[-1] if moment > 1 else (None, {"row": 0})
            passed = [str(row) for row in bad if row < offsets["row"]]
            assert strict.memory.dead_letters[: len(passed)] == passed
            continue
        break
    assert strict.memory.dead_letters == [str(row) for row in bad]
    assert strict.run.report.rejected == len(bad)
    assert moment > 3 * N / 5


def test_skipped_offsets_are_counted_and_checkpointed() -> None:
    """Each checkpoint has all that was skipped before it, the last one what is reported."""
    skipping = rig(RunConfig(checkpoint_every=Every(samples=20)))
    skipping.source.skips = Skipped(2, 1)
    report = skipping.run.run()
    batches = len(skipping.source.asked)
    assert (report.gaps, report.replayed) == (2 * batches, batches)
    assert skipping.memory.skipped == sorted(skipping.memory.skipped)
    assert skipping.memory.skipped[-1] == report.skipped
