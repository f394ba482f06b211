"""Records between the thread that polls and the one that counts: a bounded queue."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from kafka import TopicPartition

from echo_stream.run_stats import RunStats

Chunk = tuple[TopicPartition, Sequence[Any]]
"""Records of one partition, in the order of their offsets."""

RECORD_BYTES = 512  # what the client's object of a record takes beside its content
_KEY_SIZE, _VALUE_SIZE = attrgetter("serialized_key_size"), attrgetter("serialized_value_size")
_HEADERS = attrgetter("headers")


class RecordQueue:
    """Chunks of records, first in, first out; one thread puts, another one takes.

    Nothing that was polled is refused: whoever puts asks `is_full` before it polls, so the
    queue outgrows its bounds by one poll at most.

    Parameters
    ----------
    max_records, max_bytes : int
    stats : RunStats
        Told what waits.
    """

    def __init__(self, max_records: int, max_bytes: int, stats: RunStats) -> None:
        self._max_records, self._max_bytes = max_records, max_bytes
        self._stats = stats
        self._chunks: deque[tuple[Chunk, int]] = deque()  # with their sizes
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

    def put(self, polled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Append what a poll has brought, in the order of partitions. O(records)."""
        # The client's order of partitions is arbitrary.
        chunks = [
            ((partition, polled[partition]), size_of(polled[partition]))
            for partition in sorted(polled)
        ]
        with self._changed:
            self._chunks += chunks
            self._count(sum(map(len, polled.values())), sum(size for _, size in chunks))
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        """Raise an error from `take`, once all that was put before has been taken."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def take(self, max_records: int, timeout_s: float) -> list[Chunk]:
        """Wait for records, and return at most max_records; none if none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._error, timeout_s)
            taken: list[Chunk] = []
            while self._chunks and max_records:
                (partition, records), size = self._chunks.popleft()
                if len(records) > max_records:
                    rest, records = records[max_records:], records[:max_records]
                    whole, size = size, size_of(records)
                    self._chunks.appendleft(((partition, rest), whole - size))
                taken.append((partition, records))
                self._count(-len(records), -size)
                max_records -= len(records)
            if self._error is not None and not taken:
                raise self._error
            return taken

    def clear(self) -> None:
        """Drop everything, an error too."""
        with self._changed:
            self._chunks.clear()
            self._error = None
            self._count(-self._records, -self._bytes)

    def _count(self, records: int, size: int) -> None:
        """Note what has come or gone."""
        stats = self._stats
        self._records += records
        self._bytes += size
        stats.queue_records, stats.queue_bytes = self._records, self._bytes
        stats.queue_peak_records = max(stats.queue_peak_records, self._records)
        stats.queue_peak_bytes = max(stats.queue_peak_bytes, self._bytes)


def size_of(records: Sequence[Any]) -> int:
    """Return the bytes that records take: key, value, headers and the objects around them."""
    headers = 0
    if any(map(_HEADERS, records)):
        headers = sum(len(name) + len(value or b"") for r in records for name, value in r.headers)
    return content_bytes(records) + headers + RECORD_BYTES * len(records)


def content_bytes(records: Sequence[Any]) -> int:
    """Return the bytes of the keys and values of records."""
    # Without a step of Python for each: other threads wait for those. An absent one counts -1.
    sizes: list[int] = [*map(_KEY_SIZE, records), *map(_VALUE_SIZE, records)]
    return sum(sizes) + sizes.count(-1)
