"""Messages in the formats before Kafka 0.11, which brokers still send where they have them.

One message, or several in the value of one, compressed.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from kafka import TopicPartition
from kafka.record.legacy_records import LegacyRecordBatch

from echo_stream.connectors.kafka._client_patches.decompression import TooLargeError, decompressed
from echo_stream.connectors.kafka.records import RECORD_BYTES, Records
from echo_stream.samples.samples import Origin

_HEADER = struct.Struct(">qiIbb")  # offset, size, checksum, format, attributes
_AFTER_THE_SIZE = 12
_NO_TIME = -1


class _Message(NamedTuple):
    """A message, or several of them in its value."""

    offset: int
    codec: int
    timestamp: int
    key: bytes | None
    value: memoryview | None


def old_records(batch: LegacyRecordBatch, tp: TopicPartition, max_bytes: int) -> Records:
    """Return the messages of a batch whose checksum has been checked. O(n).

    Raises
    ------
    ValueError, struct.error, Exception
        If it is not such a batch, or more than max_bytes, as `decompressed` does.
    """
    (outer,) = _messages(memoryview(batch._buffer), max_bytes)
    found, moved = [outer], 0
    if outer.codec:
        data = decompressed(outer.codec, outer.value or memoryview(b""), max_bytes)
        found = list(_messages(memoryview(data), max_bytes))
        if any(message.codec for message in found):
            msg = "compressed messages in compressed ones"
            raise ValueError(msg)
        # In format 1 they count from the first on, and the outer one has the offset of the last.
        moved = outer.offset - found[-1].offset if batch.magic else 0
    appended_ms = outer.timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    return Records(
        [
            Origin(
                tp.topic,
                tp.partition,
                message.offset + moved,
                message.timestamp if appended_ms is None else appended_ms,
            )
            for message in found
        ],
        [message.key for message in found],
        [message.value for message in found],
    )


def _messages(data: memoryview, max_bytes: int) -> Iterator[_Message]:
    """Yield messages that follow one another, at least one."""
    at = number = 0
    while at < len(data) or not number:
        offset, size, _, magic, attributes = _HEADER.unpack_from(data, at)
        end = at + _AFTER_THE_SIZE + size
        at += _HEADER.size
        timestamp = _NO_TIME
        if magic:
            (timestamp,) = struct.unpack_from(">q", data, at)
            at += 8
        key, at = _field(data, at)
        value, at = _field(data, at)
        if at != end:
            msg = f"a message ends {at - end} bytes after its size"
            raise ValueError(msg)
        number += 1
        if number * RECORD_BYTES + len(data) > max_bytes:
            msg = f"its messages take more than {max_bytes} bytes (max_batch_bytes)"
            raise TooLargeError(msg)
        codec = attributes & LegacyRecordBatch.CODEC_MASK
        yield _Message(offset, codec, timestamp, None if key is None else bytes(key), value)


def _field(data: memoryview, at: int) -> tuple[memoryview | None, int]:
    """Return the key or value at a place, and the place after it."""
    (size,) = struct.unpack_from(">i", data, at)
    at += 4
    if size < 0:
        return None, at
    if size > len(data) - at:
        msg = f"a field of {size} bytes where {len(data) - at} are left"
        raise ValueError(msg)
    return data[at : at + size], at + size
