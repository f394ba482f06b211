"""How a run reports its progress, and a source that of its partitions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from echo_stream.coreset.snapshot import Snapshot
    from echo_stream.run.report import RunReport
    from echo_stream.samples.source import Batch

Phase: TypeAlias = Literal[
    "starting", "warming up", "training", "running", "waiting for broker", "stopping", "stopped"
]
"""What a run is doing."""


class Observer(Protocol):
    """Callbacks of a run, called in its own thread, which they must not block."""

    def phase(self, phase: Phase) -> None:
        """Receive the phase that the run has entered."""

    def batch(self, report: "RunReport", batch: "Batch") -> None:
        """Receive a batch that has been counted; the report is the run's own."""

    def epoch(self, done: int, total: int) -> None:
        """Receive an epoch of the encoder's training."""

    def checkpoint(self, offsets: Mapping[str, int], seconds: float, n: int) -> None:
        """Receive a checkpoint that is durable, the seconds that it took, and its N."""

    def snapshot(self, snapshot: "Snapshot") -> None:
        """Receive a snapshot that is durable."""


class NullObserver:
    """An observer that does nothing; a base for those that need only some callbacks."""

    def phase(self, phase: Phase) -> None:
        """Do nothing."""

    def batch(self, report: "RunReport", batch: "Batch") -> None:
        """Do nothing."""

    def epoch(self, done: int, total: int) -> None:
        """Do nothing."""

    def checkpoint(self, offsets: Mapping[str, int], seconds: float, n: int) -> None:
        """Do nothing."""

    def snapshot(self, snapshot: "Snapshot") -> None:
        """Do nothing."""


class PartitionProgress(NamedTuple):
    """How far a source has read one partition.

    Attributes
    ----------
    end : int or None
        Offset after the last message that the broker is known to have.
    timestamp_ms : int or None
        Of the newest message handed out, milliseconds since 1970.
    records, size_bytes : int
        Messages handed out by this run, and the bytes of their keys and values.
    """

    end: int | None
    timestamp_ms: int | None
    records: int
    size_bytes: int


@runtime_checkable
class Watchable(Protocol):
    """A source that can tell how far it has read."""

    def progress(self) -> Mapping[str, PartitionProgress]:
        """Return the progress of each partition, by the names that offsets have. O(partitions)."""
