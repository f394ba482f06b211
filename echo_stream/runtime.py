"""The loop of the long-running consumer: poll, count, checkpoint, snapshot, retrain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from echo_stream.breaker import Breaker
from echo_stream.engine import EchoCoreset
from echo_stream.errors import BadMessagesError, ConfigError, PositionError, SourceError
from echo_stream.schedule import Every, Schedule
from echo_stream.snapshot import Snapshot
from echo_stream.source import RejectedSample, Skipped, Source
from echo_stream.watching import Observer, Silence

BATCH_SAMPLES = 4_096  # samples asked of the source at a time


class Store(Protocol):
    """Where checkpoints and snapshots go. Both are durable when the call returns."""

    def save_checkpoint(
        self,
        engine: EchoCoreset,
        position: Mapping[str, int],
        source: Mapping[str, Any],
        skipped: Skipped,
    ) -> None:
        """Write engine and position as one atomic unit."""

    def save_snapshot(self, snapshot: Snapshot, position: Mapping[str, int]) -> str:
        """Write a snapshot and return its id."""


class DeadLetters(Protocol):
    """Where messages go that are no samples."""

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Take messages in."""

    def flush(self) -> None:
        """Make everything taken in durable."""


class Trainer(Protocol):
    """What trains models on snapshots beside the stream, one at a time."""

    def start(self, snapshot_id: str) -> bool:
        """Begin to train on a snapshot; False if a training is still under way."""

    def poll(self) -> None:
        """Report a training that has ended. Returns at once."""

    def finish(self, may_wait: Callable[[], bool]) -> None:
        """Wait for the training under way while may_wait() holds; then end it."""


class _StoppedTrainingError(Exception):
    """A stop was asked for while the generation was being trained."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How a run behaves. Nothing here changes the coreset.

    Attributes
    ----------
    checkpoint_every, snapshot_every, retrain_every : Every or None
        None: only at the end (checkpoint and snapshot), or never (retraining).
    max_samples : int or None
        Stop when so many samples have been counted by this run.
    max_bad_share : float
        Stop with an error when more than this share of the last `bad_window` messages were
        no samples, or all of a stream that is shorter; 1: never.
    bad_window : int
    keep_snapshots : int or None
        Snapshots that stay when one is written, besides the pinned; None: all.
    """

    checkpoint_every: Every | None = None
    snapshot_every: Every | None = None
    retrain_every: Every | None = None
    max_samples: int | None = None
    max_bad_share: float = 0.5
    bad_window: int = 1_000
    keep_snapshots: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        if not 0 <= self.max_bad_share <= 1:
            msg = f"max_bad_share must be a number from 0 to 1; got {self.max_bad_share}"
            raise ConfigError(msg)
        if self.bad_window < 1:
            msg = f"bad_window must be at least 1; got {self.bad_window}"
            raise ConfigError(msg)
        if self.keep_snapshots is not None and self.keep_snapshots < 1:
            msg = f"keep_snapshots must be at least 1; got {self.keep_snapshots}"
            raise ConfigError(msg)


@dataclass(slots=True)
class RunReport:
    """What a run has done.

    Attributes
    ----------
    n : int
        Samples counted since the stream began.
    samples, rejected : int
        Counted, and refused, by this run.
    gaps, replayed : int
        Offsets without a message, and messages dropped since they came again, since the
        stream began.
    checkpoints, retrainings : int
    snapshots : list of str
        Ids, in order.
    training_abandoned : bool
        Whether a stop came while the generation was being trained; the next run trains it.
    """

    n: int = 0
    samples: int = 0
    rejected: int = 0
    gaps: int = 0
    replayed: int = 0
    checkpoints: int = 0
    retrainings: int = 0
    snapshots: list[str] = field(default_factory=list)
    training_abandoned: bool = False


class Run:
    """One run of the consumer over a source.

    A checkpoint is: 1. make dead letters durable, 2. write engine and position as one
    unit, 3. commit the source. A snapshot is only ever taken of a state that has been
    checkpointed, so that no crash can make one of a future that did not happen.

    Parameters
    ----------
    source, engine, store, dead_letters
        The engine has counted exactly what lies before the source's position.
    config : RunConfig
    clock : callable
        Returns seconds that only grow.
    trainer : Trainer, optional
        Needed when retrain_every is set.
    observer : Observer, optional
    skipped : Skipped
        What was skipped before the source's position.
    """

    def __init__(  # noqa: PLR0913 - everything that a run is between
        self,
        source: Source,
        engine: EchoCoreset,
        store: Store,
        dead_letters: DeadLetters,
        *,
        config: RunConfig,
        clock: Callable[[], float],
        trainer: Trainer | None = None,
        observer: Observer | None = None,
        skipped: Skipped = Skipped(),  # noqa: B008 - immutable
    ) -> None:
        self.report = RunReport(engine.n_seen_, gaps=skipped.gaps, replayed=skipped.replayed)
        self._source = source
        self._position = source.position()
        self._engine = engine
        self._store = store
        self._dead_letters = dead_letters
        self._trainer = trainer
        self._config = config
        self._clock = clock
        self._observer = observer or Silence()
        self._stop_asked = False
        self._snapshot_asked = False
        n, now = engine.n_seen_, clock()
        self._checkpoint_schedule = Schedule(config.checkpoint_every, n=n, now=now)
        self._snapshot_schedule = Schedule(config.snapshot_every, n=n, now=now)
        self._retrain_schedule = Schedule(config.retrain_every, n=n, now=now)
        self._breaker = Breaker(config.max_bad_share, config.bad_window)

    def stop(self) -> None:
        """Ask the run to end after the batch at hand. Safe in a signal handler."""
        self._stop_asked = True

    def ask_snapshot(self) -> None:
        """Ask for a snapshot after the batch at hand. Safe in a signal handler."""
        self._snapshot_asked = True

    def run(self) -> RunReport:
        """Consume until the source ends, enough has been counted, or a stop is asked for.

        Ends with a checkpoint and a snapshot. When the source fails, or too much of it is
        no samples, a checkpoint is written before the error goes on.
        """
        is_whole = False
        try:
            self._consume()
            is_whole = True
        finally:
            if self._trainer is not None:
                self._trainer.finish(lambda: is_whole and not self._stop_asked)
        return self.report

    def _consume(self) -> None:
        """Run the loop, and write the last checkpoint and snapshot."""
        try:
            self._loop()
            self._observer.phase("stopping")
        except (BadMessagesError, PositionError, SourceError):
            self._checkpoint()
            raise
        except _StoppedTrainingError:
            # Nothing is lost: all that was held back for it is in the checkpoint.
            self.report.training_abandoned = True
        self._checkpoint()
        if self._engine.can_snapshot:
            self._snapshot()

    def _loop(self) -> None:
        """Consume until it is over. A batch never reaches beyond the warm-up.

        So when a stop is asked for while the generation is trained, all that has been
        read is still held back, and the checkpoint has it.
        """
        if self._engine.is_warming_up and self._engine.warmup_missing <= 0:
            self._engine.end_warmup(on_epoch=self._epoch)
        while not self._is_over():
            self._observer.phase("warming up" if self._engine.is_warming_up else "running")
            self._take_batch()
            self._do_what_is_due()
        if self._source.is_exhausted:
            if self.report.n == 0:
                self._breaker.end()
            self._engine.end_warmup(on_epoch=self._epoch)

    def _epoch(self, done: int, total: int) -> None:
        """Pass on an epoch of training, unless a stop has been asked for."""
        if self._stop_asked:
            raise _StoppedTrainingError
        self._observer.phase("training")
        self._observer.epoch(done, total)

    def _is_over(self) -> bool:
        """Tell whether there is nothing left to do."""
        return self._stop_asked or self._source.is_exhausted or self._samples_left() == 0

    def _take_batch(self) -> None:
        """Count the next samples; no more than until something is due."""
        schedules = (self._checkpoint_schedule, self._snapshot_schedule, self._retrain_schedule)
        limits = [schedule.samples_left(self.report.n) for schedule in schedules]
        if self._engine.is_warming_up:
            limits.append(self._engine.warmup_missing)
        batch = self._source.next_batch(int(min(BATCH_SAMPLES, self._samples_left(), *limits)))
        num_samples = 0 if batch.samples is None else len(batch.samples)
        self.report.gaps += batch.skipped.gaps
        self.report.replayed += batch.skipped.replayed
        if batch.rejected:
            self._dead_letters.write(batch.rejected)
            self.report.rejected += len(batch.rejected)
        if batch.samples is not None:
            self.report.samples += num_samples
            self.report.n += num_samples
            self._engine.update(batch.samples, on_epoch=self._epoch)
        self._observer.batch(self.report, batch)
        num_messages = batch.num_messages
        if num_messages is None:
            num_messages = num_samples + len(batch.rejected)
        self._breaker.update(num_messages, batch.rejected)

    def _do_what_is_due(self) -> None:
        """Checkpoint, take a snapshot, start a training: each if its time has come."""
        n, now = self.report.n, self._clock()
        wants_snapshot = self._snapshot_asked or self._snapshot_schedule.is_due(n, now)
        wants_training = self._retrain_schedule.is_due(n, now)
        if not self._engine.can_snapshot:
            # There is nothing to select from yet: what is due now waits for its next turn.
            wants_snapshot = wants_training = False
            self._snapshot_schedule.done(n, now)
            self._retrain_schedule.done(n, now)
        if wants_snapshot or wants_training or self._checkpoint_schedule.is_due(n, now):
            self._checkpoint()
        if wants_snapshot or wants_training:
            self._snapshot()
        if self._trainer is not None:
            self._trainer.poll()
        if wants_training:
            self._retrain()

    def _checkpoint(self) -> None:
        """Write a checkpoint, in the three steps of the class's description."""
        began, position = self._clock(), self._source.position()
        _check_monotone(self._position, position)
        self._dead_letters.flush()
        skipped = Skipped(self.report.gaps, self.report.replayed)
        self._store.save_checkpoint(self._engine, position, self._source.describe(), skipped)
        self._position = position
        self._source.commit(position)
        self._checkpoint_schedule.done(self.report.n, self._clock())
        self.report.checkpoints += 1
        self._observer.checkpoint(position, self._clock() - began)

    def _snapshot(self) -> None:
        """Write a snapshot of the state that has just been checkpointed."""
        snapshot = self._engine.snapshot()
        snapshot_id = self._store.save_snapshot(snapshot, self._source.position())
        if snapshot_id not in self.report.snapshots[-1:]:
            self.report.snapshots.append(snapshot_id)
        self._snapshot_schedule.done(self.report.n, self._clock())
        self._snapshot_asked = False
        self._observer.snapshot(snapshot)

    def _retrain(self) -> None:
        """Start a training on the snapshot that has just been taken."""
        self._retrain_schedule.done(self.report.n, self._clock())
        if self._trainer is not None and self._trainer.start(self.report.snapshots[-1]):
            self.report.retrainings += 1

    def _samples_left(self) -> float:
        """Return how many samples this run may still count."""
        if self._config.max_samples is None:
            return float("inf")
        return max(self._config.max_samples - self.report.samples, 0)


def _check_monotone(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Raise PositionError if a position has gone back, so that it is not written."""
    for name, offset in before.items():
        if after.get(name, -1) < offset:
            msg = (
                f"the position of {name} went back from {offset} to {after.get(name)}, which "
                "would count samples twice; start again from the last checkpoint"
            )
            raise PositionError(msg)
