"""Batches out of the bytes of a fetch, to be unpacked by the thread that counts.

kafka-python makes an object and some thirty calls for each record, in the thread that
polls, and the thread that counts waits for the interpreter meanwhile, longer than the work
takes. So the thread that polls checks the sums of batches and hands them on whole, and they
are unpacked into columns where these are needed.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

from echo_stream.connectors.codecs.messages import Headers
from echo_stream.connectors.records import Records
from echo_stream.samples import Origin

MAGIC = 2  # format of batches since Kafka 0.11


class PackedBatch:
    """A batch of today's format, as the broker has sent it.

    Parameters
    ----------
    batch : DefaultRecordBatch
        Its sum has been checked. It is decompressed here.
    tp : TopicPartition
        Where it comes from.

    Raises
    ------
    CorruptRecordError
        If it cannot be decompressed, or there is no room for as many records as it says.
    """

    __slots__ = ("_batch", "_tp", "num_bytes")

    def __init__(self, batch: DefaultRecordBatch, tp: TopicPartition) -> None:
        self._batch, self._tp = batch, tp
        try:
            iter(batch)  # decompresses
        except (KafkaError, MemoryError):
            raise
        except Exception as err:  # each library has an error of its own
            raise self._corrupt(err) from err
        self.num_bytes = len(batch._buffer)
        self._check_number(self.num_bytes - batch._pos)

    def __len__(self) -> int:
        """Return how many records it says that it has."""
        return int(self._batch.records_count)

    def unpacked(self) -> Records:
        """Return its records. O(n).

        Raises
        ------
        CorruptRecordError
            If they are not of the sizes that they say, or not as many: then none is taken.
        """
        try:
            return unpacked(self._batch, self._tp)
        except (IndexError, ValueError) as err:
            raise self._corrupt(err) from err

    def _check_number(self, size: int) -> None:
        """Refuse a number of records that cannot lie in so many bytes: memory is made for it."""
        number = self._batch.records_count
        if not (number > 0 or number == size == 0) or number > size:
            raise self._corrupt(ValueError(f"{number} records in {size} bytes"))

    def _corrupt(self, why: Exception) -> CorruptRecordError:
        """Return the error of a batch that is no batch though its sum is right."""
        return CorruptRecordError(f"{_named(self._tp, self._batch)} is corrupt: {why}")


Chunk: TypeAlias = PackedBatch | Records
"""Some records of one partition, unpacked or not."""


class Taken:
    """What a fetch has brought at a time: as many as its records are, and in chunks."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        """Return the number of records: the client counts down what it may still return."""
        return sum(map(len, self._chunks))

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the chunks, which are what a poll returns."""
        return iter(self._chunks)


def hand_on_whole(consumer: KafkaConsumer) -> None:
    """Let a consumer's polls return chunks of records: what `QuickRecords` takes."""
    consumer._fetcher.PartitionRecords = QuickRecords


class QuickRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # the client has no types
    """What one fetch has brought of a partition, batch by batch.

    Checksums are checked, and what was aborted is left out. From the first batch of an older
    format on the client unpacks by itself.
    """

    def take(self, n: int | None = None) -> Taken:
        """Return the next chunks, until they are of n records or more.

        Raises
        ------
        CorruptRecordError
            And nothing is left then: the client would ask for more where there can be none,
            and never end. What came before the error is returned first.
        """
        chunks: list[Chunk] = []
        loose: list[ConsumerRecord] = []  # which the client has unpacked, behind all chunks
        missing = float("inf") if n is None else n
        try:
            self._maybe_raise_next_inline_exception()
            for found in self.record_iterator:
                is_loose = isinstance(found, ConsumerRecord)
                (loose if is_loose else chunks).append(found)
                missing -= 1 if is_loose else len(found)
                if missing <= 0:
                    break
        except Exception as err:
            if not (chunks or loose):
                self.drain()
                raise
            self._next_inline_exception = err  # as the client does: the next call raises it
        return Taken([*chunks, Records.of(loose)] if loose else chunks)

    def _maybe_skip_record(self, found: Chunk | ConsumerRecord) -> bool:
        """Tell whether something is before the offset that was asked for; no chunk is."""
        return isinstance(found, ConsumerRecord) and super()._maybe_skip_record(found)

    def _unpack_records(
        self, tp: TopicPartition, records: MemoryRecords, *deserializers: Any
    ) -> Iterator[Chunk | ConsumerRecord]:
        """Yield chunks, then the client's own records, and keep the next offset for the client.

        No chunk is empty: brokers keep batches of which compaction has left no record.
        """
        batch = records.next_batch()
        while batch is not None and batch.magic == MAGIC:
            if self.check_crcs and not batch.validate_crc():
                msg = f"{_named(tp, batch)} is not what was written"
                raise CorruptRecordError(msg)
            chunk = None if self._passes_over(batch) else self._chunk(tp, batch)
            # Only now: an error that has to wait is met again at the offset where it was.
            self.leader_epoch = batch.leader_epoch
            self.next_fetch_offset = batch.next_offset  # its last records can be compacted away
            if chunk is not None:
                self.records_read += batch.records_count
                self.bytes_read += batch.size_in_bytes
                if len(chunk):
                    yield chunk
            batch = records.next_batch()
        if batch is None:
            self.drain()
            return
        yield from super()._unpack_records(tp, _Rest(batch, records), *deserializers)

    def _passes_over(self, batch: DefaultRecordBatch) -> bool:
        """Tell whether a batch marks the end of a transaction, or is of one that was aborted.

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
        packed = PackedBatch(batch, tp)
        if batch.base_offset >= self.fetch_offset:
            return packed
        return self._after_the_first(packed.unpacked())

    def _after_the_first(self, records: Records) -> Records:
        """Return those from the offset on that was asked for."""
        if not records or records.origins[0].offset >= self.fetch_offset:
            return records
        offsets = records.offsets
        return records.picked([i for i, at in enumerate(offsets) if at >= self.fetch_offset])


class _Rest:
    """The batches of a fetch from one on that has been taken already."""

    def __init__(self, first: Any, others: MemoryRecords) -> None:
        self._first, self._others = first, others

    def next_batch(self) -> Any:
        """Return the next batch; None after the last."""
        first, self._first = self._first, None
        return self._others.next_batch() if first is None else first


def unpacked(batch: DefaultRecordBatch, tp: TopicPartition) -> Records:
    """Return the records of a batch of today's format that has been decompressed.

    One loop on purpose, with no call for what nearly every record has.

    Raises
    ------
    IndexError, ValueError
        If it is corrupt.
    """
    found = Records()
    origins, keys, values = found.origins, found.keys, found.values
    topic, partition, new = tp.topic, tp.partition, tuple.__new__
    base, first_ms = batch.base_offset, batch.first_timestamp
    appended_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    data, at = batch._buffer, batch._pos
    view = memoryview(data)
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
            headers, at = _headers(data, at)
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
    return found


def _named(tp: TopicPartition, batch: DefaultRecordBatch) -> str:
    """Return what to call a batch in an error: by its offsets, to the last that it may have."""
    offsets = f"{batch.base_offset} to {batch.last_offset}"
    return f"the batch of {tp.topic}/{tp.partition} at offsets {offsets}"


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


def _headers(data: bytearray, at: int) -> tuple[Headers, int]:
    """Return the headers that begin at a place, after their number, and the place after them."""
    headers: list[tuple[str, bytes | None]] = []
    number, at = _number(data, at)
    if number < 0:
        msg = f"a record has {number} headers"
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
