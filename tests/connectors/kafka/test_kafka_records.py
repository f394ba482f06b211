"""Records as samples: decoded as blocks, with what comes out if each is decoded alone."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from echo_stream._common.typing import Array
from echo_stream.connectors.codecs import CodecConfig, Headers, encode_batch
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Batch, RejectedSample
from echo_stream.samples.validation import as_samples
from tests.support.crashes.native_damage import npy
from tests.support.kafka.records import RAW, Record, raw, records, waiting


def together(given: list[Record], config: CodecConfig) -> Batch:
    """Decode records as a source does."""
    return RecordDecoder(config).decode(waiting(given), len(given) + 1)


def one_by_one(given: list[Record], config: CodecConfig) -> tuple[list[Samples], list[Any]]:
    """Decode records, no two of which are in a block."""
    decoder = RecordDecoder(config)
    batches = [decoder.decode(waiting([record]), 1) for record in given]
    return (
        [batch.samples for batch in batches if batch.samples is not None],
        [rejected for batch in batches for rejected in batch.rejected],
    )


def without_place(rejected: RejectedSample) -> tuple[Any, ...]:
    """Return all of a rejected message but for its place in the batch."""
    return (rejected.reason, rejected.message, rejected.key, rejected.headers, rejected.origin)


def assert_same_as_one_by_one(given: list[Record], config: CodecConfig) -> None:
    """Assert that blocks change nothing of what comes out."""
    batch, (parts, rejected) = together(given, config), one_by_one(given, config)
    assert batch.num_messages == len(given)
    assert list(map(without_place, batch.rejected)) == list(map(without_place, rejected))
    offsets = [each.origin.offset for each in batch.rejected if each.origin is not None]
    assert [each.place for each in batch.rejected] == offsets
    assert (batch.samples is None) == (not parts)
    if batch.samples is not None:
        expected = Samples.concatenate(parts)
        assert batch.samples.x.dtype == expected.x.dtype
        np.testing.assert_array_equal(batch.samples.x, expected.x)
        for column in ("ids", "labels", "origins"):
            ours, theirs = getattr(batch.samples, column), getattr(expected, column)
            assert ours.tolist() == theirs.tolist()
            assert list(map(type, ours)) == list(map(type, theirs))


NUMBERS = [0.0, 1.5, -2.0, float("nan"), float("inf"), 3e38]
SHAPES = [(2,), (1, 2), (3,)]
DTYPES = ["float32", "float64", ">f4", "uint8", "bool"]
HEADERS: list[tuple[str, bytes | None]] = [
    *(("id", b"9"), ("id", b"\xff"), ("id", b""), ("label", b"5"), ("label", b"cat")),
    *(("label", b"\xff"), ("label-type", b"text"), ("shape", b"x"), ("dtype", None)),
    *(("content-type", b"text/plain"), ("content-type", b"application/json")),
]
ODD = [b"", b"{", b'{"x": [1, 2]}', b'{"x"}   ', b"abcdefgh", b"\x93NUMPY..", b"\xff" * 8, None]


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes | None, bytes | None, Headers]:
    """Draw a message that is good, or bad in one way or another."""
    key = draw(st.sampled_from([None, b"k", b"\xff"]))
    extra = draw(st.lists(st.sampled_from(HEADERS), max_size=1))
    kind = draw(st.sampled_from(["plain", "raw", "npy", "fortran", "odd"]))
    if kind == "odd":
        return key, draw(st.sampled_from(ODD)), extra
    shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES))
    size = int(np.prod(shape))
    numbers = draw(st.lists(st.sampled_from(NUMBERS), min_size=size, max_size=size))
    with np.errstate(all="ignore"):
        x = np.array(numbers).astype(dtype).reshape(shape)
    if kind == "plain":
        return key, x.tobytes(), extra
    if kind == "raw":
        layout = [("dtype", x.dtype.str.encode()), ("shape", ",".join(map(str, shape)).encode())]
        return key, x.tobytes(), [*layout, *extra]
    return key, npy(np.asfortranarray(x) if kind == "fortran" else x), extra


@settings(max_examples=300)
@given(
    drawn=st.lists(st.tuples(messages(), st.integers(1, 4)), max_size=8),
    format=st.sampled_from(["auto", "raw", "npy"]),
    layout=st.sampled_from([(None, None), ("float32", (2,)), ("uint8", (8,))]),
    max_elements=st.sampled_from([2, 100]),
)
def test_blocks_change_nothing(
    drawn: list[Any], format: Any, layout: tuple[Any, Any], max_elements: int
) -> None:
    """Runs of good and bad messages bring the samples and the rejections of each alone."""
    config = CodecConfig(format, *layout, max_elements=max_elements)
    given = records(*(message for message, times in drawn for _ in range(times)))
    assert_same_as_one_by_one(given, config)


def test_bad_messages_within_a_run_come_out_alone() -> None:
    """The others around them are one array, which does not hold on to the messages."""
    given = records(
        (b"a", raw(1, 2), []),
        (b"b", raw(1, float("nan")), []),
        (b"c", raw(3, 4), [("label", b"\xff")]),
        (b"d", raw(5, 6), [("label", b"cat")]),
        (b"e", raw(7), []),
        (b"f", raw(8, 9), []),
    )
    batch = together(given, RAW)
    assert batch.samples is not None
    assert batch.samples.x.tolist() == [[1, 2], [5, 6], [8, 9]]
    assert batch.samples.x.flags.writeable
    assert batch.samples.labels is not None
    assert batch.samples.labels.tolist() == [None, "cat", None]
    assert [(each.reason, each.place) for each in batch.rejected] == [
        ("nonfinite", 1),
        ("decode", 2),
        ("schema", 4),
    ]
    assert_same_as_one_by_one(given, RAW)


@pytest.mark.parametrize("odd", [np.ones(3, np.float32), np.ones(2, np.float64)])
def test_first_sample_is_not_believed_where_dtype_and_shape_are_set(odd: Array) -> None:
    """What is odd about it does not make all the others odd; otherwise it does."""
    given = records((None, npy(odd), []), *[(None, npy(np.ones(2, np.float32)), [])] * 3)
    for config in (CodecConfig("auto", "float32", (2,)), CodecConfig("npy", "<f4", (2,))):
        assert [each.place for each in together(given, config).rejected] == [0]
        assert_same_as_one_by_one(given, config)
    for config in (CodecConfig(), CodecConfig(shape=(2,)), CodecConfig(dtype="float32")):
        assert [each.place for each in together(given, config).rejected] == [1, 2, 3]


def test_no_more_records_are_taken_than_asked_for() -> None:
    """What is not asked for stays with the source, whatever the messages are."""
    given = records(*[(None, raw(1, 2), [])] * 3, (None, b"?", []), *[(None, raw(1, 2), [])] * 3)
    source = waiting(given)
    decoder = RecordDecoder(RAW)
    batches = [decoder.decode(source, 2) for _ in range(4)]
    taken = [
        (batch.num_messages, 0 if batch.samples is None else len(batch.samples))
        for batch in batches
    ]
    assert taken == [(2, 2), (3, 2), (2, 2), (0, 0)]


@pytest.mark.parametrize("value", [raw(1, 2), npy(np.ones(2, np.float32))])
def test_samples_without_id_are_called_by_their_place(value: bytes) -> None:
    """Topic, partition and offset."""
    batch = together(records(*[(None, value, [])] * 3), CodecConfig("auto", "float32", (2,)))
    assert batch.samples is not None
    assert batch.samples.ids.tolist() == ["events-3-0", "events-3-1", "events-3-2"]


def arrow(*values: float) -> bytes:
    """Return samples of one value each as an Arrow message."""
    (message,) = encode_batch(as_samples(np.array(values, np.float32)[:, np.newaxis]))
    return message[1]


def test_messages_of_many_samples_are_not_split() -> None:
    """The last one comes whole; samples without id are called by their place in it."""
    table = pa.table({"x": pa.array([[0.0], [1.0], [2.0]])})
    with ipc.new_stream(sink := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    source = waiting(records(*[(b"key", sink.getvalue(), [])] * 3))
    decoder = RecordDecoder(CodecConfig())
    batches = [decoder.decode(source, 4) for _ in range(3)]
    assert [(batch.num_messages, len(batch.samples or ())) for batch in batches] == [
        (2, 6),
        (1, 3),
        (0, 0),
    ]
    samples = batches[0].samples
    assert samples is not None
    assert samples.ids.tolist() == [f"events-3-{n}-{row}" for n in (0, 1) for row in range(3)]
    assert samples.origins is not None
    assert [origin.offset for origin in samples.origins] == [0, 0, 0, 1, 1, 1]


def test_arrow_and_raw_are_samples_of_one_stream() -> None:
    """The order of messages is the order of samples, and a bad message is one."""
    bad = arrow(3, 4).replace(np.float32(4).tobytes(), np.float32("nan").tobytes())
    given = records(
        *((None, value, []) for value in (raw(0), arrow(1, 2), bad, raw(5), raw(6), b"?"))
    )
    batch = together(given, CodecConfig("auto", "float32", (1,)))
    assert batch.samples is not None
    assert batch.samples.x.ravel().tolist() == [0, 1, 2, 5, 6]
    assert [(each.reason, each.place) for each in batch.rejected] == [
        ("nonfinite", 2),
        ("schema", 5),
    ]
    assert batch.num_messages == 6


LONG = {"id": b"a" * 9, "label": b"\xf0\x9f\x92\xa9" * 3}
"""Headers of more than eight bytes."""


@pytest.mark.parametrize("name", ["id", "label"])
@pytest.mark.parametrize("value", [raw(1.0), b'{"x": [1.0]}', b""])
def test_long_text_is_a_dead_letter(name: str, value: bytes) -> None:
    """A message with a longer id or label than allowed is none, a late label too; others are."""
    config = CodecConfig(dtype="float32", shape=(1,), max_text_bytes=8)
    headers = {"id": b"a", "label": b"y", name: LONG[name]}
    if not value:
        headers["change"] = b"label"
    good = (None, raw(2.0), [("id", b"b" * 8), ("label", b"y" * 8)])
    batch = together(records((None, value, list(headers.items())), good), config)
    assert batch.samples is not None
    assert batch.samples.ids.tolist() == ["b" * 8]
    assert not batch.changes
    (dead_letter,) = batch.rejected
    assert dead_letter.reason == "decode"
    assert dead_letter.message.startswith(f"the {name} ")
    assert (
        "bytes in UTF-8, and may have 8; shorten it, or raise max_text_bytes" in dead_letter.message
    )


def test_long_key_is_a_dead_letter() -> None:
    """A key that is the id is as short as an id; so is that of a tombstone."""
    config = CodecConfig("raw", "float32", (1,), max_text_bytes=8)
    given = records((b"a" * 9, raw(1.0), []), (b"a" * 9, None, []), (b"a" * 8, raw(2.0), []))
    batch = together(given, config)
    assert batch.samples is not None
    assert batch.samples.ids.tolist() == ["a" * 8]
    assert [dead_letter.place for dead_letter in batch.rejected] == [0, 1]
    assert not batch.changes
