"""What a member of a group has done in all of its runs."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from echo_stream.connectors.group.merge import total_skipped
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.run.observer import Phase
from echo_stream.run.report import RunReport
from echo_stream.run.retraining import Trainer
from echo_stream.run.runtime import Run
from echo_stream.samples.source import Batch

_COUNTS = [each.name for each in fields(RunReport) if type(each.default) is int]


class Totals:
    """The observer of each run of a member, and the sum of their reports.

    Parameters
    ----------
    monitor : RunMonitor
        Receives all runs as one.
    """

    def __init__(self, monitor: RunMonitor) -> None:
        self._monitor = monitor
        self._before = RunReport()

    @property
    def samples(self) -> int:
        """Samples of this process that are durable."""
        return self._before.samples

    def add(self, run: Run | None, num_published: int) -> None:
        """Add a run that has ended: of its samples those that it has published."""
        if run is not None:
            self._before = self._sum(replace(run.report, samples=num_published))

    def report(self, state: GroupState, reason: str) -> RunReport:
        """Return what this process has done; n and what was skipped are the whole group's."""
        segments = state.current()
        skipped = total_skipped(segments)._asdict()
        n = sum(segment.n for segment in segments)
        return replace(self._before, n=n, **skipped, end_reason=reason)

    def phase(self, phase: Phase) -> None:
        """Pass on what the run does."""
        self._monitor.phase(phase)

    def batch(self, report: RunReport, batch: Batch) -> None:
        """Pass on a batch, with the report of all runs."""
        self._monitor.batch(self._sum(report), batch)

    def epoch(self, done: int, total: int) -> None:
        """Pass on an epoch of the encoder's training."""
        self._monitor.epoch(done, total)

    def checkpoint(self, offsets: Mapping[str, int], seconds: float, n: int) -> None:
        """Pass on a checkpoint, with the samples of all runs."""
        self._monitor.checkpoint(offsets, seconds, self._before.n + n)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Pass on a snapshot."""
        self._monitor.snapshot(snapshot)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Add a snapshot that was taken between two runs, or after the last."""
        self.snapshot(snapshot)
        if snapshot.id not in self._before.snapshots[-1:]:
            self._before.snapshots.append(snapshot.id)

    def _sum(self, report: RunReport) -> RunReport:
        """Return a run's report with those before it."""
        before = self._before
        counts = {name: getattr(before, name) + getattr(report, name) for name in _COUNTS}
        return replace(report, **counts, snapshots=[*before.snapshots, *report.snapshots])


class SharedTrainer:
    """A trainer that all runs of a member share: trainings outlast the run that began them.

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def start(self, snapshot_id: str) -> bool:
        """Begin to train on a snapshot; False if a training is still under way."""
        return self._trainer.start(snapshot_id)

    def poll(self) -> None:
        """Report a training that has ended."""
        self._trainer.poll()

    def finish(self, may_wait: Callable[[], bool]) -> None:
        """Do nothing: the member waits for it when it leaves."""
