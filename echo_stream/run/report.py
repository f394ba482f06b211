"""What a run of the consumer has done so far."""

from dataclasses import dataclass, field
from typing import Self, get_args

from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.samples.scales import ScaleProblem
from echo_stream.samples.source import Batch, RejectReason, Skipped

CHANGE_COUNTS = (
    "num_labelled", "num_label_missed", "num_forgotten", "num_forget_missed", "num_replaced"
)  # fmt: skip


@dataclass(slots=True)
class RunReport:
    """What a run has done.

    Attributes
    ----------
    n : int
        Samples counted since the stream began.
    samples, rejected : int
        Counted, and messages refused, by this run.
    gaps, replayed : int
        Offsets without a message, and messages dropped since they came again, since the
        stream began.
    tombstones : int
        Messages without a value that were ignored, since the stream began.
    num_arrived : int
        Samples that have come since the stream began: N, and those taken out
        again or held out.
    num_labelled, num_label_missed, num_forgotten, num_forget_missed, num_replaced : int
        Late labels, samples and ids since the stream began, as in a snapshot's manifest.
    num_held_out : int
        Samples kept apart to test models on, since the stream began; no part of N.
    checkpoints, retrainings : int
    snapshots : list of str
        Ids, in order.
    training_abandoned : bool
        Whether a stop came while the generation was being trained; the next run trains it.
    snapshot_abandoned : bool
        Whether a stop left no time for the last snapshot.
    snapshot_provisional : bool
        Whether the last snapshot is of a warm-up that goes on.
    scales : ScaleProblem or None
        Features of very different scales, if a generation was trained on such.
    end_reason : str or None
        Why the run has ended: `end of stream`, `max samples`, `stopped` or `error`.
    """

    n: int = 0
    samples: int = 0
    rejected: int = 0
    gaps: int = 0
    replayed: int = 0
    tombstones: int = 0
    num_arrived: int = 0
    num_labelled: int = 0
    num_label_missed: int = 0
    num_forgotten: int = 0
    num_forget_missed: int = 0
    num_replaced: int = 0
    num_held_out: int = 0
    checkpoints: int = 0
    retrainings: int = 0
    snapshots: list[str] = field(default_factory=list)
    training_abandoned: bool = False
    snapshot_abandoned: bool = False
    snapshot_provisional: bool = False
    scales: ScaleProblem | None = None
    end_reason: str | None = None

    @classmethod
    def of(cls, engine: EchoCoreset, skipped: Skipped) -> Self:
        """Return the report of a run that goes on with an engine."""
        report = cls(**skipped._asdict())
        report._note_counts(engine)
        return report

    @property
    def change_counts(self) -> dict[str, int]:
        """Late labels, samples and ids, by name."""
        return {name: getattr(self, name) for name in CHANGE_COUNTS}

    @property
    def skipped(self) -> Skipped:
        """What has been skipped since the stream began."""
        return Skipped(self.gaps, self.replayed, self.tombstones)

    def note(self, engine: EchoCoreset, batch: Batch) -> None:
        """Take in a batch that the engine has counted."""
        self.samples += batch.num_samples
        self.rejected += sum(message.num_messages for message in batch.rejected)
        self.gaps += batch.skipped.gaps
        self.replayed += batch.skipped.replayed
        self.tombstones += batch.skipped.tombstones
        self._note_counts(engine)

    def _note_counts(self, engine: EchoCoreset) -> None:
        """Take over what the engine has counted since the stream began."""
        self.n, self.num_arrived = engine.n_seen_, engine.num_arrived
        self.num_held_out = engine.num_held_out
        self.scales = engine.scales
        for name, count in engine.change_counts().items():
            setattr(self, name, count)


@dataclass(slots=True)
class RunStats:
    """Counters of the threads of a run. Each field is written by one thread; any may read.

    Attributes
    ----------
    queue_records, queue_bytes : int
        Records polled that wait to be counted, and their size.
    queue_peak_records, queue_peak_bytes : int
        The most that have waited at once.
    paused_partitions : int
        Partitions that are not fetched from, since the queue is full.
    polls : int
        Calls of the client's poll that have returned.
    last_poll, last_answer : float
        Seconds of the monotonic clock: the end of the last poll, and the last sign of a broker.
    poll_interval : float
        Seconds between the ends of the last two polls.
    rebalances : dict of str to int
        How often a consumer group has `assigned` partitions to this process, `revoked` some,
        or taken some as `lost`.
    ends : mapping of str to int
        Next offset of each "topic/partition" in its log, as far as the broker has reported it.
    update_seconds : float
        What embedding and counting the last batch took; waiting for its messages is not included.
    checkpoint_seconds, checkpoint_bytes : float, int
        What the last checkpoint took to write beside the run, and its size.
    checkpoint_stall_seconds, max_checkpoint_stall_seconds : float
        What the last checkpoint has held the run up for, and the most that one has.
    checkpoint_failures : int
    dead_letters : dict of str to int
        Invalid messages that are durable as dead letters, by reason.
    dead_letters_truncated : int
        Of which only a part is kept, since they are larger than that.
    dead_letters_removed : int
        The oldest ones, that this process has removed to keep to their limit.
    """

    queue_records: int = 0
    queue_bytes: int = 0
    queue_peak_records: int = 0
    queue_peak_bytes: int = 0
    paused_partitions: int = 0
    polls: int = 0
    last_poll: float = 0.0
    last_answer: float = 0.0
    poll_interval: float = 0.0
    rebalances: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("assigned", "revoked", "lost"), 0)
    )
    ends: dict[str, int] = field(default_factory=dict)
    update_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    checkpoint_bytes: int = 0
    checkpoint_stall_seconds: float = 0.0
    max_checkpoint_stall_seconds: float = 0.0
    checkpoint_failures: int = 0
    dead_letters: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(get_args(RejectReason), 0)
    )
    dead_letters_truncated: int = 0
    dead_letters_removed: int = 0
