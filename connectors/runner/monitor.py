"""The progress of a run, for status files, metrics, health checks and the terminal."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from prometheus_client import Histogram

from echo_stream.connectors.files.inputs import InputReport
from echo_stream.connectors.process.clock import now_s, timestamp
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.run.observer import PartitionProgress, Phase, Watchable
from echo_stream.run.report import RunReport, RunStats
from echo_stream.samples.source import Batch, RejectReason, SampleStream

logger = logging.getLogger(__name__)

_SAMPLE_S = 0.25  # how often the source is asked how far it is
_RATE_WINDOW_S = 10.0  # the rate is of so many last seconds
PHASES: tuple[Phase, ...] = get_args(Phase)
BROKER_LIMIT_S = 10.0  # a broker that is silent is asked every two seconds
_BATCH_BUCKETS = (1, 4, 16, 64, 256, 1_024, 4_096)
_DURATION_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the source was read at one time.

    Attributes
    ----------
    offsets : mapping of str to int
        Next offset of each partition.
    partitions : mapping of str to PartitionProgress
        Empty where the source cannot tell.
    """

    offsets: Mapping[str, int] = field(default_factory=dict)
    partitions: Mapping[str, PartitionProgress] = field(default_factory=dict)

    def lag_records(self) -> dict[str, int]:
        """Return the messages of each partition that are not counted yet."""
        return {
            name: max(each.end - self.offsets[name], 0)
            for name, each in self.partitions.items()
            if each.end is not None
        }

    def lag_seconds(self, now_s: float) -> dict[str, float]:
        """Return the age of the newest counted message where there are others; else 0.

        A partition of which this run has read nothing yet has none.
        """
        found = {}
        for name, behind in self.lag_records().items():
            newest_ms = self.partitions[name].timestamp_ms
            if not behind:
                found[name] = 0.0
            elif newest_ms is not None:
                found[name] = max(now_s - newest_ms / 1_000, 0.0)
        return found


class RunMonitor:
    """The observer of a run: keeps its progress, and may be read from any thread.

    Attributes
    ----------
    why : str or None
        Why the run has ended; None before.
    report : RunReport
        The run's own.
    stats : RunStats
        Of the run's threads, which write into it.
    http : HttpStats
        Of the server beside the run, if there is one.
    reading : Reading
        The newest one, replaced as a whole.
    rejected : dict of str to int
        Invalid messages of this run, by reason; all reasons are there.
    snapshot_manifest : mapping
        Of the newest snapshot; empty before there is one.
    checkpoint_offsets : mapping
    checkpoint_time_s : float or None
        When the newest checkpoint became durable, seconds since 1970.
    checkpoint_seconds, batch_seconds : Histogram
        How long checkpoints took, and batches, waiting for messages included.
    update_seconds, update_samples : Histogram
        How long embedding and counting a batch took, and its samples, where it had any.
    restore_seconds : float or None
        What reading the state has taken.
    epochs : tuple of (int, int)
        Epochs of the encoder's training: done, and in all.
    trainings : dict of str to int
        Models trained in this run, by outcome.
    member : tuple of (str, str) or None
        Group and name of this process, where it is in one.
    input_report : InputReport
        Reports what is taken of the data, and what looks wrong; by default to the log.
    prequential : callable
        Returns the scores of the current model over time; None where there are none.
    """

    def __init__(self) -> None:
        self.started = timestamp()
        self._phase: Phase = "starting"
        self.why: str | None = None
        self.report = RunReport()
        self.stats = RunStats()
        self.http = HttpStats()
        self.reading = Reading()
        self.rejected = dict.fromkeys(get_args(RejectReason), 0)
        self.snapshot_manifest: Mapping[str, Any] = {}
        self.checkpoint_offsets: Mapping[str, int] = {}
        self.checkpoint_time_s: float | None = None
        self.checkpoint_seconds = _durations("checkpoint_duration", "to write a checkpoint")
        self.batch_seconds = _durations(
            "batch_duration", "to read and count a batch, waiting for messages included"
        )
        self.update_seconds = _durations("update_duration", "to embed and count a batch")
        self.update_samples = Histogram(
            "echo_stream_update_samples",
            "Samples of a batch.",
            buckets=_BATCH_BUCKETS,
            registry=None,
        )
        self.restore_seconds: float | None = None
        self.epochs = (0, 0)
        self.trainings = {"trained": 0, "failed": 0}
        self.member: tuple[str, str] | None = None
        self.input_report = InputReport(_log)
        self.prequential: Callable[[], dict[str, Any] | None] = lambda: None
        self._source: SampleStream | None = None
        self._source_name = ""
        self._beat_s = self._sampled_s = time.monotonic()
        self._counted: deque[tuple[float, int]] = deque([(self._beat_s, 0)])

    @property
    def current_phase(self) -> Phase:
        """What the run does; a broker that owes answers is waited for, whatever that is."""
        counts = self._phase in {"warming up", "running"}
        return "waiting for broker" if counts and self.is_broker_silent else self._phase

    @property
    def is_broker_silent(self) -> bool:
        """Whether no broker has answered for ten seconds; False where there is none."""
        answered_s = self.stats.last_answer
        return bool(answered_s) and time.monotonic() - answered_s > BROKER_LIMIT_S

    @property
    def source_name(self) -> str:
        """What the run reads; empty before it is opened."""
        return self._source_name

    @property
    def is_training(self) -> bool:
        """Whether a model is being trained beside the stream."""
        return self.report.retrainings > sum(self.trainings.values())

    def watch(self, source: SampleStream) -> None:
        """Watch a source from now on; only ever from the run's own thread."""
        self._source, self._source_name = source, source.name
        self._look()
        self._sample()

    def resumed(
        self,
        report: RunReport,
        offsets: Mapping[str, int],
        snapshot_manifest: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """Take in what the state held at the start, and the seconds that reading it took."""
        self.report, self.restore_seconds = report, seconds
        self.checkpoint_offsets, self.snapshot_manifest = dict(offsets), snapshot_manifest

    def ended(self, why: str) -> None:
        """Note why the run has ended; the first reason is kept."""
        self.why = self.why or why
        self._source = None
        self.phase("stopped")

    def training_ended(self, outcome: str) -> None:
        """Count a model that has been trained, or a training that failed."""
        self.trainings[outcome] += 1

    def beat_age_s(self) -> float:
        """Return the seconds since the last sign of the run."""
        return time.monotonic() - self._beat_s

    def rate(self) -> float:
        """Return samples counted a second, over the last ten seconds."""
        now, counted = time.monotonic(), list(self._counted)
        recent = [one for one in counted if now - one[0] <= _RATE_WINDOW_S] or counted[-1:]
        first_s, first = recent[0]
        return (self.report.samples - first) / max(now - first_s, _SAMPLE_S)

    def phase(self, phase: Phase) -> None:
        """Note the phase that the run has entered."""
        if phase != self._phase:
            logger.info("the run is %s", phase, extra={"phase": phase, "n": self.report.n})
        if phase == "stopping":
            self._look()
            self.input_report.labels()
            self.input_report.scales(self.report.scales)
        self._phase = phase
        self._beat_s = time.monotonic()

    def batch(self, report: RunReport, batch: Batch) -> None:
        """Count a batch; now and then ask the source how far it is."""
        now = time.monotonic()
        self.batch_seconds.observe(now - self._beat_s)
        self.report, self._beat_s = report, now
        for message in batch.rejected:
            self.rejected[message.reason] += message.num_messages
        self.input_report.samples(batch.samples)
        self.input_report.scales(report.scales)
        if batch.samples is not None:
            self.update_seconds.observe(self.stats.update_seconds)
            self.update_samples.observe(batch.num_samples)
        if now - self._sampled_s >= _SAMPLE_S:
            self._look()
            self._sample()

    def epoch(self, done: int, total: int) -> None:
        """Take in an epoch of training."""
        self.epochs, self._beat_s = (done, total), time.monotonic()

    def checkpoint(self, offsets: Mapping[str, int], seconds: float, n: int) -> None:
        """Take in a checkpoint."""
        self.checkpoint_offsets, self.checkpoint_time_s = dict(offsets), now_s()
        self.checkpoint_seconds.observe(seconds)
        fields = {"n": n, "seconds": round(seconds, 3)}
        logger.info("checkpoint is durable", extra=fields)
        self._sample()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Take in a snapshot."""
        self.snapshot_manifest = {**snapshot.manifest, "time": timestamp()}
        names = {
            "snapshot": "id",
            "coreset_size": "num_distinct",
            "certified": "certified_fraction",
            "covered": "coverage_at_least",
        }
        fields = {name: snapshot.manifest[key] for name, key in names.items()}
        logger.info("snapshot is durable", extra=fields)
        self._beat_s = time.monotonic()

    def _look(self) -> None:
        """Look at what the source takes, and leaves out by now."""
        self.input_report.inputs(self._source_name, getattr(self._source, "inputs", None))

    def _sample(self) -> None:
        """Ask the source how far it is."""
        self._sampled_s = time.monotonic()
        self._counted.append((self._sampled_s, self.report.samples))
        while self._sampled_s - self._counted[0][0] > _RATE_WINDOW_S:
            self._counted.popleft()
        if self._source is not None:
            offsets = self._source.offsets()
            partitions = self._source.progress() if isinstance(self._source, Watchable) else {}
            self.reading = Reading(offsets, partitions)


def _log(words: str, is_warning: bool) -> None:
    """Write a line of a first look to the log."""
    logger.log(logging.WARNING if is_warning else logging.INFO, "%s", words)


def _durations(name: str, what: str) -> Histogram:
    """Return a histogram of seconds that no registry knows."""
    return Histogram(
        f"echo_stream_{name}_seconds",
        f"Seconds {what}.",
        buckets=_DURATION_BUCKETS_S,
        registry=None,
    )


DropReason: TypeAlias = Literal[
    "slow_header", "slow_body", "slow_reader", "too_many_connections", "too_many_files"
]
"""Why a connection was closed by us: its client took too long to send or to read, another one
needed its place, or the run needs the descriptor."""


@dataclass(slots=True)
class HttpStats:
    """Counters of a server. Written by its thread; any may read.

    Attributes
    ----------
    limit : int
        Connections that there may be at a time; 0: there is no server.
    connections : int
        Those that there are.
    dropped : dict of str to int
        Connections closed before their client did, by reason.
    failures : int
        How often connections could not be accepted, or the server failed and was restarted.
    """

    limit: int = 0
    connections: int = 0
    dropped: dict[DropReason, int] = field(
        default_factory=lambda: dict.fromkeys(get_args(DropReason), 0)
    )
    failures: int = 0

    def to_json(self) -> Mapping[str, Any] | None:
        """Return what a status says of it; None where there is no server."""
        if not self.limit:
            return None
        return {
            "connections": self.connections,
            "limit": self.limit,
            "dropped": dict(self.dropped),
            "failures": self.failures,
        }
