"""The loop of the long-running consumer: poll, count, checkpoint, snapshot, retrain."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import BadMessagesError, OffsetsError, SourceError
from echo_stream.run.bad_messages import Breaker, split_off_failures
from echo_stream.run.config import RunConfig
from echo_stream.run.observer import NullObserver, Observer
from echo_stream.run.recording import (
    DeadLetters,
    InlineExecutor,
    RecordedCheckpoint,
    RecordedSnapshot,
    Recorder,
    Store,
)
from echo_stream.run.report import RunReport, RunStats
from echo_stream.run.retraining import Retraining, Trainer
from echo_stream.run.schedule import Schedule
from echo_stream.samples.changes import in_order
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Batch, SampleStream, Skipped
from echo_stream.sketch.sketch import BLOCK_SIZE

BATCH_SAMPLES = 4_096  # samples asked of the source at a time
SLOW_SAMPLES = BLOCK_SIZE  # asked at first, and while BATCH_SAMPLES would take longer than
_SLOW_SECONDS = 2.0  # this: what is due, and a stop, waits for the end of a batch
_LOOK_SECONDS = 0.1  # how often a wait for the disk checks whether there is time left
_OPTIONAL_SHARE = 0.6  # of the shutdown's budget: then the last snapshot is given up


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run needs of the process around it.

    Attributes
    ----------
    clock : callable
        Returns seconds that only grow.
    executor : Executor
        Writes checkpoints and snapshots; an `InlineExecutor` lets counting wait for them.
    observer : Observer
    stats : RunStats
        Receives how long the parts of the work take.
    """

    clock: Callable[[], float]
    executor: Executor = field(default_factory=InlineExecutor)
    observer: Observer = field(default_factory=NullObserver)
    stats: RunStats = field(default_factory=RunStats)


class _StoppedTrainingError(Exception):
    """A stop was asked for while the generation was being trained."""


class Run:
    """One run of the consumer over a source.

    Checkpoints and snapshots are written by a `Recorder`, of copies of the state. One that
    is due at a time while another is being written waits for the end of a later batch.
    What is due at a number of samples is of that very number in every run: counting waits
    for the one before.

    Parameters
    ----------
    source, engine, store, dead_letters
        The engine has counted exactly what lies before the source's offsets.
    config : RunConfig
    environment : Environment
    retraining : Retraining, optional
        Needed when retrain_every is set.
    skipped : Skipped
        What was skipped before the source's offsets.
    """

    def __init__(
        self,
        source: SampleStream,
        engine: EchoCoreset,
        store: Store,
        dead_letters: DeadLetters,
        config: RunConfig,
        environment: Environment,
        *,
        retraining: Retraining | None = None,
        skipped: Skipped = Skipped(),  # noqa: B008 - immutable
    ) -> None:
        self.report = RunReport.of(engine, skipped)
        self._source, self._engine, self._config = source, engine, config
        self._clock, self._observer = environment.clock, environment.observer
        self._stats = environment.stats
        self._recorder = Recorder(
            source,
            store,
            dead_letters,
            executor=environment.executor,
            clock=self._clock,
            stats=self._stats,
        )
        retraining = retraining or Retraining()
        self._trainer, self._examiner = retraining.trainer, retraining.examiner
        self._retrain_trigger = retraining.trigger
        self._to_train: str | None = None  # a snapshot whose training has not begun
        self._most_samples = SLOW_SAMPLES
        self._stop_asked = False
        self._stop_time = 0.0
        self._snapshot_asked = False
        n, now = engine.num_arrived, self._clock()
        self._checkpoint_schedule = Schedule(config.checkpoint_every, n=n, now=now)
        self._snapshot_schedule = Schedule(config.snapshot_every, n=n, now=now)
        self._retrain_schedule = Schedule(config.retrain_every, n=n, now=now)
        self._breaker = Breaker(config.max_bad_share, config.bad_window)

    def stop(self) -> None:
        """Ask the run to end after the current batch. Safe in a signal handler."""
        self._stop_time = self._clock()
        self._stop_asked = True

    def ask_snapshot(self) -> None:
        """Ask for a snapshot after the current batch. Safe in a signal handler."""
        self._snapshot_asked = True

    @property
    def is_snapshot_asked(self) -> bool:
        """Whether a snapshot was asked for, and has not begun."""
        return self._snapshot_asked

    def run(self) -> RunReport:
        """Consume until the source ends, enough has been counted, or a stop is asked for.

        Ends with a checkpoint and a snapshot. When the source fails, or too many of its
        messages are invalid, a checkpoint is written before the error goes on.
        """
        is_whole = False
        try:
            self._consume()
            is_whole = True
        finally:
            if not is_whole:
                self.report.end_reason = "error"
                # Wait, while there is time, for what is being written.
                while self._recorder.is_running and self._has_time():
                    self._recorder.wait(_LOOK_SECONDS)
            if self._trainer is not None:
                self._finish_training(lambda: is_whole and not self._stop_asked)
        return self.report

    def _consume(self) -> None:
        """Run the loop, and write the last checkpoint and snapshot."""
        try:
            self._loop()
            self._observer.phase("stopping")
        except (BadMessagesError, OffsetsError, SourceError):
            self._record_last(wants_snapshot=False)
            raise
        except _StoppedTrainingError:
            # Nothing is lost: all that was held back for it is in the checkpoint.
            self.report.training_abandoned = True
        self.report.end_reason = self._reason()
        self._record_last(wants_snapshot=self._config.last_snapshot and self._can_end_with_one())

    def _can_end_with_one(self) -> bool:
        """Return whether there is something to take a last snapshot of.

        A warm-up that goes on will do, for a provisional one, unless its training has just
        been stopped.
        """
        was_stopped = self._engine.is_warming_up and self.report.training_abandoned
        return self._engine.n_seen_ > 0 and not was_stopped

    def _reason(self) -> str:
        """Return why the loop has ended."""
        if self._stop_asked:
            return "stopped"
        return "end of stream" if self._source.is_exhausted else "max samples"

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
            self.report.scales = self._engine.scales

    def _epoch(self, done: int, total: int) -> None:
        """Pass on an epoch of training, unless a stop has been asked for."""
        if self._stop_asked:
            raise _StoppedTrainingError
        self._observer.phase("training")
        self._observer.epoch(done, total)

    def _is_over(self) -> bool:
        """Return whether there is nothing left to do."""
        return self._stop_asked or self._source.is_exhausted or self._samples_left() == 0

    def _take_batch(self) -> None:
        """Count the next samples; no more than until something is due."""
        schedules = (self._checkpoint_schedule, self._snapshot_schedule, self._retrain_schedule)
        limits = [schedule.samples_left(self.report.num_arrived) for schedule in schedules]
        if self._engine.is_warming_up:
            limits.append(self._engine.warmup_missing)
        limit = int(min(self._most_samples, self._samples_left(), *limits))
        found, began = self._source.next_batch(limit), self._clock()
        failures = [] if found.samples is None else self._engine.failures(found.samples)
        batch = split_off_failures(found, failures)
        if batch.rejected:
            self._recorder.reject(batch.rejected)
        self._apply(batch)
        took = self._stats.update_seconds = self._clock() - began
        is_slow = took * BATCH_SAMPLES > _SLOW_SECONDS * max(batch.num_samples, 1)
        self._most_samples = SLOW_SAMPLES if is_slow else BATCH_SAMPLES
        self._observer.batch(self.report, batch)
        num_messages = batch.num_messages
        if num_messages is None:
            num_messages = batch.num_samples + len(batch.rejected)
        self._breaker.update(num_messages, batch.rejected)

    def _apply(self, batch: Batch) -> None:
        """Count samples, and do what changes between them ask for, in the order of the stream."""
        try:
            for part in in_order(batch.samples, batch.changes):
                if isinstance(part, Samples):
                    if self._examiner is not None and self._examiner.examine(self._engine, part):
                        self._retrain_trigger.ask(self._clock())
                    self._engine.update(part, on_epoch=self._epoch)
                else:
                    self._engine.change(part)
        finally:  # of a training that was stopped, all is held back
            self.report.note(self._engine, batch)

    def _do_what_is_due(self) -> None:
        """Checkpoint, take a snapshot, start a training: each if its time has come."""
        self._collect()
        n, now = self.report.num_arrived, self._clock()
        wants_snapshot = self._snapshot_asked or self._snapshot_schedule.is_due(n, now)
        wants_training = self._retrain_schedule.is_due(n, now) or self._retrain_trigger.is_due(now)
        # What is due before there is something to choose from, or to train on, waits for its
        # next turn.
        if not self._engine.can_snapshot:
            wants_snapshot = self._snapshot_asked and self._engine.n_seen_ > 0
            self._snapshot_schedule.done(n, now)
        if self._engine.is_warming_up:
            wants_training = False
            self._retrain_schedule.done(n, now)
        wants_snapshot |= wants_training
        if wants_snapshot or self._checkpoint_schedule.is_due(n, now):
            self._record(wants_snapshot=wants_snapshot, wants_training=wants_training)
        if self._trainer is not None:
            self._trainer.poll()
            self._retrain(self._trainer)

    def _record(self, *, wants_snapshot: bool, wants_training: bool) -> None:
        """Begin a checkpoint and what follows it, unless one before is still being written."""
        n = self.report.num_arrived
        if any(
            schedule.is_reached(n) for schedule in (self._snapshot_schedule, self._retrain_schedule)
        ):
            self._await(self._is_recording, may_go_on=lambda: not self._stop_asked)
        elif self._checkpoint_schedule.is_reached(n):
            self._await(
                lambda: self._recorder.is_checkpointing, may_go_on=lambda: not self._stop_asked
            )
        if self._recorder.is_checkpointing:
            return
        if self._recorder.is_selecting:
            if not self._checkpoint_schedule.is_due(n, self._clock()):
                return
            wants_snapshot = wants_training = False
        self._begin(wants_snapshot=wants_snapshot, wants_training=wants_training)

    def _begin(self, *, wants_snapshot: bool, wants_training: bool) -> None:
        """Begin a checkpoint, and the next interval of all that it brings."""
        n, skipped = self.report.num_arrived, self.report.skipped
        self._recorder.begin(
            self._engine, skipped, wants_snapshot=wants_snapshot, wants_training=wants_training
        )
        now = self._clock()
        self._checkpoint_schedule.done(n, now)
        if wants_snapshot:
            self._snapshot_asked = False
            self._snapshot_schedule.done(n, now)
        if wants_training:
            self._retrain_schedule.done(n, now)
            self._retrain_trigger.answered()
        self._collect()

    def _record_last(self, *, wants_snapshot: bool) -> None:
        """Write the last checkpoint, and the last snapshot if there is time for one."""
        self._await(lambda: self._recorder.is_checkpointing)
        self._begin(wants_snapshot=wants_snapshot, wants_training=False)
        self._await(lambda: self._recorder.is_checkpointing)
        if wants_snapshot:
            self._await(self._is_recording, may_go_on=self._has_time)
            self.report.snapshot_abandoned = self._recorder.is_selecting

    def _await(
        self, is_so: Callable[[], bool], *, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Wait while something is so, and take in what becomes durable meanwhile."""
        while is_so() and may_go_on():
            self._recorder.wait(_LOOK_SECONDS)
            self._collect()

    def _is_recording(self) -> bool:
        """Return whether something is being written."""
        return self._recorder.is_checkpointing or self._recorder.is_selecting

    def _has_time(self) -> bool:
        """Return whether there is time for what a shutdown can do without."""
        budget = self._config.shutdown_budget
        if budget is None or not self._stop_asked:
            return True
        return self._clock() < self._stop_time + _OPTIONAL_SHARE * budget

    def _collect(self) -> None:
        """Take in what has become durable."""
        for recorded in self._recorder.collect():
            if isinstance(recorded, RecordedCheckpoint):
                self.report.checkpoints += 1
                self._observer.checkpoint(*recorded)
                continue
            snapshot_id = recorded.snapshot.id
            if snapshot_id not in self.report.snapshots[-1:]:
                self.report.snapshots.append(snapshot_id)
            self.report.snapshot_provisional = recorded.snapshot.manifest["provisional"]
            self._consider_training(recorded)
            self._observer.snapshot(recorded.snapshot)

    def _consider_training(self, recorded: RecordedSnapshot) -> None:
        """Let a snapshot be trained on if that was asked for, or ask for it if it is due."""
        if recorded.snapshot.manifest["provisional"]:
            return
        ids = frozenset(map(str, recorded.snapshot.rows.samples.ids))
        if not recorded.wants_training:
            self._retrain_trigger.look(ids, self._clock())
        if recorded.wants_training or self._retrain_trigger.is_due(self._clock()):
            self._retrain_trigger.took(ids)
            self._to_train = recorded.snapshot.id

    def _retrain(self, trainer: Trainer) -> None:
        """Start the training that is due; while one is under way, the newest snapshot waits."""
        if self._to_train is not None and trainer.start(self._to_train):
            self._to_train = None
            self.report.retrainings += 1

    def _finish_training(self, may_wait: Callable[[], bool]) -> None:
        """Wait for the training under way and the one that is due, or end what there is."""
        assert self._trainer is not None
        self._trainer.finish(may_wait)
        if self._retrain_trigger.is_asked and self.report.snapshots:
            self._to_train = self.report.snapshots[-1]  # nothing will follow that could wait
        if self._to_train is not None and may_wait():
            self._retrain(self._trainer)
            self._trainer.finish(may_wait)

    def _samples_left(self) -> float:
        """Return how many samples this run may still count."""
        if self._config.max_samples is None:
            return float("inf")
        return max(self._config.max_samples - self.report.samples, 0)
