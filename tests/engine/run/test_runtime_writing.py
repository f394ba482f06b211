"""The consumer's loop while checkpoints and snapshots are written beside it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import StateError
from echo_stream.run.config import RunConfig
from echo_stream.run.schedule import Every
from tests.support.runtime_rig import (
    CAP,
    Clock,
    Diary,
    Ear,
    N,
    points,
    rig,
    settled,
    warming,
)
from tests.support.same_coreset import comparable


class Slow(Executor):
    """Does what is submitted when it is told to, and the rest when somebody waits for it."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep a job; a thread does it when nobody else has within a moment."""
        future: Future[Any] = Future()
        self.held.append((future, lambda: fn(*args, **kwargs)))
        threading.Timer(0.5, self.work).start()
        return future

    def work(self) -> None:
        """Do what is held."""
        held, self.held = self.held, []
        for future, job in held:
            try:
                future.set_result(job())
            except Exception as err:
                future.set_exception(err)


@pytest.fixture
def threads() -> Iterator[Executor]:
    """Yield two threads that write, as the command line has them."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(1, 120), st.integers(5, 60), st.integers(5, 60))
def test_same_end_as_when_writing_is_waited_for(cap: int, checkpoint: int, snapshot: int) -> None:
    """States, snapshots and letters are those of a run that writes at once, one for one."""
    config = RunConfig(
        checkpoint_every=Every(samples=checkpoint), snapshot_every=Every(samples=snapshot)
    )
    bad = [0, 13, 99]
    at_once = rig(config, engine=warming(), cap=cap, bad=bad)
    at_once.run.run()
    with ThreadPoolExecutor(2) as executor:
        beside = rig(config, engine=warming(), cap=cap, bad=bad, executor=executor)
        beside.run.run()
    assert comparable(beside.engine) == comparable(at_once.engine)
    assert beside.memory.checkpoints[-1][1] == {"row": N}
    assert [n for _, n in beside.memory.checkpoints] == [n for _, n in at_once.memory.checkpoints]
    assert list(beside.memory.snapshots) == list(at_once.memory.snapshots)
    assert beside.memory.dead_letters == at_once.memory.dead_letters == [str(row) for row in bad]


def test_what_is_written_stands_still_while_counting_goes_on() -> None:
    """A checkpoint has its own samples and offsets, however late it is written."""
    slow = Slow()
    ear = Ear(at=6, do=slow.work)
    beside = rig(RunConfig(checkpoint_every=Every(seconds=2)), ear=ear, executor=slow)
    beside.run.run()
    assert ear.checkpoints[0] == 2 * CAP  # though six times as many are counted by then
    restored, offsets = [], []
    for state, at in beside.memory.checkpoints:
        engine = settled().from_state(state, device="cpu")
        restored.append(comparable(engine))
        offsets.append(at["row"])
    assert offsets[0] == 2 * CAP
    # Due again after two seconds, but begun only when the first one was done.
    assert offsets[1] == 6 * CAP
    assert restored == [comparable(settled(row)) for row in offsets]


def test_snapshot_waits_for_its_checkpoint_and_holds_up_no_other() -> None:
    """None is taken of what is not durable; checkpoints go on while one is selected."""
    slow, at_selection = Slow(), 0
    ear = Ear(at=3, do=slow.work)
    config = RunConfig(checkpoint_every=Every(seconds=2), snapshot_every=Every(seconds=3))
    beside = rig(config, ear=ear, executor=slow)
    beside.run.run()
    entries = beside.memory.diary.entries
    for place, entry in enumerate(entries):
        if entry.startswith("snapshot"):
            assert f"checkpoint {entry.removeprefix('snapshot ')}" in entries[:place]
            at_selection += 1
    assert at_selection == len(beside.memory.snapshots) > 1


def test_failure_ends_the_run(threads: Executor) -> None:
    """Where the disk refuses, the run says so at the end of a later batch, and goes no further."""
    config = RunConfig(checkpoint_every=Every(samples=20))
    broken = rig(config, executor=threads)

    def refuse(*_: object) -> int:
        msg = "the disk is full"
        raise StateError(msg)

    setattr(broken.memory, "save_checkpoint", refuse)  # noqa: B010 - a disk that fails
    with pytest.raises(StateError, match="disk is full"):
        broken.run.run()
    assert broken.run.report.n < N
    assert broken.run.report.end_reason == "error"
    assert broken.source.committed is None


class Hurried(Clock):
    """A clock that moves on with each look at it."""

    def __call__(self) -> float:
        """Return the time, a second later each time."""
        self.now += 1
        return self.now


def test_stop_gives_up_a_snapshot_that_takes_too_long(threads: Executor) -> None:
    """The checkpoint is written; the snapshot is left out when the budget is short."""
    ear, may_end = Ear(at=3), threading.Event()
    stopped = rig(RunConfig(shutdown_budget=50), ear=ear, executor=threads, clock=Hurried())
    ear.do = stopped.run.stop
    save = stopped.memory.take_snapshot

    def linger(*arguments: Any) -> Snapshot:
        assert may_end.wait(60)
        return save(*arguments)

    setattr(stopped.memory, "take_snapshot", linger)  # noqa: B010 - a slow disk
    report = stopped.run.run()
    may_end.set()
    assert (report.snapshot_abandoned, report.snapshots) == (True, [])
    assert report.end_reason == "stopped"
    assert stopped.memory.checkpoints[-1][1] == {"row": 3 * CAP}
    assert stopped.source.committed == {"row": 3 * CAP}


@pytest.mark.parametrize(
    ("config", "reason"),
    [(RunConfig(), "end of stream"), (RunConfig(max_samples=10), "max samples")],
)
def test_end_is_explained(config: RunConfig, reason: str) -> None:
    """Why a run is over is in its report."""
    assert rig(config).run.run().end_reason == reason


@settings(max_examples=25)
@given(st.integers(1, N - 1), st.booleans())
def test_copy_of_an_engine_goes_its_own_way(cut: int, is_warming_up: bool) -> None:
    """Neither sees what the other counts afterwards, in the warm-up and behind it."""
    engine = warming() if is_warming_up else settled()
    engine.partial_fit(points()[:cut])
    before, copied = comparable(engine), engine.copy()
    engine.partial_fit(points()[cut:])
    after = comparable(engine)
    assert comparable(copied) == before
    copied.partial_fit(points()[cut:])
    assert comparable(copied) == comparable(engine) == after
    again = engine.copy()
    engine.forget(engine.coreset().ids[0])
    assert comparable(engine) != comparable(again) == after


def test_diary_of_threads_has_the_steps_in_order(threads: Executor) -> None:
    """Dead letters, state and offsets, source: in this order, each time."""
    diary = Diary()
    config = RunConfig(checkpoint_every=Every(samples=10))
    ordered = rig(config, executor=threads, diary=diary, bad=range(N))
    report = ordered.run.run()
    steps = [entry.split()[0] for entry in diary.entries if not entry.startswith("snapshot")]
    assert steps == ["flush", "checkpoint", "commit"] * report.checkpoints
    assert len(ordered.memory.dead_letters) == N
    counts = ordered.stats.dead_letters
    assert {reason: count for reason, count in counts.items() if count} == {"decode": N}


def test_dead_letters_count_once_they_are_durable() -> None:
    """Those that a disk refuses are none."""
    refused = rig(bad=[0, 1])

    def refuse() -> None:
        msg = "the disk is full"
        raise StateError(msg)

    setattr(refused.memory, "flush", refuse)  # noqa: B010 - a disk that fails
    with pytest.raises(StateError, match="disk is full"):
        refused.run.run()
    assert (refused.run.report.rejected, refused.stats.dead_letters["decode"]) == (2, 0)
