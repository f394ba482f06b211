"""What a batch of records may take is bounded, whatever it says of itself."""

import gzip
import io
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import snappy
import zstandard
from kafka.record.util import encode_varint

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka._client_patches.decompression import TooLargeError, decompressed
from echo_stream.connectors.kafka._client_patches.unpacking import HEAVY_BYTES, PackedBatch
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.queue import RecordQueue
from echo_stream.connectors.kafka.records import RECORD_BYTES, Records
from echo_stream.errors import ConfigError
from echo_stream.run.report import RunStats
from tests.support.kafka.fetches import (
    CODECS,
    FIRST_MS,
    PARTITION,
    Message,
    batch,
    by_us,
    fetched,
    old,
    plain,
    rewritten,
    said,
)

MEGABYTE = 1024**2
COMPRESSED = sorted(set(CODECS) - {"none"})


def number(value: int) -> bytes:
    """Return a number as records have it."""
    found = bytearray()
    encode_varint(value, found.append)
    return bytes(found)


def record(value_bytes: int, *, num_headers: int = 0) -> Iterator[bytes]:
    """Yield a record with a value of zeros, in pieces: it may not fit in memory."""
    headers = number(num_headers) + b"\0\1" * num_headers  # no name, no value
    start = b"\0\0\0\1" + number(value_bytes)
    yield number(len(start) + value_bytes + len(headers)) + start
    yield from repeat(bytes(MEGABYTE), value_bytes // MEGABYTE)
    yield bytes(value_bytes % MEGABYTE) + headers


def gzipped(pieces: Iterator[bytes]) -> bytes:
    """Return content compressed, without ever holding all of it."""
    with io.BytesIO() as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as compressing:
            for piece in pieces:
                compressing.write(piece)
        return file.getvalue()


def snapped(pieces: Iterator[bytes]) -> bytes:
    """Return likewise content in the frames of the xerial library."""
    blocks = map(snappy.compress, pieces)
    framed = (struct.pack(">i", len(block)) + block for block in blocks)
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(framed)


def lz4_framed(pieces: Iterator[bytes]) -> bytes:
    """Return likewise a frame of LZ4."""
    compressing = lz4.frame.LZ4FrameCompressor()
    return b"".join([compressing.begin(), *map(compressing.compress, pieces), compressing.flush()])


def zstd_framed(pieces: Iterator[bytes]) -> bytes:
    """Return likewise a frame of Zstandard, whose size is not known from its first bytes."""
    compressing = zstandard.ZstdCompressor().compressobj()
    return b"".join([*map(compressing.compress, pieces), compressing.flush()])


COMPRESS: dict[str, Callable[[Iterator[bytes]], bytes]] = {
    "gzip": gzipped,
    "snappy": snapped,
    "lz4": lz4_framed,
    "zstd": zstd_framed,
}


def bomb(content: bytes, codec: str, *, base: int = 0, records: int = 1) -> bytes:
    """Return a batch, as a broker sends it, of what has been compressed."""
    header = bytearray(batch(plain(0, 1))[:61])
    header[8:12] = struct.pack(">i", 61 - 12 + len(content))
    header[22] = CODECS[codec]
    header[23:27], header[57:61] = struct.pack(">i", records - 1), struct.pack(">i", records)
    return rewritten(bytes(header) + content, base=base)


def zeros(size: int, codec: str, **more: Any) -> bytes:
    """Return a batch of one record with a value of so many zeros."""
    return bomb(COMPRESS[codec](record(size)), codec, **more)


def taken(content: bytes, max_bytes: int) -> list[Records]:
    """Return the chunks of a fetch, unpacked."""
    return [chunk.unpacked() for chunk in fetched(by_us, content, max_bytes=max_bytes).take(100)]


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_batch_beyond_the_bound_is_lost_and_those_around_it_are_read(codec: str) -> None:
    """By a byte: the same batch is read where the bound is that much larger."""
    content = batch(plain(0, 2)) + zeros(MEGABYTE, codec, base=2) + batch(plain(3, 2))
    size = sum(map(len, record(MEGABYTE))) + RECORD_BYTES
    before, found, after = taken(content, size)
    assert (found.lost, len(found.values[0] or b"")) == (None, MEGABYTE)
    before, found, after = taken(content, size - 1)
    assert (before.offsets, after.offsets) == ([0, 1], [3, 4])
    assert said(found).startswith("the batch of events/3 at offsets 2 to 2 cannot be unpacked: ")
    assert "max_batch_bytes" in said(found)


CHILD = """
import resource, sys
from kafka import TopicPartition
from echo_stream.connectors.kafka.queue import RecordQueue
from echo_stream.run.report import RunStats
from tests.support.kafka.fetches import by_us, fetched
content, max_bytes = open(sys.argv[1], "rb").read(), int(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found, queue, partition = fetched(by_us, content, max_bytes=max_bytes), None, TopicPartition("t", 0)
queue = RecordQueue(10, max_bytes, RunStats())
while found:
    queue.put({partition: list(found.take(4096))})
    while not queue.is_empty:
        print(*(records.lost is None for _, records in queue.take(4096, 0)))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def peak_of_a_child(content: bytes, max_bytes: int, folder: Path) -> tuple[list[str], int]:
    """Return which batches a process of its own has read, and what its memory grew by."""
    file = folder / "fetched"
    file.write_bytes(content)
    command = [sys.executable, "-c", CHILD, str(file), str(max_bytes)]
    *found, peak = subprocess.check_output(command, text=True).split()
    return found, int(peak)


@pytest.mark.slow
def test_memory_of_batches_beyond_the_bound(tmp_path: Path) -> None:
    """Less than twice the bound, however much more they would be, in each codec."""
    bound = 16 * MEGABYTE
    beyond = [zeros(8 * bound, codec, base=at) for at, codec in enumerate(COMPRESSED)]
    content = b"".join(beyond) + zeros(1_000, "gzip", base=len(beyond))
    found, peak = peak_of_a_child(content, bound, tmp_path)
    assert found == [*["False"] * len(beyond), "True"]
    assert peak < 2 * bound


@pytest.mark.slow
def test_memory_of_many_batches_within_the_bound(tmp_path: Path) -> None:
    """That of one poll and of what is taken at a time, of 64 MiB and a batch each."""
    bound = 16 * MEGABYTE
    within = zeros(bound - MEGABYTE, "zstd")
    many = b"".join(rewritten(within, base=base) for base in range(30))
    found, peak = peak_of_a_child(many, bound, tmp_path)
    assert found == ["True"] * 30
    assert peak < 2 * (HEAVY_BYTES * 4_096 + bound) + MEGABYTE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(number(6) + b"\0\0\0\1\1\0", id="records"),
        pytest.param(b"".join(record(0, num_headers=100_000)), id="headers"),
    ],
)
def test_objects_count_as_well_as_bytes(content: bytes) -> None:
    """Millions of empty records, or headers, are a few megabytes of content."""
    times = 10_000 if len(content) < 100 else 1
    packed = bomb(gzipped(iter([content * times])), "gzip", records=times)
    (found,) = taken(packed, MEGABYTE)
    assert "max_batch_bytes" in said(found)
    assert found.lost is not None
    assert found.lost.number == times


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
def test_old_formats_have_the_same_bound(codec: str) -> None:
    """What is compressed, and how many messages are in it."""
    large = old([(3, FIRST_MS, None, bytes(2 * MEGABYTE), [])], codec)
    many = old([(at, FIRST_MS, None, b"", []) for at in range(4, 10_004)], codec)
    first, second, third = taken(large + many + batch(plain(10_004, 1)), MEGABYTE)
    assert "max_batch_bytes" in said(first)
    assert "max_batch_bytes" in said(second)
    assert second.lost is not None
    assert (second.lost.first, second.lost.number) == (4, 10_000)
    assert third.offsets == [10_004]


def frame_of_a_window(window_log: int) -> bytes:
    """Return a frame of Zstandard that asks for a window of a size."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    compressing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressing.compress(b"a few bytes") + compressing.flush()


def frame_of_a_size(size: int) -> bytes:
    """Return a frame of LZ4 that says how large its content is."""
    frame = bytearray(lz4.frame.compress(b"a few bytes", content_checksum=False))
    frame[6:14] = struct.pack("<Q", size)
    return bytes(frame)


@pytest.mark.parametrize(
    ("codec", "content", "words"),
    [
        ("zstd", frame_of_a_window(27), "too much memory"),
        ("snappy", b"\xff\xff\xff\xff\x0f" + bytes(20), "max_batch_bytes"),
        ("snappy", snapped(iter([b"a few bytes"]))[:16] + b"\0\0\0\5\xff\xff\xff\xff\x0f",
         "max_batch_bytes"),
        ("snappy", snapped(iter(()))+ struct.pack(">i", -4), "a block of -4 bytes"),
        ("snappy", snapped(iter(()))+ struct.pack(">i", 2**31 - 1), "a block of 2147483647 bytes"),
    ],
)  # fmt: skip
def test_no_memory_is_made_for_what_a_batch_claims(codec: str, content: bytes, words: str) -> None:
    """It is compared with the bound, or with what there is."""
    with pytest.raises((ValueError, zstandard.ZstdError), match=words):
        decompressed(CODECS[codec], memoryview(content), 16 * MEGABYTE)


@pytest.mark.slow
def test_a_size_that_is_claimed_and_not_there(tmp_path: Path) -> None:
    """LZ4 reserves nothing for it, nor does it believe it."""
    content = bomb(frame_of_a_size(2**40), "lz4")
    found, peak = peak_of_a_child(content, 16 * MEGABYTE, tmp_path)
    assert found == ["False"]
    assert peak < 4 * MEGABYTE


@pytest.mark.parametrize(("codec", "times"), [("gzip", 3), ("zstd", 3), ("snappy", 1), ("lz4", 1)])
def test_frames_that_follow_one_another_have_one_bound(codec: str, times: int) -> None:
    """Whoever compresses in pieces."""
    frame = COMPRESS[codec](iter([b"x" * 1_000]))
    for repeated in range(1, times + 1):
        data = memoryview(frame * repeated)
        assert decompressed(CODECS[codec], data, 1_000 * repeated) == b"x" * 1_000 * repeated
        with pytest.raises(TooLargeError, match="more than"):
            decompressed(CODECS[codec], data, 1_000 * repeated - 1)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_what_ends_too_soon_is_never_read_for_less(codec: str) -> None:
    """Each cut of a batch is lost, whatever of it could be decompressed."""
    values: list[Message] = [(at, FIRST_MS, None, b"value %d" % at * 9, []) for at in range(9)]
    content = batch(values, codec)
    assert content[22] == CODECS[codec]
    for end in range(61, len(content)):
        cut = bytearray(content[:end])
        cut[8:12] = struct.pack(">i", end - 12)
        (found,) = taken(rewritten(bytes(cut)), MEGABYTE)
        assert found.lost is not None
        assert found.lost.number == 9


def test_offsets_outside_their_batch_lose_it() -> None:
    """Else a message that says that it is far ahead would have all before it passed over."""
    content = bytearray(batch(plain(5, 3)))
    content[23:27] = struct.pack(">i", 1)  # of the last one
    (found,) = taken(rewritten(bytes(content), base=5), MEGABYTE)
    assert re.search("records are at offsets 5 to 7", said(found))


def test_large_chunks_are_taken_few_at_a_time() -> None:
    """A poll and whoever counts take four thousand records, or as many bytes as they weigh."""
    found = fetched(by_us, b"".join(zeros(MEGABYTE, "gzip", base=at) for at in range(200)))
    assert len(list(found.take(4_096))) == 64
    queue, chunks = RecordQueue(10_000, 2**40, RunStats()), list(found.take(10_000))
    queue.put({PARTITION: chunks})
    assert len(chunks) == 136
    assert len(queue.take(4_096, 0)) == 64
    assert len(queue.take(100, 0)) == 1, "a chunk that would be too much waits"


def test_a_batch_lets_go_of_what_cannot_be_unpacked() -> None:
    """It weighs nothing while it waits."""
    (chunk,) = fetched(by_us, zeros(MEGABYTE, "gzip"), max_bytes=MEGABYTE).take(1)
    assert isinstance(chunk, PackedBatch)
    assert (len(chunk), chunk.num_bytes) == (1, 0)


def test_a_bound_below_that_of_messages() -> None:
    """It would refuse messages that are allowed."""
    with pytest.raises(ConfigError, match=r"at least max_message_bytes, 100: .* got 99"):
        KafkaConfig(
            ("t",), "localhost:9092", CodecConfig(max_message_bytes=100), max_batch_bytes=99
        )
