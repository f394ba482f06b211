"""What a run can be asked about from outside, while it goes on."""

from dataclasses import dataclass, field
from typing import get_args

from echo_stream.samples.source import RejectReason


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
        Next offset of each "topic/partition" in its log, as far as the broker has told.
    update_seconds : float
        What embedding and counting the last batch took; waiting for its messages is no part.
    checkpoint_seconds, checkpoint_bytes : float, int
        What the last checkpoint took to write beside the run, and its size.
    checkpoint_stall_seconds, max_checkpoint_stall_seconds : float
        What the last checkpoint has held the run up for, and the most that one has.
    checkpoint_failures : int
    dead_letters : dict of str to int
        Messages that were no samples and are durable as dead letters, by reason.
    dead_letters_cut : int
        Of which only a part is kept, since they are larger than that.
    dead_letters_gone : int
        The oldest ones, that this process has removed to keep to their limit.
    snapshot_seconds : float
        What the last snapshot took to select and to write.
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
    dead_letters_cut: int = 0
    dead_letters_gone: int = 0
    snapshot_seconds: float = 0.0
