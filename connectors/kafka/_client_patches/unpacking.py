"""Batches out of the bytes of a fetch, to be unpacked by the thread that counts.

kafka-python makes an object and some thirty calls for each record, in the thread that
polls, and the thread that counts waits for the interpreter meanwhile, longer than the work
takes. So the thread that polls checks the sums of batches and hands them on whole, and they
are unpacked into columns where these are needed.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

from echo_stream.connectors.kafka._client_patches.decompression import TooLargeError, decompressed
from echo_stream.connectors.kafka._client_patches.old_format import old_records
from echo_stream.connectors.kafka.records import RECORD_BYTES, Records, lost
from echo_stream.samples.samples import Origin

_MAGIC = 2  # format of batches since Kafka 0.11
HEAVY_BYTES = 16 * 1024  # of a chunk: so many count as a record, of which a poll takes 4,096
_HEADER_BYTES = 128  # what the objects of a header take beside its content

_Header: TypeAlias = tuple[str, bytes | None]


class PackedBatch:
    """A batch of today's format, as the broker has sent it.

    Parameters
    ----------
    batch : DefaultRecordBatch
        Its checksum has been checked. It is decompressed here.
    tp : TopicPartition
        Where it comes from.
    max_bytes : int
        What it may take, decompressed and in records; else it is lost as a whole.
    first : int
        Records before this offset were not asked for.
    """

    __slots__ = ("_batch", "_first", "_lost", "_max_bytes", "_tp", "num_bytes")

    def __init__(
        self, batch: DefaultRecordBatch, tp: TopicPartition, max_bytes: int, first: int = 0
    ) -> None:
        self._batch, self._tp = batch, tp
        self._max_bytes, self._first = max_bytes, first
        self._lost: Records | None = None
        try:
            self._decompress()
        except MemoryError:
            raise
        except Exception as err:  # each library has an error of its own
            self._lost = self._lose(err)
        self.num_bytes = len(batch._buffer)

    def __len__(self) -> int:
        """Return how many records it says that it has; 1 of one that is lost."""
        return int(self._batch.records_count) if self._lost is None else 1

    def unpacked(self) -> Records:
        """Return its records, or one in place of all if they cannot be had. O(n).

        That is so if they are not of the sizes that they say, not as many or not where they
        say: then none of them is taken.
        """
        if self._lost is not None:
            return self._lost
        try:
            return unpacked(self._batch, self._tp, self._max_bytes)
        except (IndexError, ValueError) as err:
            return self._lose(err)

    def _decompress(self) -> None:
        """Decompress it, if the number of its records can be."""
        batch, number = self._batch, self._batch.records_count
        _check_memory(number * RECORD_BYTES, self._max_bytes)
        if batch.compression_type:
            content = memoryview(batch._buffer)[batch._pos :]
            batch._buffer = decompressed(batch.compression_type, content, self._max_bytes)
            batch._pos = 0
        size = len(batch._buffer) - batch._pos
        if not (number > 0 or number == size == 0) or number > size:
            msg = f"{number} records in {size} bytes"
            raise ValueError(msg)
        _check_memory(size + number * RECORD_BYTES, self._max_bytes)

    def _lose(self, why: Exception) -> Records:
        """Return a placeholder for all records, and drop their bytes."""
        batch = self._batch
        batch._buffer = bytearray()
        first = max(batch.base_offset, self._first)
        number = min(max(batch.records_count, 1), batch.next_offset - first)
        return lost(self._tp, first, batch.last_offset, number, batch.max_timestamp, why)


Chunk: TypeAlias = PackedBatch | Records
"""Some records of one partition, unpacked or not."""


def weight(chunk: Chunk) -> int:
    """Return how many records a chunk counts as where so many are taken: large ones for more."""
    return max(len(chunk), chunk.num_bytes // HEAVY_BYTES)


class Taken:
    """What a fetch has brought at a time: as many as its records weigh, and in chunks."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        """Return the weight: the client counts down what it may still return."""
        return sum(map(weight, self._chunks))

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the chunks, which are what a poll returns."""
        return iter(self._chunks)


def hand_on_whole(consumer: KafkaConsumer, max_batch_bytes: int) -> None:
    """Let a consumer's polls return chunks of records: what `QuickRecords` takes."""
    consumer._fetcher.PartitionRecords = partial(QuickRecords, max_batch_bytes=max_batch_bytes)


class QuickRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # the client has no types
    """What one fetch has brought of a partition, batch by batch.

    Checksums are checked, and what was aborted is left out.

    Parameters
    ----------
    arguments, more
        As the client gives them.
    max_batch_bytes : int
        A batch that takes more is lost as a whole.
    """

    def __init__(self, *arguments: Any, max_batch_bytes: int, **more: Any) -> None:
        self._max_batch_bytes = max_batch_bytes
        super().__init__(*arguments, **more)

    def take(self, n: int | None = None) -> Taken:
        """Return the next chunks, until they weigh as n records or more.

        Raises
        ------
        CorruptRecordError
            And nothing is left then: the client would ask for more where there can be none,
            and never end. What came before the error is returned first.
        """
        chunks: list[Chunk] = []
        missing = float("inf") if n is None else n
        try:
            self._maybe_raise_next_inline_exception()
            for chunk in self.record_iterator:
                chunks.append(chunk)
                missing -= weight(chunk)
                if missing <= 0:
                    break
        except Exception as err:
            if not chunks:
                self.drain()
                raise
            self._next_inline_exception = err  # as the client does: the next call raises it
        return Taken(chunks)

    def _maybe_skip_record(self, _: Chunk) -> bool:
        """Pass over nothing: no chunk has what is before the offset that was asked for."""
        return False

    def _unpack_records(
        self, tp: TopicPartition, records: MemoryRecords, *_: object
    ) -> Iterator[Chunk]:
        """Yield chunks, and keep the next offset for the client.

        No chunk is empty: brokers keep batches of which compaction has left no record.
        """
        while (batch := records.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                msg = f"{_named(tp, batch)} is not what was written"
                raise CorruptRecordError(msg)
            if batch.magic < _MAGIC:
                chunk: Chunk | None = self._old_chunk(tp, batch)
                self.next_fetch_offset = batch.base_offset + 1  # that of its last message
            else:
                if batch.next_offset <= batch.base_offset:
                    msg = f"{_named(tp, batch)} ends before it begins"
                    raise CorruptRecordError(msg)
                chunk = None if self._passes_over(batch) else self._chunk(tp, batch)
                # Only now: an error that has to wait is met again at the offset where it was.
                self.leader_epoch = batch.leader_epoch
                self.next_fetch_offset = batch.next_offset  # its last ones can be compacted away
            if chunk is not None:
                self.records_read += batch.records_count if batch.magic == _MAGIC else len(chunk)
                self.bytes_read += batch.size_in_bytes
                if chunk:
                    yield chunk
        self.drain()

    def _passes_over(self, batch: DefaultRecordBatch) -> bool:
        """Return whether a batch marks the end of a transaction, or is of one that was aborted.

        Takes note of what was aborted: for each batch once, in their order.
        """
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            # Compaction can leave a marker without its record: nothing of the transaction is left.
            if batch.records_count > 0 and self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _chunk(self, tp: TopicPartition, batch: DefaultRecordBatch) -> Chunk:
        """Return those of a batch's records that were asked for: brokers send whole batches."""
        packed = PackedBatch(batch, tp, self._max_batch_bytes, self.fetch_offset)
        if batch.base_offset >= self.fetch_offset:
            return packed
        return self._after_the_first(packed.unpacked())

    def _old_chunk(self, tp: TopicPartition, batch: LegacyRecordBatch) -> Records:
        """Return the messages of an older format, or what stands for them."""
        try:
            return self._after_the_first(old_records(batch, tp, self._max_batch_bytes))
        except MemoryError:
            raise
        except Exception as err:  # as that of a batch of today's format
            # Where it begins is not known but from what came before.
            last, first = batch.base_offset, min(self.next_fetch_offset, batch.base_offset)
            return lost(tp, first, last, last + 1 - first, -1, err)

    def _after_the_first(self, records: Records) -> Records:
        """Return those from the offset on that was asked for."""
        if not records or records.origins[0].offset >= self.fetch_offset:
            return records
        offsets = records.offsets
        return records.picked([i for i, at in enumerate(offsets) if at >= self.fetch_offset])


def unpacked(batch: DefaultRecordBatch, tp: TopicPartition, max_bytes: int) -> Records:
    """Return the records of a batch of today's format that has been decompressed.

    One loop on purpose, with no call for what nearly every record has.

    Raises
    ------
    IndexError, ValueError
        If it is corrupt, or takes more than max_bytes with all of its headers.
    """
    found = Records()
    origins, keys, values = found.origins, found.keys, found.values
    topic, partition, new = tp.topic, tp.partition, tuple.__new__
    base, first_ms = batch.base_offset, batch.first_timestamp
    appended_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    data, at = batch._buffer, batch._pos
    view = memoryview(data)
    free = (max_bytes - len(data)) // _HEADER_BYTES  # headers that there is room for
    # Numbers of one byte are read in place: a call for each would take as long as all else.
    for row in range(batch.records_count):
        size, at = data[at], at + 1
        if size > _LAST:
            size, at = _longer(data, at)
        end = at + (size >> 1 ^ -(size & 1))
        delta_ms, at = data[at + 1], at + 2  # after the attributes, which nobody has a use for
        if delta_ms > _LAST:
            delta_ms, at = _longer(data, at)
        offset, at = data[at], at + 1
        if offset > _LAST:
            offset, at = _longer(data, at)
        size, at = data[at], at + 1
        if size > _LAST:
            size, at = _longer(data, at)
        keys.append(None if size & 1 else bytes(data[at : (at := at + (size >> 1))]))
        size, at = data[at], at + 1
        if size > _LAST:
            size, at = _longer(data, at)
        values.append(None if size & 1 else view[at : (at := at + (size >> 1))])
        if data[at]:
            if found.headers is None:
                found.headers = [[] for _ in range(row)]
            headers, at = _headers(data, at, free)
            free -= len(headers)
            found.headers.append(headers)
        else:
            at += 1
            if found.headers is not None:
                found.headers.append([])
        if at != end:
            msg = f"a record ends {at - end} bytes after its size"
            raise ValueError(msg)
        ms = first_ms + (delta_ms >> 1 ^ -(delta_ms & 1)) if appended_ms is None else appended_ms
        # Past the class's own __new__, which is in Python.
        origins.append(new(Origin, (topic, partition, base + (offset >> 1 ^ -(offset & 1)), ms)))
    if at != len(data):
        msg = f"{len(data) - at} bytes are left over"
        raise ValueError(msg)
    _check_offsets(found.offsets, base, batch.last_offset)
    return found


def _named(tp: TopicPartition, batch: DefaultRecordBatch) -> str:
    """Return what to call a batch in an error: by its offsets, to the last that it may have."""
    last = batch.last_offset if batch.magic == _MAGIC else batch.base_offset
    offsets = f"{batch.base_offset} to {last}"
    return f"the batch of {tp.topic}/{tp.partition} at offsets {offsets}"


def _check_offsets(offsets: list[int], first: int, last: int) -> None:
    """Refuse offsets that do not ascend within those of the batch: others would be skipped."""
    if offsets == list(range(first, first + len(offsets))) and first + len(offsets) - 1 <= last:
        return
    if offsets != sorted(set(offsets)) or not first <= offsets[0] <= offsets[-1] <= last:
        msg = f"records are at offsets {offsets[0]} to {offsets[-1]}, or not in their order"
        raise ValueError(msg)


def _check_memory(size: int, max_bytes: int) -> None:
    """Refuse records for which more memory would be made than a batch may take."""
    if size > max_bytes:
        msg = (
            f"its records take more than {max_bytes} bytes, {RECORD_BYTES} for each beside its "
            "content (max_batch_bytes)"
        )
        raise TooLargeError(msg)


_LAST = 0x7F  # number of one byte; a larger one says that others follow


def _longer(data: bytearray, at: int) -> tuple[int, int]:
    """Return the varint whose first byte is before a place, zigzag, and the place after it."""
    if (high := data[at]) <= _LAST:
        return data[at - 1] & _LAST | high << 7, at + 1
    number, at = decode_varint(data, at - 1)
    return number << 1 ^ number >> 63, at


def _number(data: bytearray, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    zigzag = data[at]
    zigzag, at = (zigzag, at + 1) if zigzag <= _LAST else _longer(data, at + 1)
    return zigzag >> 1 ^ -(zigzag & 1), at


def _headers(data: bytearray, at: int, most: int) -> tuple[list[_Header], int]:
    """Return the headers that begin at a place, after their number, and the place after them."""
    headers: list[_Header] = []
    number, at = _number(data, at)
    if not 0 <= number <= most:
        msg = f"a record has {number} headers where there is room for {most} (max_batch_bytes)"
        raise ValueError(msg)
    for _ in range(number):
        name_size, at = _number(data, at)
        if name_size < 0:
            msg = "a header has no name"
            raise ValueError(msg)
        name = data[at : (at := at + name_size)]
        value_size, at = _number(data, at)
        value = None if value_size < 0 else bytes(data[at : (at := at + value_size)])
        # Kafka's own client takes any bytes for a name, and nothing of ours has such a one.
        headers.append((name.decode(errors="backslashreplace"), value))
    return headers, at
