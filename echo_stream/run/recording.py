"""Checkpoints and snapshots of a run, written while it goes on."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import OffsetsError
from echo_stream.run.report import RunStats
from echo_stream.samples.source import RejectedSample, SampleStream, Skipped

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Store(Protocol):
    """Where checkpoints and snapshots go. Both are durable when the call returns.

    The two calls may come from two threads at once.
    """

    def save_checkpoint(
        self,
        engine: EchoCoreset,
        offsets: Mapping[str, int],
        source: Mapping[str, Any],
        skipped: Skipped,
    ) -> int | None:
        """Write engine and offsets as one atomic unit; return its size in bytes.

        0: it is there already. None: it is not to be written yet, and is not durable.
        """

    def take_snapshot(self, engine: EchoCoreset, offsets: Mapping[str, int], /) -> Snapshot:
        """Write a snapshot of the engine, and of what others have counted; return it."""


class DeadLetters(Protocol):
    """Where invalid messages are stored. No two calls are made at once."""

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Store messages."""

    def flush(self) -> None:
        """Make all messages stored so far durable."""


class InlineExecutor(Executor):
    """Do what is submitted before `submit` returns."""

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> "Future[Result]":
        """Call a function, and return its result or error as a future that is done."""
        done: Future[Result] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as err:
            done.set_exception(err)
        return done


@dataclass(frozen=True, slots=True)
class FrozenRun:
    """The state of a run at one moment, and what is to be written of it.

    Attributes
    ----------
    engine : EchoCoreset
        A copy: it has counted exactly what lies before the offsets.
    offsets : mapping
    skipped : Skipped
    wants_snapshot, wants_training : bool
        Whether a snapshot follows the checkpoint, and whether it is to be trained on.
    """

    engine: EchoCoreset
    offsets: Mapping[str, int]
    skipped: Skipped
    wants_snapshot: bool
    wants_training: bool


class RecordedCheckpoint(NamedTuple):
    """A checkpoint that has become durable.

    Attributes
    ----------
    offsets : mapping
    seconds : float
        What it took to write.
    n : int
        Samples that it has counted, since the stream began.
    """

    offsets: Mapping[str, int]
    seconds: float
    n: int


class RecordedSnapshot(NamedTuple):
    """A snapshot that has become durable, and whether it is to be trained on."""

    snapshot: Snapshot
    wants_training: bool


class Recorder:
    """Write states of a run, at most one checkpoint and one snapshot at a time.

    A checkpoint is: 1. make dead letters durable, 2. write engine and offsets as one
    unit, 3. commit the source. A snapshot is only ever taken of a state whose checkpoint
    is durable, so that no crash can make one of a future that did not happen.

    Parameters
    ----------
    source, store, dead_letters
    executor : Executor
        Does the writing; one of two threads lets a snapshot hold up no checkpoint.
    clock : callable
        Returns seconds that only grow; called in those threads too.
    stats : RunStats
    """

    def __init__(
        self,
        source: SampleStream,
        store: Store,
        dead_letters: DeadLetters,
        *,
        executor: Executor,
        clock: Callable[[], float],
        stats: RunStats,
    ) -> None:
        self._source, self._store, self._dead_letters = source, store, dead_letters
        self._executor, self._clock, self._stats = executor, clock, stats
        self._offsets = source.offsets()
        self._dead_letter_lock = threading.Lock()
        self._unflushed = Counter[str]()  # dead letters that are not durable, by reason
        self._writing: tuple[FrozenRun, Future[float | None]] | None = None
        self._selecting: tuple[FrozenRun, Future[Snapshot]] | None = None
        self._next: FrozenRun | None = None  # durable, and waits for its turn to become a snapshot

    @property
    def is_checkpointing(self) -> bool:
        """Whether a checkpoint is under way, or has ended and was not collected yet."""
        return self._writing is not None

    @property
    def is_selecting(self) -> bool:
        """Whether a snapshot is under way or waits for its checkpoint."""
        is_due = self._writing is not None and self._writing[0].wants_snapshot
        return self._selecting is not None or self._next is not None or is_due

    @property
    def is_running(self) -> bool:
        """Whether something is being written now."""
        return not all(future.done() for future in self._under_way())

    def reject(self, rejected: Sequence[RejectedSample]) -> None:
        """Store messages as dead letters; waits while these are being flushed."""
        with self._dead_letter_lock:
            self._dead_letters.write(rejected)
            self._unflushed.update(message.reason for message in rejected)

    def begin(
        self,
        engine: EchoCoreset,
        skipped: Skipped,
        *,
        wants_snapshot: bool,
        wants_training: bool,
    ) -> None:
        """Begin to write a checkpoint, and a snapshot after it if one is wanted.

        Raises
        ------
        OffsetsError
            If the source's offsets have gone back; nothing is written then.
        """
        started, offsets = self._clock(), self._source.offsets()
        _check_monotone(self._offsets, offsets)
        self._offsets = offsets
        frozen = FrozenRun(engine.copy(), offsets, skipped, wants_snapshot, wants_training)
        self._writing = frozen, self._executor.submit(self._checkpoint, frozen)
        stall = self._stats.checkpoint_stall_seconds = self._clock() - started
        longest = self._stats.max_checkpoint_stall_seconds
        self._stats.max_checkpoint_stall_seconds = max(stall, longest)

    def collect(self) -> list[RecordedCheckpoint | RecordedSnapshot]:
        """Return what has become durable since the last call, and begin what was waiting for it.

        An error of the writing is raised here.
        """
        found: list[RecordedCheckpoint | RecordedSnapshot] = []
        while True:
            if self._writing is not None and self._writing[1].done():
                (frozen, written), self._writing = self._writing, None
                seconds, n = written.result(), frozen.engine.n_seen_
                if seconds is not None:
                    found.append(RecordedCheckpoint(frozen.offsets, seconds, n))
                self._next = frozen if frozen.wants_snapshot else self._next
            elif self._selecting is not None and self._selecting[1].done():
                (frozen, selected), self._selecting = self._selecting, None
                found.append(RecordedSnapshot(selected.result(), frozen.wants_training))
            elif self._next is not None and self._selecting is None:
                frozen, self._next = self._next, None
                taken = self._executor.submit(
                    self._store.take_snapshot, frozen.engine, frozen.offsets
                )
                self._selecting = frozen, taken
            else:
                return found

    def wait(self, seconds: float) -> None:
        """Wait until one of what is under way has ended, or so long."""
        wait(self._under_way(), seconds, "FIRST_COMPLETED")

    def _under_way(self) -> list[Future[Any]]:
        """Return what is being written, or has been and was not collected yet."""
        return [each[1] for each in (self._writing, self._selecting) if each is not None]

    def _checkpoint(self, frozen: FrozenRun) -> float | None:
        """Write a checkpoint, in the three steps of the class's description.

        Returns the seconds; None: the store does not write it yet.
        """
        started = self._clock()
        try:
            with self._dead_letter_lock:
                self._dead_letters.flush()
                for reason, count in self._unflushed.items():
                    self._stats.dead_letters[reason] += count
                self._unflushed.clear()
            # Asked for after the offsets were taken, so that it is of a log that holds it.
            source = self._source.describe()
            size = self._store.save_checkpoint(
                frozen.engine, frozen.offsets, source, frozen.skipped
            )
        except BaseException:
            self._stats.checkpoint_failures += 1
            raise
        if size is None:
            return None
        self._source.commit(frozen.offsets)
        self._stats.checkpoint_bytes = size or self._stats.checkpoint_bytes
        self._stats.checkpoint_seconds = seconds = self._clock() - started
        return seconds


def _check_monotone(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Raise OffsetsError if an offset has gone back, so that it is not written."""
    for name, offset in before.items():
        if after.get(name, -1) < offset:
            msg = (
                f"the offset of {name} went back from {offset} to {after.get(name)}, which "
                "would count samples twice; start again from the last checkpoint"
            )
            raise OffsetsError(msg)
