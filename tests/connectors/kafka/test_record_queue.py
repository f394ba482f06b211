"""The queue between the thread that polls and the one that counts."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.record.default_records import DefaultRecordBatch

from echo_stream.connectors.codecs import Headers
from echo_stream.connectors.kafka._client_patches.unpacking import PackedBatch
from echo_stream.connectors.kafka.queue import RecordQueue
from echo_stream.connectors.kafka.records import RECORD_BYTES, Records
from echo_stream.errors import SourceError
from echo_stream.run.report import RunStats
from tests.support.kafka.fetches import BOUND, batch, plain, rewritten
from tests.support.kafka.records import Record

PARTITIONS = [TopicPartition("t", number) for number in range(3)]


def chunk(
    *values: bytes | None, key: bytes | None = None, headers: Headers = (), times: int = 1
) -> Records:
    """Return records of some values."""
    return Records.of(Record(key, value, headers, 0) for value in values * times)


def packed(first: int, number: int, *, is_corrupt: bool = False) -> PackedBatch:
    """Return records that wait to be unpacked; they cannot be if a size is wrong."""
    content = bytearray(batch(plain(first, number)))
    if is_corrupt:
        content[61] += 2  # of the first record's size
    built = DefaultRecordBatch(rewritten(bytes(content), base=first))
    return PackedBatch(built, PARTITIONS[0], BOUND)


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
            partition: [chunk(*(b"%d-%d" % (number, row) for row in range(size)))]
            for partition, size in reversed(list(zip(PARTITIONS, sizes, strict=True)))
            if size
        }
        queue.put(polled)
        expected += [(p, record) for p in PARTITIONS if p in polled for record in polled[p][0]]
    assert stats.queue_records == len(expected) == stats.queue_peak_records
    taken = []
    while not queue.is_empty:
        chunks = queue.take(step, 0)
        number = sum(len(records) for _, records in chunks)
        assert 0 < number <= step or len(chunks) == 1
        taken += [(p, record) for p, records in chunks for record in records]
    assert taken == expected
    assert (stats.queue_records, stats.queue_bytes) == (0, 0)


@pytest.mark.parametrize(("max_records", "max_bytes"), [(4, 10**6), (100, 4 * RECORD_BYTES)])
def test_full_at_a_bound_and_room_below_half_of_it(max_records: int, max_bytes: int) -> None:
    """In records or in bytes, keys and headers included."""
    queue, stats = queue_of(max_records, max_bytes)
    queue.put({PARTITIONS[0]: [chunk(None), chunk(b"", key=b"")]})
    assert (queue.is_full, queue.has_room) == (False, False)
    headers: Headers = [("name", b"x"), ("none", None)]
    queue.put({PARTITIONS[1]: [chunk(b"value", key=b"key", headers=headers)] * 2})
    assert queue.is_full
    assert stats.queue_bytes == 4 * RECORD_BYTES + 2 * (5 + 3 + 5 + 4)
    queue.take(2, 0)
    assert (queue.is_full, queue.has_room) == (False, False)
    queue.take(1, 0)
    assert queue.has_room
    assert stats.queue_peak_records == 4


def test_batches_count_before_they_are_unpacked() -> None:
    """Their records, and the bytes that they are sent in."""
    queue, stats = queue_of()
    queue.put({PARTITIONS[0]: [packed(0, 3), packed(3, 2)]})
    assert (stats.queue_records, stats.queue_bytes > 5) == (5, True)
    ((partition, records),) = queue.take(4, 0)
    assert (partition, records.offsets) == (PARTITIONS[0], [0, 1, 2])
    assert records.values == [b"\0", b"\1\1", b"\2\2\2"]
    ((_, records),) = queue.take(1, 0)
    assert records.offsets == [3, 4], "a chunk is never split"
    assert (stats.queue_records, stats.queue_bytes) == (0, 0)


def test_what_cannot_be_unpacked_is_one_record_among_the_others() -> None:
    """At the last offset of its batch, and nothing is left in the counters."""
    queue, stats = queue_of()
    queue.put({PARTITIONS[0]: [packed(0, 3), packed(3, 2, is_corrupt=True), packed(5, 2)]})
    found = [records for _, records in queue.take(10, 0)]
    assert [records.offsets for records in found] == [[0, 1, 2], [4], [5, 6]]
    assert found[1].lost is not None
    assert (found[1].lost.first, found[1].lost.number) == (3, 2)
    assert (stats.queue_records, stats.queue_bytes) == (0, 0)


def test_error_comes_after_what_was_put_before_it() -> None:
    """And again and again, until the queue is cleared."""
    queue, _ = queue_of()
    queue.put({PARTITIONS[0]: [chunk(b"1")]})
    queue.fail(SourceError("gone"))
    assert queue.take(5, 0) == [(PARTITIONS[0], chunk(b"1"))]
    for _ in range(2):
        with pytest.raises(SourceError, match="gone"):
            queue.take(5, 0)
    queue.clear()
    assert queue.take(5, 0) == []


def test_taking_waits_for_another_thread() -> None:
    """What it puts ends the wait."""
    queue, _ = queue_of()
    thread = threading.Timer(0.05, lambda: queue.put({PARTITIONS[2]: [chunk(b"1")]}))
    thread.start()
    assert queue.take(5, 60) == [(PARTITIONS[2], chunk(b"1"))]
    thread.join()
