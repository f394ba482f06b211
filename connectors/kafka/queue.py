"""Records that were polled and not yet counted, in a bounded queue, or not yet decoded."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from kafka import TopicPartition

from echo_stream.connectors.kafka._client_patches.unpacking import Chunk, weight
from echo_stream.connectors.kafka.offsets import Offsets
from echo_stream.connectors.kafka.records import Records
from echo_stream.run.report import RunStats

Polled = Mapping[TopicPartition, Sequence[Chunk]]
"""What a poll has brought of each partition, in the order of offsets."""


class RecordQueue:
    """Chunks of records, first in, first out; one thread puts, another one takes.

    Nothing that was polled is refused: the producer checks `is_full` before it polls, so the
    queue exceeds its bounds by one poll at most. The consumer unpacks batches.

    Parameters
    ----------
    max_records, max_bytes : int
    stats : RunStats
        Receives the size of the queue.
    """

    def __init__(self, max_records: int, max_bytes: int, stats: RunStats) -> None:
        self._max_records, self._max_bytes = max_records, max_bytes
        self._stats = stats
        self._chunks: deque[tuple[TopicPartition, Chunk, int]] = deque()  # with their sizes
        self._records = self._bytes = 0
        self._error: Exception | None = None
        self._changed = threading.Condition()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._records

    @property
    def is_full(self) -> bool:
        """Whether a bound is reached."""
        return self._records >= self._max_records or self._bytes >= self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether less than half of each bound is taken."""
        return 2 * self._records < self._max_records and 2 * self._bytes < self._max_bytes

    @property
    def free_records(self) -> int:
        """Records that may be put until the queue is full of them."""
        return max(self._max_records - self._records, 0)

    def put(self, polled: Polled) -> None:
        """Append what a poll has brought, in the order of partitions. O(chunks)."""
        # The client's order of partitions is arbitrary.
        chunks = [
            (partition, chunk, chunk.num_bytes)
            for partition in sorted(polled)
            for chunk in polled[partition]
        ]
        with self._changed:
            self._chunks += chunks
            records = sum(len(chunk) for _, chunk, _ in chunks)
            self._count(records, sum(size for *_, size in chunks))
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Raise an error from `take`, once all that was put before has been taken."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def take(self, max_records: int, timeout_s: float) -> list[tuple[TopicPartition, Records]]:
        """Wait for records, and return at most max_records, or one chunk; none if none came.

        Large ones count for more, see `weight`. O(records). Only one thread may take, or clear.

        Raises
        ------
        Exception
            What `fail` was given, once all before it has been taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._error, timeout_s)
            error = self._error  # first: all that was put before it is there to be taken
        taken: list[tuple[TopicPartition, Records]] = []
        while self._chunks and max_records > 0:
            partition, chunk, size = self._chunks[0]
            if taken and weight(chunk) > max_records:
                break
            max_records -= weight(chunk)
            records = chunk.unpacked()  # not under the lock, for which others would wait
            with self._changed:
                self._chunks.popleft()
                self._count(-len(chunk), -size)
            taken.append((partition, records))
        if error is not None and not taken:
            raise error
        return taken

    def clear(self) -> None:
        """Drop everything, errors included."""
        with self._changed:
            self._chunks.clear()
            self._error = None
            self._count(-self._records, -self._bytes)

    def _count(self, records: int, size: int) -> None:
        """Update the counts of records and bytes."""
        stats = self._stats
        self._records += records
        self._bytes += size
        stats.queue_records, stats.queue_bytes = self._records, self._bytes
        stats.queue_peak_records = max(stats.queue_peak_records, self._records)
        stats.queue_peak_bytes = max(stats.queue_peak_bytes, self._bytes)


class WaitingRecords:
    """Records of several partitions, in order, without those that came before.

    Parameters
    ----------
    offsets : Offsets
        Moved past each record that is taken.
    """

    def __init__(self, offsets: Offsets) -> None:
        self._offsets = offsets
        self._chunks: deque[tuple[TopicPartition, Records]] = deque()
        self._at = 0  # of the first chunk's records so many have been taken

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._chunks)

    def extend(self, chunks: Iterable[tuple[TopicPartition, Records]]) -> None:
        """Append records that have been polled. O(records)."""
        for partition, records in chunks:
            places = self._offsets.fresh(partition, records.offsets)
            if places:
                is_all = len(places) == len(records)
                self._chunks.append((partition, records if is_all else records.picked(places)))

    def next(self, max_records: int) -> Records:
        """Return the next records, of one partition and at most so many, without removing them."""
        if not self._chunks:
            return Records()
        records = self._chunks[0][1]
        if not self._at and len(records) <= max_records:
            return records
        return records[self._at : self._at + max_records]

    def take(self, number: int) -> None:
        """Move past so many of those that `next` has returned, one at least. O(1)."""
        partition, records = self._chunks[0]
        self._at += number
        last, lost = records.origins[self._at - 1].offset, records.lost
        self._offsets.move_past(partition, last, number if lost is None else lost.number)
        if self._at == len(records):
            self._chunks.popleft()
            self._at = 0
