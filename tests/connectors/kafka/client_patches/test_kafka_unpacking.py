"""Records are unpacked quickly, and are those that the client unpacks."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import codec as client_codecs
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel

from echo_stream.connectors.kafka.records import Record, Records
from tests.support.kafka.fetches import (
    APPEND_TIME,
    CODECS,
    FIRST_MS,
    Headers,
    Message,
    batch,
    by_us,
    fetched,
    old,
    plain,
    rewritten,
    said,
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction of a producer, and where it began."""

    producer_id: int
    first_offset: int


def marker(offset: int, producer: int, *, is_commit: bool = False) -> bytes:
    """Return what a broker writes where a transaction ends, aborted or not."""
    end: Message = (offset, FIRST_MS, struct.pack(">hh", 0, is_commit), b"\0" * 6, [])
    return batch([end], attributes=0x20, producer=producer, is_transactional=True)


def quickly(content: bytes, first: int = 0, at_a_time: int = 2, **more: Any) -> list[Any]:
    """Return records as they are taken and unpacked, and what is known after the last."""
    found, records = fetched(by_us, content, first, **more), Records()
    places = []
    while found:
        chunks = found.take(at_a_time)
        unpacked = [chunk.unpacked() for chunk in chunks]
        for each in unpacked:
            assert each, "an empty chunk"
            if each.lost is not None:
                raise CorruptRecordError(each.lost.message)
            records.extend(each)
        assert len(chunks) >= sum(map(len, unpacked)), "the client would ask for more for ever"
        places.append((len(records), found.next_fetch_offset))
    offsets = [first - 1, *records.offsets, found.next_fetch_offset]
    for number, following in places:
        assert offsets[number] < following <= offsets[number + 1], "a record would be passed over"
    return [*records, found.next_fetch_offset, found.leader_epoch, found.records_read]


def by_the_client(content: bytes, first: int = 0, **more: Any) -> list[Any]:
    """Return the same, as the client has it."""
    found, records = fetched(Fetcher.PartitionRecords, content, first, **more), []
    while found:
        records += found.take(100)
    last = [found.next_fetch_offset, found.leader_epoch, found.records_read]
    return [*Records.of(records), *last]


def assert_same(content: bytes, first: int = 0, **more: Any) -> None:
    """Assert that nobody can tell who has unpacked."""
    for at_a_time in (1, 3, 1_000):
        ours = quickly(content, first, at_a_time, **more)
        assert ours == by_the_client(content, first, **more)


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """Draw some batches, with gaps between offsets, of any sizes, codecs and times."""
    contents, offset = [], draw(st.integers(0, 2**40))
    for _ in range(draw(st.integers(1, 3))):
        messages: list[Message] = []
        for _ in range(draw(st.integers(1, 5))):
            offset += draw(st.sampled_from([1, 1, 1, 2, 70, 20_000]))
            messages.append((offset, *draw(contents_of_a_message)))
        attributes = draw(st.sampled_from([0, APPEND_TIME]))
        codec = draw(st.sampled_from(sorted(CODECS)))
        producer = draw(st.sampled_from([-1, 7]))
        contents.append(batch(messages, codec, attributes=attributes, producer=producer))
    return b"".join(contents)


optional_bytes = st.none() | st.sampled_from([0, 1, 63, 64, 8_191, 8_192, 70_000]).map(bytes)
contents_of_a_message = st.tuples(
    st.integers(0, 2**45) | st.integers(FIRST_MS, FIRST_MS + 100),
    optional_bytes | st.binary(max_size=20),
    optional_bytes | st.binary(max_size=300),
    st.lists(st.tuples(st.text(max_size=80), st.none() | st.binary(max_size=200)), max_size=3),
)


@given(batches())
def test_the_same_records_as_the_client_unpacks(content: bytes) -> None:
    """All fields of all, and what is fetched next wherever the taking stops."""
    assert_same(content)


def test_records_before_the_offset_that_was_asked_for_are_passed() -> None:
    """Brokers send whole batches."""
    content = batch(plain(10, 6), "zstd") + batch(plain(16, 6))
    for first in (10, 13, 16, 21):
        assert_same(content, first)
    assert [record.origin.offset for record in quickly(content, 20)[:2]] == [20, 21]


def emptied(content: bytes) -> bytes:
    """Return what compaction leaves of a batch none of whose records is the last of its key."""
    header = bytearray(content[:61])
    header[8:12], header[57:61] = struct.pack(">i", 61 - 12), struct.pack(">i", 0)
    return rewritten(bytes(header), base=struct.unpack(">q", content[:8])[0])


def test_a_batch_can_have_lost_all_of_its_records() -> None:
    """Wherever it is, nothing comes of it, and what follows is fetched next."""
    parts = [batch(plain(3 * i, 3)) for i in range(3)]
    for place in range(3):
        content = b"".join([*parts[:place], emptied(parts[place]), *parts[place + 1 :]])
        assert_same(content)
        assert_same(content, first=4)
        assert quickly(content)[-3] == 9
    assert quickly(emptied(parts[1]), 3) == [6, 5, 0]


@pytest.mark.parametrize("codec", sorted(set(CODECS) - {"none"}))
def test_what_cannot_be_decompressed_is_lost(codec: str) -> None:
    """Whatever the library that tries it raises."""
    content = bytearray(batch([(3, FIRST_MS, None, bytes(1_000), [])], codec))
    assert content[22] == CODECS[codec], "the client compresses what gets smaller"
    content[61:] = b"\xff" * (len(content) - 61)
    found = fetched(by_us, batch(plain(0, 3)) + rewritten(bytes(content), base=3))
    before, after = [chunk.unpacked() for chunk in found.take(100)]
    assert (before.offsets, after.offsets, found.next_fetch_offset) == ([0, 1, 2], [3], 4)
    assert re.match("the batch of events/3 at offsets 3 to 3 cannot be unpacked: .", said(after))


@pytest.mark.parametrize("number", [-1, 0, 100_000, 2**31 - 1])
def test_a_number_of_records_that_cannot_be(number: int) -> None:
    """It is refused before memory is made for it, and never more are lost than can be."""
    content = bytearray(batch(plain(3, 3)))
    content[57:61] = struct.pack(">i", number)
    found = fetched(by_us, rewritten(bytes(content), base=3), 3)
    (records,) = [chunk.unpacked() for chunk in found.take(100)]
    assert re.search(r"at offsets 3 to 5 cannot be unpacked: (-?\d+|its) records", said(records))
    assert records.lost is not None
    assert (records.offsets, records.lost.first) == ([5], 3)
    assert records.lost.number == (3 if number > 0 else 1)


def test_the_end_of_a_fetch_can_be_half_a_batch() -> None:
    """It comes again with the next fetch."""
    content = batch(plain(0, 3)) + batch(plain(3, 9))[:-5]
    assert_same(content)
    assert quickly(content)[-1] == 3


def test_a_fetch_of_nothing() -> None:
    """There is nothing in it, and nothing left."""
    assert_same(b"")


def test_what_was_aborted_does_not_come() -> None:
    """What follows does, also where messages of an older format come before the end is told."""
    content = b"".join([
        batch(plain(0, 3), producer=7),
        batch(plain(3, 3), producer=8, is_transactional=True),
        batch(plain(6, 3), producer=9, is_transactional=True),
        marker(9, producer=8),
        batch(plain(10, 3)),
    ])  # fmt: skip
    committed = {
        "isolation_level": IsolationLevel.READ_COMMITTED,
        "aborted_transactions": [Transaction(8, 3)],
    }
    assert_same(content, **committed)
    assert_same(content)
    found = quickly(content, **committed)
    offsets = [record.origin.offset for record in found if isinstance(record, Record)]
    assert offsets == [0, 1, 2, 6, 7, 8, 10, 11, 12]
    assert_same(batch(plain(0, 3)) + old(plain(3, 2)) + batch(plain(5, 3)))
    parts = [
        batch(plain(0, 3), producer=8, is_transactional=True), old(plain(3, 2)),
        batch(plain(5, 3), producer=8, is_transactional=True), marker(8, producer=8),
        batch(plain(9, 3), producer=8, is_transactional=True),
    ]  # fmt: skip
    committed["aborted_transactions"] = [Transaction(8, 0)]
    assert_same(b"".join(parts), **committed)


def test_a_marker_can_have_lost_its_record() -> None:
    """Compaction takes it once nothing of the transaction is left; kafka-python fails there."""
    content = emptied(marker(3, producer=8)) + batch(plain(4, 2), producer=8, is_transactional=True)
    found = quickly(content, 3, isolation_level=IsolationLevel.READ_COMMITTED)
    assert [record.origin.offset for record in found[:2]] == [4, 5]


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[bytes], list[Transaction]]:
    """Draw batches of transactions and of none, and which of these were aborted."""
    contents: list[bytes] = []
    begun: dict[int, int] = {}
    aborted: list[Transaction] = []
    at = draw(st.integers(0, 2**40))
    for producer in draw(st.lists(st.sampled_from([-1, 7, 8, 9]), min_size=1, max_size=12)):
        if producer in begun and draw(st.booleans()):
            is_commit, first = draw(st.booleans()), begun.pop(producer)
            contents.append(marker(at, producer, is_commit=is_commit))
            aborted += [] if is_commit else [Transaction(producer, first)]
            at += 1
            continue
        is_transactional = producer > 7
        if is_transactional:
            begun.setdefault(producer, at)
        number = draw(st.integers(1, 3))
        codec = draw(st.sampled_from(sorted(CODECS)))
        contents.append(
            batch(plain(at, number), codec, producer=producer, is_transactional=is_transactional)
        )
        at += number
    return contents, aborted


@given(logs(), st.sampled_from(IsolationLevel), st.integers(0, 3), st.integers(0, 2))
def test_transactions_are_as_the_client_has_them(
    log: tuple[list[bytes], list[Transaction]], isolation: IsolationLevel, batch: int, later: int
) -> None:
    """Committed or aborted, with others between, wherever in the log and a batch one begins."""
    contents, aborted = log
    content = b"".join(contents[min(batch, len(contents) - 1) :])
    base, last_delta = struct.unpack(">q15xi", content[:27])
    first = base + min(later, last_delta)
    assert_same(content, first, isolation_level=isolation, aborted_transactions=aborted)


def test_a_changed_byte_is_an_error_after_the_batches_before_it() -> None:
    """Whatever byte it is, but for those that no checksum covers."""
    first, second = batch(plain(0, 3)), batch(plain(3, 3))
    for place in range(21, len(second), 7):
        changed = bytearray(second)
        changed[place] ^= 0x10
        found = fetched(by_us, first + bytes(changed))
        assert [chunk.unpacked().offsets for chunk in found.take(100)] == [[0, 1, 2]]
        with pytest.raises(CorruptRecordError, match=r"offsets 3 to \d+ is not what was written"):
            found.take(100)
        assert not found, "the client would ask for more for ever"


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield a batch with each byte of its records set to several others, its checksum right.

    But for the attributes of records, which the client takes for a number of any length.
    """
    first = 61
    for place in set(range(first, len(content))) - {first + 1, first + 2 + content[first] // 2}:
        for value in (0, 5, 0x80, 0xFF):
            changed = bytearray(content)
            changed[place] = value
            yield rewritten(bytes(changed))


def are_out_of_place(found: list[Any]) -> bool:
    """Return whether records are not where a batch of the offsets 0 and 1 has them."""
    return [each.origin.offset for each in found if isinstance(each, Record)] != [0, 1]


def test_records_of_wrong_sizes_are_lost_where_the_client_fails() -> None:
    """A batch with a right checksum can be made of anything; it is refused, or read the same.

    So it is where offsets are not those of the batch: the client drops or skips records then.
    """
    headers: Headers = [("id", b"seven"), ("label", None)]
    messages: list[Message] = [(0, FIRST_MS, b"k", b"value", headers), (1, FIRST_MS, None, b"", [])]
    num_refused = 0
    for content in damaged(batch(messages)):
        outcomes = []
        for read in (quickly, by_the_client):
            try:
                outcomes.append(read(content))
            except CorruptRecordError:
                outcomes.append(["refused"])
        if outcomes[0] == ["refused"]:
            assert outcomes[1] == ["refused"] or are_out_of_place(outcomes[1])
        elif outcomes[0] != outcomes[1]:  # a name that is no text: only the client minds
            assert outcomes[1] == ["refused"]
            assert r"\\x" in repr([name for name, _ in outcomes[0][0].headers])
        num_refused += outcomes[1] == ["refused"]
    assert num_refused > 50


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
@pytest.mark.parametrize("attributes", [0, APPEND_TIME])
def test_older_formats_are_as_the_client_has_them(codec: str, attributes: int) -> None:
    """Compressed or not, from any of their messages on, with batches of today after them."""
    for magic in (0, 1) if codec != "lz4" else (1,):  # its checksum was another one in format 0
        parts = [old(plain(3, 4), codec, magic=magic, attributes=attributes), batch(plain(7, 2))]
        for first in (3, 5, 7):
            ours = quickly(b"".join(parts), first)
            theirs = by_the_client(b"".join(parts), first)
            assert [at_no_time(each) for each in ours[:-1]] == [
                at_no_time(each) for each in theirs[:-1]
            ]


def at_no_time(found: Any) -> Any:
    """Return a record of the format that had no times with the one that we say then."""
    if isinstance(found, Record) and found.origin.timestamp is None:
        return found._replace(origin=found.origin._replace(timestamp=-1))
    return found


def damaged_old(content: bytes) -> Iterator[bytes]:
    """Yield an uncompressed message with each of its bytes set to others, its checksum right."""
    for place in range(17, len(content)):
        for value in (0, 5, 0x80, 0xFF):
            changed = bytearray(content)
            changed[place] = value
            changed[12:16] = struct.pack(">I", zlib.crc32(changed[16:]))
            yield bytes(changed)


def test_older_messages_of_wrong_sizes_are_lost() -> None:
    """Or read as the client does; nothing else comes of one, and what follows is read."""
    num_lost = 0
    for content in damaged_old(old([(0, FIRST_MS, b"key", b"value", [])])):
        found = fetched(by_us, content + batch(plain(1, 2))).take(100)
        first, after = [chunk.unpacked() for chunk in found]
        assert (first.offsets, after.offsets) == ([0], [1, 2])
        num_lost += first.lost is not None
    assert num_lost > 20


def nested(codec: str) -> bytes:
    """Return compressed messages in compressed messages, of the format before today's."""
    inner = old(plain(0, 3), codec)
    content = bytearray(old([(0, FIRST_MS, None, inner, [])], codec))
    data = getattr(client_codecs, f"{codec}_encode")(inner)
    head = bytearray(content[:26]) + struct.pack(">ii", -1, len(data)) + data
    head[8:12] = struct.pack(">i", len(head) - 12)
    head[12:16] = struct.pack(">I", zlib.crc32(head[16:]))
    return bytes(head)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
def test_compressed_messages_in_compressed_ones_are_lost(codec: str) -> None:
    """A bound for each would be none for all."""
    first, after = [
        chunk.unpacked() for chunk in fetched(by_us, nested(codec) + batch(plain(1, 2))).take(100)
    ]
    assert said(first).endswith("compressed messages in compressed ones")
    assert after.offsets == [1, 2]
