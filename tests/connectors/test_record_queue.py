"""The queue between the thread that polls and the one that counts."""

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from echo_stream.connectors.record_queue import RECORD_BYTES, RecordQueue
from echo_stream.errors import SourceError
from echo_stream.run_stats import RunStats

PARTITIONS = [TopicPartition("t", number) for number in range(3)]


@dataclass(frozen=True)
class Record:
    """What the queue looks at of a record."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def serialized_value_size(self) -> int:
        """Bytes of the value; the client says -1 where there is none."""
        return -1 if self.value is None else len(self.value)

    @property
    def serialized_key_size(self) -> int:
        """Bytes of the key."""
        return -1 if self.key is None else len(self.key)


def queue_of(max_records: int = 10, max_bytes: int = 10**6) -> tuple[RecordQueue, RunStats]:
    """Return an empty queue and what it tells."""
    stats = RunStats()
    return RecordQueue(max_records, max_bytes, stats), stats


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), max_size=8),
    st.integers(1, 7),
)
def test_all_come_out_in_order_however_many_are_taken(polls: list[list[int]], step: int) -> None:
    """First in, first out, by poll and by partition, and nothing is left in the counters."""
    queue, stats = queue_of(max_records=1)
    expected = []
    for number, sizes in enumerate(polls):
        polled = {
            partition: [Record(b"%d-%d" % (number, row)) for row in range(size)]
            for partition, size in reversed(list(zip(PARTITIONS, sizes, strict=True)))
        }
        queue.put(polled)
        expected += [(p, record) for p in PARTITIONS for record in polled[p]]
    assert stats.queue_records == len(expected) == stats.queue_peak_records
    taken = []
    while not queue.is_empty:
        chunks = queue.take(step, 0)
        assert 0 < sum(len(records) for _, records in chunks) <= step
        taken += [(p, record) for p, records in chunks for record in records]
    assert taken == expected
    assert (stats.queue_records, stats.queue_bytes) == (0, 0)


@pytest.mark.parametrize(("max_records", "max_bytes"), [(4, 10**6), (100, 4 * RECORD_BYTES)])
def test_full_at_a_bound_and_room_below_half_of_it(max_records: int, max_bytes: int) -> None:
    """In records or in bytes, keys and headers included."""
    queue, stats = queue_of(max_records, max_bytes)
    queue.put({PARTITIONS[0]: [Record(None), Record(b"", b"")]})
    assert (queue.is_full, queue.has_room) == (False, False)
    queue.put({PARTITIONS[1]: [Record(b"value", b"key", (("name", b"x"), ("none", None)))] * 2})
    assert queue.is_full
    assert stats.queue_bytes == 4 * RECORD_BYTES + 2 * (5 + 3 + 5 + 4)
    queue.take(2, 0)
    assert (queue.is_full, queue.has_room) == (False, False)
    queue.take(1, 0)
    assert queue.has_room
    assert stats.queue_peak_records == 4


def test_error_comes_after_what_was_put_before_it() -> None:
    """And again and again, until the queue is cleared."""
    queue, _ = queue_of()
    queue.put({PARTITIONS[0]: [Record(b"1")]})
    queue.fail(SourceError("gone"))
    assert queue.take(5, 0) == [(PARTITIONS[0], [Record(b"1")])]
    for _ in range(2):
        with pytest.raises(SourceError, match="gone"):
            queue.take(5, 0)
    queue.clear()
    assert queue.take(5, 0) == []


def test_taking_waits_for_another_thread() -> None:
    """What it puts ends the wait."""
    queue, _ = queue_of()
    thread = threading.Timer(0.05, lambda: queue.put({PARTITIONS[2]: [Record(b"1")]}))
    thread.start()
    assert queue.take(5, 60) == [(PARTITIONS[2], [Record(b"1")])]
    thread.join()
