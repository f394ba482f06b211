"""The consumer's loop: what it writes when, and that it resumes from wherever it dies."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig, Snapshot
from echo_stream.errors import SourceError
from echo_stream.runtime import BATCH_SAMPLES, Run, RunConfig, RunReport
from echo_stream.schedule import Every
from echo_stream.source import ArraySource, Batch, RejectedSample
from echo_stream.typing import Array
from echo_stream.validation import as_samples
from tests.strategies import identity_generation

N = 100
CAP = 7  # samples that the source hands out at most at a time, whatever it is asked for
WARMUP = 40
GENERATION = identity_generation(dim=2, side=3)
# What takes least time to train: most tests here warm up many times.
CONFIG = EngineConfig(budget=6, cells="grid-budget", latent="identity", support=1, warmup=WARMUP)
NEVER = RunConfig()


class CrashError(Exception):
    """The process dies."""


def points(n: int = N) -> Array:
    """Return points of shape (n, 2)."""
    return np.random.default_rng(4).random((n, 2)).astype(np.float32)


def settled(n: int = 0) -> EchoCoreset:
    """Return an engine without a warm-up that has counted the first n samples."""
    engine = EchoCoreset.from_config(CONFIG, generation=GENERATION, device="cpu")
    return engine.partial_fit(points()[:n])


def warming() -> EchoCoreset:
    """Return an engine that trains its own generation."""
    return EchoCoreset.from_config(CONFIG, device="cpu")


def comparable(engine: EchoCoreset) -> tuple[dict[str, bytes], str]:
    """Return an engine's whole state in a form that can be compared."""
    arrays, meta = engine.to_state()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(meta)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Diary:
    """What happened in which order; dies before the entry it is told to."""

    def __init__(self, dies_before: int | None = None) -> None:
        self.entries: list[str] = []
        self._dies_before = dies_before

    def note(self, entry: str) -> None:
        """Write an entry, or die."""
        if len(self.entries) == self._dies_before:
            raise CrashError
        self.entries.append(entry)


class Tape(ArraySource):
    """The points as a source that hands out little at a time, fails and refuses as told.

    A batch takes a second. Where a batch holds a row of `bad`, a message is refused.
    """

    def __init__(
        self,
        diary: Diary,
        clock: Clock,
        *,
        n: int = N,
        cap: int = CAP,
        fails_at: int | None = None,
        error: Exception | None = None,
        idle: int = 0,
        bad: Sequence[int] = (),
    ) -> None:
        super().__init__(as_samples(points(n)))
        self.diary, self.clock, self.cap = diary, clock, cap
        self.fails_at, self.error, self.idle, self.bad = fails_at, error, idle, bad
        self.asked: list[int] = []
        self.committed: dict[str, int] | None = None

    def next_batch(self, max_samples: int) -> Batch:
        """Return a batch, or nothing yet, or fail."""
        if len(self.asked) == self.fails_at:
            assert self.error is not None
            raise self.error
        self.asked.append(max_samples)
        self.clock.now += 1
        if len(self.asked) <= self.idle:
            return Batch(None)
        before = self.position()["row"]
        samples = super().next_batch(min(max_samples, self.cap)).samples
        rows = range(before, self.position()["row"])
        return Batch(samples, [refused(row) for row in self.bad if row in rows])

    def commit(self) -> None:
        """Take the position in."""
        self.diary.note("commit")
        self.committed = self.position()


def refused(row: int) -> RejectedSample:
    """Return a message that could not be decoded."""
    return RejectedSample("decode", "no sample", None, str(row).encode(), (), None)


@dataclass
class Memory:
    """The twin of a state folder and its dead letters; only what is in it outlives a crash."""

    diary: Diary
    checkpoints: list[tuple[Any, dict[str, int]]] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def save_checkpoint(
        self, engine: EchoCoreset, position: Mapping[str, int], source: Mapping[str, Any]
    ) -> None:
        """Keep the state as bytes would."""
        self.diary.note(f"checkpoint {engine.n_seen_}")
        assert source == {"kind": "array", "n": N}
        arrays, meta = engine.to_state()
        copies = {name: array.copy() for name, array in arrays.items()}
        self.checkpoints.append(((copies, json.loads(json.dumps(meta))), dict(position)))

    def save_snapshot(self, snapshot: Snapshot, position: Mapping[str, int]) -> str:
        """Keep the snapshot."""
        self.diary.note(f"snapshot {snapshot.n}")
        assert position == {"row": snapshot.n}
        self.snapshots[snapshot.id] = snapshot
        return snapshot.id

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Take messages in, not yet durably."""
        self.taken += [str(message.value, "utf-8") for message in rejected if message.value]

    def flush(self) -> None:
        """Make what was taken in durable."""
        self.diary.note("flush")
        self.letters += self.taken
        self.taken = []

    def restored(self) -> tuple[EchoCoreset, dict[str, int]]:
        """Return the newest engine and its position."""
        if not self.checkpoints:
            return warming(), {"row": 0}
        state, position = self.checkpoints[-1]
        return EchoCoreset.from_state(state, device="cpu"), position


class Ear:
    """An observer that writes down what it hears, and does something at a batch."""

    def __init__(self, at: int = 0, do: Callable[[], None] | None = None) -> None:
        self.heard: list[int] = []
        self.epochs: list[tuple[int, int]] = []
        self.do, self._at = do, at

    def batch(self, report: RunReport) -> None:
        """Hear of a batch."""
        self.heard.append(report.n)
        if self.do is not None and len(self.heard) == self._at:
            self.do()

    def epoch(self, done: int, total: int) -> None:
        """Hear of an epoch."""
        self.epochs.append((done, total))


def n_of(snapshot_id: str) -> int:
    """Return how many samples a snapshot had counted, by its name."""
    return int(snapshot_id.partition("-")[0])


class Coach:
    """A trainer that writes down what it is told; busy for some calls of poll."""

    def __init__(self, diary: Diary, busy_for: int = 0) -> None:
        self.started: list[str] = []
        self.refused: list[str] = []
        self.polls = self._busy = 0
        self.may_wait: list[bool] = []
        self.while_waiting: Callable[[], None] = lambda: None
        self._diary, self._busy_for = diary, busy_for

    def start(self, snapshot_id: str) -> bool:
        """Begin unless busy."""
        self._diary.note(f"train {n_of(snapshot_id)}")
        (self.refused if self._busy else self.started).append(snapshot_id)
        if self._busy:
            return False
        self._busy = self._busy_for
        return True

    def poll(self) -> None:
        """Be busy one call less."""
        self.polls += 1
        self._busy = max(self._busy - 1, 0)

    def finish(self, may_wait: Callable[[], bool]) -> None:
        """Note whether there is time, before and after something happens."""
        self.may_wait.append(may_wait())
        self.while_waiting()
        self.may_wait.append(may_wait())


@dataclass
class Rig:
    """A run and everything around it."""

    run: Run
    source: Tape
    memory: Memory
    ear: Ear
    engine: EchoCoreset

    @property
    def counts(self) -> list[int]:
        """N of each snapshot, in order of writing."""
        return [snapshot.n for snapshot in self.memory.snapshots.values()]


def rig(
    config: RunConfig = NEVER,
    *,
    engine: EchoCoreset | None = None,
    memory: Memory | None = None,
    ear: Ear | None = None,
    coach: Coach | None = None,
    diary: Diary | None = None,
    position: Mapping[str, int] | None = None,
    **tape: Any,
) -> Rig:
    """Return a run over the tape, at the start unless a position is given."""
    diary = diary or Diary()
    memory = memory or Memory(diary)
    memory.diary = diary
    clock, ear = Clock(), ear or Ear()
    source = Tape(diary, clock, **tape)
    source.seek(position or {"row": 0})
    engine = settled() if engine is None else engine
    run = Run(
        source, engine, memory, memory, config=config, clock=clock, trainer=coach, observer=ear
    )
    return Rig(run, source, memory, ear, engine)


@settings(max_examples=40)
@given(st.integers(1, 120), st.integers(1, 40), st.integers(0, 60))
def test_snapshots_at_exact_multiples(step: int, cap: int, start: int) -> None:
    """At each multiple of the interval since the stream began, and at the end."""
    resumed = rig(
        RunConfig(snapshot_every=Every(samples=step)),
        engine=settled(start),
        position={"row": start},
        cap=cap,
    )
    report = resumed.run.run()
    multiples = [n for n in range(step, N, step) if n > start]
    assert resumed.counts == [*multiples, N]
    assert report.snapshots == list(resumed.memory.snapshots)


def test_checkpoints_at_exact_multiples() -> None:
    """The position is the number of samples counted, each time, and a last one is written."""
    checked = rig(RunConfig(checkpoint_every=Every(samples=30)))
    report = checked.run.run()
    assert [position for _, position in checked.memory.checkpoints] == [
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
    assert [position["row"] for _, position in mixed.memory.checkpoints] == [
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
    assert [position["row"] for _, position in timed.memory.checkpoints] == [
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
        position={"row": start},
        cap=cap,
    )
    report = limited.run.run()
    assert (report.samples, report.n) == (max_samples, start + max_samples)
    assert limited.source.position() == limited.source.committed == {"row": start + max_samples}
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
    assert set(free.source.asked) == {BATCH_SAMPLES}


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
    stopped = rig(engine=settled(10), position={"row": 10})
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
    short = rig(engine=EchoCoreset(6, warmup=1_000, latent="identity", device="cpu"))
    report = short.run.run()
    assert not short.engine.is_warming_up
    assert short.counts == [N]
    assert short.memory.diary.entries == ["flush", f"checkpoint {N}", "commit", f"snapshot {N}"]
    assert (report.n, report.checkpoints) == (N, 1)


@pytest.mark.parametrize("reason", ["max_samples", "stop"])
def test_nothing_else_ends_the_warmup(reason: str) -> None:
    """What is held back is in the checkpoint, and there is no snapshot yet."""
    ear = Ear(at=3)
    config = RunConfig(max_samples=3 * CAP if reason == "max_samples" else None)
    warm = rig(config, engine=warming(), ear=ear)
    if reason == "stop":
        ear.do = warm.run.stop
    report = warm.run.run()
    assert (report.n, report.snapshots) == (21, [])
    assert warm.memory.diary.entries == ["flush", "checkpoint 21", "commit"]
    restored, position = warm.memory.restored()
    assert restored.is_warming_up
    assert (restored.n_seen_, position) == (21, {"row": 21})


def test_snapshots_wait_for_the_warmup() -> None:
    """What is due before is left out, and the multiples after it are as ever."""
    early = rig(RunConfig(snapshot_every=Every(samples=15)), engine=warming())
    early.run.run()
    assert early.counts == [45, 60, 75, 90, N]


def test_snapshot_asked_for_waits_for_the_warmup() -> None:
    """It is not forgotten: it comes with the batch that ends the warm-up."""
    ear = Ear(at=1)
    early = rig(engine=warming(), ear=ear)
    ear.do = early.run.ask_snapshot
    early.run.run()
    assert early.counts == [WARMUP, N]


@pytest.mark.parametrize("engine", [settled, warming])
def test_checkpoint_is_three_steps(engine: Callable[[], EchoCoreset]) -> None:
    """Dead letters first, then state and position, then the source; a snapshot comes after."""
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
    """With every checkpoint, all messages before its position are durable."""
    bad = [0, 6, 7, 50, 51, 99]
    config = RunConfig(checkpoint_every=Every(samples=5))
    for moment in range(200):
        diary = Diary(dies_before=moment)
        strict = rig(config, diary=diary, bad=bad)
        try:
            strict.run.run()
        except CrashError:
            _, position = strict.memory.checkpoints[-1] if moment > 1 else (None, {"row": 0})
            passed = [str(row) for row in bad if row < position["row"]]
            assert strict.memory.letters[: len(passed)] == passed
            continue
        break
    assert strict.memory.letters == [str(row) for row in bad]
    assert strict.run.report.rejected == len(bad)
    assert moment > 3 * N / 5


BUSY = RunConfig(checkpoint_every=Every(samples=20), snapshot_every=Every(samples=30))


@pytest.fixture(scope="module")
def undisturbed() -> Rig:
    """Return a run that nothing has disturbed, with a warm-up of its own."""
    whole = rig(BUSY, engine=warming(), bad=[5, 55])
    whole.run.run()
    return whole


def resume(memory: Memory) -> Rig:
    """Run again from the newest checkpoint to the end."""
    engine, position = memory.restored()
    resumed = rig(BUSY, engine=engine, memory=memory, position=position, bad=[5, 55])
    resumed.run.run()
    return resumed


def assert_same_end(resumed: Rig, undisturbed: Rig, *, may_lack: int = 0) -> None:
    """Nothing is lost or counted twice, and no snapshot is of what did not happen.

    Who dies between a checkpoint and its snapshot goes on after it: that one is lacking.
    """
    assert comparable(resumed.engine) == comparable(undisturbed.engine)
    expected, written = list(undisturbed.memory.snapshots), list(resumed.memory.snapshots)
    assert set(written) <= set(expected)
    assert len(written) >= len(expected) - may_lack
    assert written[-1] == expected[-1]
    assert set(resumed.memory.letters) == {"5", "55"}


@pytest.mark.parametrize("error", [SourceError("gone"), CrashError()])
def test_abort_and_resume_at_every_batch(undisturbed: Rig, error: Exception) -> None:
    """A source that fails, or a process that dies, at any batch changes nothing in the end."""
    batches = len(undisturbed.source.asked)
    assert batches > N / CAP
    for batch in range(batches):
        broken = rig(BUSY, engine=warming(), fails_at=batch, error=error, bad=[5, 55])
        with pytest.raises(type(error)):
            broken.run.run()
        assert_same_end(resume(broken.memory), undisturbed)


def test_crash_and_resume_at_every_step(undisturbed: Rig) -> None:
    """Between any two steps of any checkpoint or snapshot the process may die."""
    steps = len(undisturbed.memory.diary.entries)
    assert steps > 20
    for step in range(steps):
        broken = rig(BUSY, engine=warming(), diary=Diary(dies_before=step), bad=[5, 55])
        with pytest.raises(CrashError):
            broken.run.run()
        assert_same_end(resume(broken.memory), undisturbed, may_lack=1)


def test_crash_again_and_again(undisturbed: Rig) -> None:
    """Each life gets a little further."""
    memory, deaths = Memory(Diary()), 0
    while True:
        engine, position = memory.restored()
        life = rig(
            BUSY, engine=engine, memory=memory, position=position, diary=Diary(4), bad=[5, 55]
        )
        try:
            life.run.run()
            break
        except CrashError:
            deaths += 1
    assert deaths > 3
    assert_same_end(life, undisturbed, may_lack=deaths)


def test_source_that_fails_leaves_a_checkpoint() -> None:
    """All that was counted is kept; the error goes on, and there is no snapshot."""
    broken = rig(fails_at=3, error=SourceError("broker is gone"))
    with pytest.raises(SourceError, match="broker is gone"):
        broken.run.run()
    assert broken.memory.diary.entries == ["flush", "checkpoint 21", "commit"]
    assert broken.source.committed == {"row": 21}


def test_other_errors_leave_no_checkpoint() -> None:
    """What is not known to be sound is not written."""
    broken = rig(fails_at=3, error=CrashError())
    with pytest.raises(CrashError):
        broken.run.run()
    assert broken.memory.diary.entries == []


def test_training_on_the_snapshot_just_written() -> None:
    """Due trainings bring their own snapshots, and start after these are durable."""
    diary = Diary()
    coach = Coach(diary)
    trained = rig(RunConfig(retrain_every=Every(samples=40)), diary=diary, coach=coach)
    report = trained.run.run()
    assert coach.started == report.snapshots[:2]
    assert trained.counts == [40, 80, N]
    assert diary.entries[:5] == ["flush", "checkpoint 40", "commit", "snapshot 40", "train 40"]
    assert report.retrainings == 2
    assert coach.polls == len(trained.source.asked)


def test_training_under_way_is_not_counted_again() -> None:
    """A trainer that is busy says so; its next turn is the next multiple."""
    diary = Diary()
    coach = Coach(diary, busy_for=5)
    busy = rig(RunConfig(retrain_every=Every(samples=20)), diary=diary, coach=coach)
    report = busy.run.run()
    assert [n_of(name) for name in coach.started] == [20, 60, 100]
    assert [n_of(name) for name in coach.refused] == [40, 80]
    assert report.retrainings == 3


def test_training_waits_for_the_warmup() -> None:
    """There is nothing to train on before."""
    diary = Diary()
    coach = Coach(diary)
    config = RunConfig(retrain_every=Every(samples=30))
    report = rig(config, engine=warming(), diary=diary, coach=coach).run.run()
    assert [n_of(name) for name in coach.started] == [60, 90]
    assert report.retrainings == 2


def test_training_without_a_trainer() -> None:
    """An interval alone starts nothing, but its snapshots are taken."""
    lonely = rig(RunConfig(retrain_every=Every(samples=40)))
    assert lonely.run.run().retrainings == 0
    assert lonely.counts == [40, 80, N]


def test_last_training_may_finish() -> None:
    """A run that has come to its end waits for it, unless a stop is asked for meanwhile."""
    coach = Coach(Diary())
    ended = rig(coach=coach)
    coach.while_waiting = ended.run.stop
    ended.run.run()
    assert coach.may_wait == [True, False]


@pytest.mark.parametrize("error", [SourceError("gone"), CrashError()])
def test_last_training_is_ended_after_an_error(error: Exception) -> None:
    """A run that has failed does not wait."""
    coach = Coach(Diary())
    with pytest.raises(type(error)):
        rig(coach=coach, fails_at=2, error=error).run.run()
    assert coach.may_wait == [False, False]


def test_last_training_is_ended_after_a_stop() -> None:
    """Nor does one that was told to stop."""
    coach, ear = Coach(Diary()), Ear(at=2)
    stopped = rig(coach=coach, ear=ear)
    ear.do = stopped.run.stop
    stopped.run.run()
    assert coach.may_wait == [False, False]


def test_observer_hears_every_batch() -> None:
    """With the report as it stands."""
    heard = rig(engine=settled(10), position={"row": 10})
    report = heard.run.run()
    assert heard.ear.heard == [*range(17, N, CAP), N]
    assert (report.n, report.samples, report.rejected) == (N, N - 10, 0)


@pytest.mark.parametrize("warmup", [WARMUP, 1_000])
def test_observer_hears_the_epochs(warmup: int) -> None:
    """Whether the warm-up ends by itself or with the input."""
    heard = rig(engine=EchoCoreset(6, preset="paper", warmup=warmup, epochs=2, device="cpu"))
    heard.run.run()
    assert heard.ear.epochs == [(1, 2), (2, 2)]


def test_nobody_need_watch() -> None:
    """Observer and trainer may be left out."""
    diary = Diary()
    memory = Memory(diary)
    source = Tape(diary, Clock())
    run = Run(source, warming(), memory, memory, config=NEVER, clock=Clock())
    assert run.run().n == N


class StopAtEpoch(Ear):
    """Asks a run to stop in the middle of its generation's training."""

    run: Run

    def epoch(self, done: int, total: int) -> None:
        """Ask at the second of five."""
        super().epoch(done, total)
        if done == 2:
            self.run.stop()


@pytest.mark.parametrize(("warmup", "held_back"), [(40, 40), (500, N)])
def test_stop_during_training_loses_nothing(warmup: int, held_back: int) -> None:
    """Stopped while the generation is trained, by a full warm-up or at the end of input."""
    config = EngineConfig(budget=6, preset="paper", epochs=5, warmup=warmup)

    def run_over(engine: EchoCoreset, row: int, memory: Memory, observer: Ear) -> Run:
        source = ArraySource(as_samples(points()))
        source.seek({"row": row})
        return Run(source, engine, memory, memory, config=NEVER, clock=Clock(), observer=observer)

    whole, memory, ear = Memory(Diary()), Memory(Diary()), StopAtEpoch()
    run_over(EchoCoreset.from_config(config, device="cpu"), 0, whole, Ear()).run()
    ear.run = run_over(EchoCoreset.from_config(config, device="cpu"), 0, memory, ear)
    report = ear.run.run()
    assert report.training_abandoned
    assert (report.n, report.snapshots) == (held_back, [])

    engine, position = memory.restored()
    assert run_over(engine, position["row"], memory, Ear()).run().n == N
    assert comparable(memory.restored()[0]) == comparable(whole.restored()[0])
