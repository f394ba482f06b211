"""Batches as brokers send them, and what a fetch makes of them."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

from crc32c import crc32c
from kafka import TopicPartition
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from echo_stream.connectors.kafka._client_patches.unpacking import QuickRecords
from echo_stream.connectors.kafka.records import Records

PARTITION = TopicPartition("events", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
APPEND_TIME = 0x08  # of a batch's attributes
FIRST_MS = 1_700_000_000_000
BOUND = 2**24
Headers = list[tuple[str, bytes | None]]
Message = tuple[int, int, bytes | None, bytes | None, Headers]  # offset, milliseconds, …


def batch(
    messages: Sequence[Message],
    codec: str = "none",
    *,
    attributes: int = 0,
    producer: int = -1,
    is_transactional: bool = False,
) -> bytes:
    """Return messages as a broker sends them."""
    base = messages[0][0]
    epoch = -1 if producer < 0 else 0
    builder = DefaultRecordBatchBuilder(
        2, CODECS[codec], is_transactional, producer, epoch, epoch, 2**24
    )
    for offset, timestamp, key, value, headers in messages:
        assert builder.append(offset - base, timestamp, key, value, headers)
    return rewritten(builder.build(), base=base, attributes=attributes)


def rewritten(built: bytes, *, base: int = 0, attributes: int = 0) -> bytes:
    """Return a batch at an offset, of leader epoch 5, with more attributes and its checksum."""
    content = bytearray(built)
    content[0:8], content[12:16] = struct.pack(">q", base), struct.pack(">i", 5)
    content[22] |= attributes
    content[17:21] = struct.pack(">I", crc32c(bytes(content[21:])))
    return bytes(content)


def fetched(kind: Any, content: bytes, first: int = 0, **more: Any) -> Any:
    """Return what a fetch from an offset has brought."""
    return kind(first, PARTITION, MemoryRecords(content), **more)


def by_us(*arguments: Any, max_bytes: int = BOUND, **more: Any) -> Any:
    """Return what a fetch has brought that we unpack."""
    return QuickRecords(*arguments, max_batch_bytes=max_bytes, **more)


def plain(first: int, number: int) -> list[Message]:
    """Return messages without headers, at offsets from the first on."""
    return [
        (first + i, FIRST_MS + i, b"key-%d" % i, bytes([i % 256]) * (i + 1), [])
        for i in range(number)
    ]


def old(
    messages: Sequence[Message], codec: str = "none", *, magic: int = 1, attributes: int = 0
) -> bytes:
    """Return messages in a format before that of today."""
    base = messages[0][0] if codec != "none" and magic else 0
    builder = LegacyRecordBatchBuilder(magic, CODECS[codec], 2**24)
    for offset, timestamp, key, value, _ in messages:
        assert builder.append(offset - base, timestamp, key, value, [])
    content = bytearray(builder.build())
    if codec != "none":  # as a broker rewrites it: with the offset of the last message
        content[0:8] = struct.pack(">q", messages[-1][0])
        content[17] |= attributes
        content[12:16] = struct.pack(">I", zlib.crc32(content[16:]))
    return bytes(content)


def said(records: Records) -> str:
    """Return why the records of a batch cannot be had."""
    assert records.lost is not None
    return records.lost.message
