"""A run of the consumer with everything around it in memory: what it writes can be looked at."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from echo_stream import EchoCoreset, EngineConfig, Snapshot
from echo_stream._common.typing import Array
from echo_stream.run.config import RunConfig
from echo_stream.run.observer import NullObserver
from echo_stream.run.recording import InlineExecutor
from echo_stream.run.report import RunReport, RunStats
from echo_stream.run.retraining import Retraining, RetrainTrigger
from echo_stream.run.runtime import Environment, Run
from echo_stream.samples.source import ArraySource, Batch, RejectedSample, Skipped
from echo_stream.samples.validation import as_samples
from tests.support.strategies import identity_generation

N = 100
CAP = 7  # samples that the source hands out at most at a time, whatever it is asked for
WARMUP = 40
GENERATION = identity_generation(dim=2, side=3)
# What takes least time to train: most tests here warm up many times.
CONFIG = EngineConfig(
    budget=6,
    preset="paper",
    cells="grid-budget",
    latent="identity",
    rank="mixed",
    support=1,
    warmup=WARMUP,
)
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

    A batch takes a second, and skips `skips`. The first `junk` ones are a bad message each.
    Before each row of `bad` there is a message that is refused with it.
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
        self.junk = 0
        self.skips = Skipped()
        self.asked: list[int] = []
        self.committed: dict[str, int] | None = None

    @property
    def is_exhausted(self) -> bool:
        """Return whether all has been handed out, junk included."""
        return super().is_exhausted and len(self.asked) >= self.junk

    def next_batch(self, max_samples: int) -> Batch:
        """Return a batch, or nothing yet, or fail."""
        if len(self.asked) == self.fails_at:
            assert self.error is not None
            raise self.error
        self.asked.append(max_samples)
        self.clock.now += 1
        if len(self.asked) <= self.idle:
            return Batch(None)
        if len(self.asked) <= self.junk:
            return Batch(None, [refused(-len(self.asked))])
        before = self.offsets()["row"]
        samples = super().next_batch(min(max_samples, self.cap)).samples
        rows = range(before, self.offsets()["row"])
        bad = [row for row in self.bad if row in rows]
        rejected = [refused(row, row - before + place) for place, row in enumerate(bad)]
        return Batch(samples, rejected, self.skips)

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Take the offsets in."""
        self.diary.note("commit")
        self.committed = dict(offsets)


def refused(row: int, place: int = 0) -> RejectedSample:
    """Return a message that could not be decoded."""
    return RejectedSample("decode", "no sample", None, str(row).encode(), (), None, place)


@dataclass
class Memory:
    """The twin of a state folder and its dead letters; only what is in it outlives a crash."""

    diary: Diary
    checkpoints: list[tuple[Any, dict[str, int]]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def save_checkpoint(
        self,
        engine: EchoCoreset,
        offsets: Mapping[str, int],
        source: Mapping[str, Any],
        skipped: Skipped,
    ) -> int:
        """Keep the state as bytes would."""
        self.diary.note(f"checkpoint {engine.n_seen_}")
        assert source == {"kind": "array", "n": N}
        arrays, meta = engine.to_state()
        copies = {name: array.copy() for name, array in arrays.items()}
        self.checkpoints.append(((copies, json.loads(json.dumps(meta))), dict(offsets)))
        self.skipped.append(skipped)
        return sum(array.nbytes for array in arrays.values())

    def take_snapshot(self, engine: EchoCoreset, offsets: Mapping[str, int]) -> Snapshot:
        """Keep the snapshot."""
        snapshot = engine.snapshot()
        self.diary.note(f"snapshot {snapshot.n}")
        assert offsets == {"row": snapshot.n}
        self.snapshots[snapshot.id] = snapshot
        return snapshot

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Take messages in, not yet durably."""
        self.taken += [str(message.value, "utf-8") for message in rejected if message.value]

    def flush(self) -> None:
        """Make what was taken in durable."""
        self.diary.note("flush")
        self.dead_letters += self.taken
        self.taken = []

    def restored(self) -> tuple[EchoCoreset, dict[str, int]]:
        """Return the newest engine and its offsets."""
        if not self.checkpoints:
            return warming(), {"row": 0}
        state, offsets = self.checkpoints[-1]
        return EchoCoreset.from_state(state, device="cpu"), offsets


class Ear(NullObserver):
    """An observer that writes down what it hears, and does something at a batch."""

    def __init__(self, at: int = 0, do: Callable[[], object] | None = None) -> None:
        self.heard: list[int] = []
        self.epochs: list[tuple[int, int]] = []
        self.checkpoints: list[int] = []
        self.do, self._at = do, at

    def batch(self, report: RunReport, _: Batch) -> None:
        """Hear of a batch."""
        self.heard.append(report.n)
        if self.do is not None and len(self.heard) == self._at:
            self.do()

    def checkpoint(self, offsets: Mapping[str, int], seconds: float, n: int) -> None:  # noqa: ARG002
        """Hear of a checkpoint."""
        self.checkpoints.append(n)

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
        self._busy = 0


@dataclass
class Rig:
    """A run and everything around it."""

    run: Run
    source: Tape
    memory: Memory
    ear: Ear
    engine: EchoCoreset
    stats: RunStats

    @property
    def counts(self) -> list[int]:
        """N of each snapshot, in order of writing."""
        return [snapshot.n for snapshot in self.memory.snapshots.values()]


def rig(  # noqa: PLR0913 - all that a run is between
    config: RunConfig = NEVER,
    *,
    engine: EchoCoreset | None = None,
    memory: Memory | None = None,
    ear: Ear | None = None,
    coach: Coach | None = None,
    diary: Diary | None = None,
    offsets: Mapping[str, int] | None = None,
    executor: Executor | None = None,
    clock: Clock | None = None,
    trigger: RetrainTrigger | None = None,
    **tape: Any,
) -> Rig:
    """Return a run over the tape, at the start unless offsets are given."""
    diary = diary or Diary()
    memory = memory or Memory(diary)
    memory.diary = diary
    clock, ear = clock or Clock(), ear or Ear()
    source = Tape(diary, clock, **tape)
    source.seek(offsets or {"row": 0})
    engine = settled() if engine is None else engine
    stats = RunStats()
    run = Run(
        source,
        engine,
        memory,
        memory,
        config,
        Environment(clock, executor or InlineExecutor(), ear, stats),
        retraining=Retraining(coach, trigger=trigger or RetrainTrigger()),
    )
    return Rig(run, source, memory, ear, engine, stats)
