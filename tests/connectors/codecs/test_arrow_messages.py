"""Messages of many samples: Arrow streams and files."""

import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import ipc

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, decode, encode_batch
from echo_stream.samples.validation import as_samples

AUTO = CodecConfig()
TWO = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))


def stream(*tables: pa.Table, compression: str | None = None, new: Any = ipc.new_stream) -> bytes:
    """Return tables of one schema as an Arrow stream."""
    sink = io.BytesIO()
    options = ipc.IpcWriteOptions(compression=compression)
    with new(sink, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write_table(table)
    return sink.getvalue()


def decoded(value: bytes, config: CodecConfig = AUTO) -> Decoded:
    """Decode a value by its first bytes."""
    return decode(b"key", value, [("id", b"one"), ("label", b"5")], config)


def refused(value: bytes, config: CodecConfig = AUTO) -> DecodeError:
    """Return the error that a value brings, of one line."""
    with pytest.raises(DecodeError) as caught:
        decoded(value, config)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@settings(max_examples=50)
@given(
    x=st.sampled_from(["bool", "uint8", "int64", "float16", "float32", "float64"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=3, max_side=4),
            elements=st.sampled_from([0, 1]),
        )
    ),
    data=st.data(),
)
def test_decode_inverts_encode_batch(x: Any, data: st.DataObject) -> None:
    """Samples, ids and labels of any type survive, in their order."""
    labels = data.draw(
        st.lists(
            st.sampled_from([None, "7", "cat", 7, 0.5, -(2**63)]), min_size=len(x), max_size=len(x)
        )
    )
    ids = [f"{row}" for row in range(len(x))]
    messages = [decode(*message, AUTO) for message in encode_batch(as_samples(x, labels, ids))]
    assert all(message.is_batch for message in messages)
    joined = np.concatenate([message.x for message in messages])
    assert joined.dtype == x.dtype
    np.testing.assert_array_equal(joined, x)
    assert [id for message in messages for id in message.ids] == ids
    found = [label for message in messages for label in message.labels]
    assert found == labels
    assert list(map(type, found)) == list(map(type, labels))


@pytest.mark.parametrize("new", [ipc.new_stream, ipc.new_file])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_stream_and_file(new: Any, compression: str | None) -> None:
    """Both, with several record batches, compressed or not."""
    table = pa.table({"x": TWO, "y": ["a", "b"], "id": [7, 8]})
    found = decoded(stream(table, table, compression=compression, new=new))
    assert found.x.tolist() == [[1, 2], [3, 4]] * 2
    assert (found.ids, found.labels) == (["7", "8"] * 2, ["a", "b"] * 2)


def test_feature_columns_and_tensors() -> None:
    """A feature each, or tensors of Arrow, as in our Parquet; others are passed over."""
    features = pa.table({"a": [1, 2], "label": [0, 1], "b": [0.5, 1.5], "text": ["n", "m"]})
    found = decoded(stream(features))
    assert (found.x.tolist(), found.labels) == ([[1, 0.5], [2, 1.5]], [0, 1])
    assert found.ids == [None, None]
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(x)
    np.testing.assert_array_equal(decoded(stream(pa.table({"x": tensors}))).x, x)


def test_key_and_headers_name_no_sample_of_many() -> None:
    """Ids and labels are columns; a header is of a message."""
    found = decoded(stream(pa.table({"x": TWO})))
    assert (found.ids, found.labels) == ([None, None], [None, None])


@pytest.mark.parametrize(
    ("columns", "reason", "words"),
    [
        ({"x": pa.array([[1.0], [np.nan]])}, "nonfinite", "in row 1"),
        ({"x": pa.array([[1.0], [1e39]])}, "nonfinite", "in row 1"),
        ({"x": pa.array([[1.0], None])}, "decode", "null in row 1"),
        ({"x": pa.array([[1.0], [1.0, 2.0]])}, "schema", "row 1"),
        ({"x": pa.array([[], []], pa.list_(pa.int8()))}, "schema", "empty list"),
        ({"x": pa.array(["a", "b"])}, "decode", "type string"),
        ({"x": pa.array([b"a", b"b"])}, "decode", "x_dtype"),
        ({"x": TWO, "id": pa.array(["a", None])}, "decode", "column id has a null in row 1"),
        ({"x": TWO, "id": pa.array([0.5, 1.5])}, "decode", "type float64"),
        ({"x": TWO, "y": pa.array([0.5, np.inf])}, "decode", "infinite label"),
        ({"x": TWO, "y": pa.array([[1], [2]])}, "schema", "column y is of type list"),
        ({"x": TWO, "y": pa.array(["a", "b"], pa.string_view())}, "schema", "string_view"),
        ({"x": TWO, "y": pa.array(["a", "b"]).dictionary_encode()}, "decode", "dictionary"),
        ({"x": TWO.slice(0, 0)}, "decode", "without rows"),
        ({"name": pa.array(["a"])}, "decode", "no column x"),
    ],
)
def test_one_bad_row_refuses_the_message(columns: Any, reason: str, words: str) -> None:
    """All or nothing, and the message says which column and row."""
    error = refused(stream(pa.table(columns)))
    assert (error.reason, words in str(error)) == (reason, True), error


def test_limits_are_of_all_samples() -> None:
    """Values of all rows count, and bytes once they are uncompressed."""
    value = stream(pa.table({"x": pa.array(np.zeros((100, 10)).tolist())}))
    decoded(value, CodecConfig(max_elements=1_000))
    assert "over 999 elements" in str(refused(value, CodecConfig(max_elements=999)))
    features = stream(pa.table({f"f{i}": np.zeros(100) for i in range(10)}))
    assert "over 999 elements" in str(refused(features, CodecConfig(max_elements=999)))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_bombs_are_not_uncompressed(compression: str) -> None:
    """What would be 64 MiB is refused by its size, before Arrow allocates anything like it."""
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2**23)), 2**10)
    value = stream(pa.table({"x": zeros, "y": ["a"] * 2**13}), compression=compression)
    del zeros
    config = CodecConfig(max_message_bytes=2**20)
    assert len(value) < config.max_message_bytes
    before = pa.total_allocated_bytes()
    with pytest.raises(DecodeError, match="over 1048576 bytes uncompressed"):
        decode(None, value, [], config)
    assert pa.total_allocated_bytes() - before < 2**20
    assert decoded(value, CodecConfig(max_message_bytes=2**27)).x.shape == (2**13, 2**10)


def test_metadata_of_old_versions_is_refused() -> None:
    """Version 4 has a way to be compressed that version 5 has not."""
    table, sink = pa.table({"x": TWO}), io.BytesIO()
    options = ipc.IpcWriteOptions(metadata_version=ipc.MetadataVersion.V4)
    with ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    assert "before 1.0" in str(refused(sink.getvalue()))


def test_first_message_that_is_no_schema_is_refused() -> None:
    """Arrow would read it as one, and beyond its end, which killed the process."""
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(640, dtype=np.float32)), 64)
    value = bytearray(stream(pa.table({"x": x}), compression="zstd"))
    value[29], value[135] = 3, 244
    assert "begins with a record batch" in str(refused(bytes(value)))


@pytest.mark.parametrize(
    ("pair", "changed", "words"),
    [
        ((32, 24), (32, 2**40), "outside the body"),  # where a buffer lies, and its size
        ((32, 24), (-32, 24), "outside the body"),
        ((32, 24), (2**63 - 8, 24), "outside the body"),
        ((3, 1), (3, 4), "invalid row or null count"),  # rows and nulls of a column
        ((3, 1), (-3, 1), "invalid row or null count"),
    ],
)
def test_metadata_that_contradicts_itself_is_refused(
    pair: tuple[int, int], changed: tuple[int, int], words: str
) -> None:
    """Before Arrow reads anything of the record batch."""
    value = stream(pa.table({"f": [0.5, 1.5, 2.5], "y": [1, None, 3]}))
    assert value.count(struct.pack("<qq", *pair)) == 1
    bad = value.replace(struct.pack("<qq", *pair), struct.pack("<qq", *changed))
    assert words in str(refused(bad))


def test_offsets_beyond_a_buffer_are_refused() -> None:
    """Arrow reads what a list's offsets point at; ours are checked first."""
    value = stream(pa.table({"x": TWO}))
    offsets = np.array([0, 2, 4], np.int32).tobytes()
    assert value.count(offsets) == 1
    bad = value.replace(offsets, np.array([0, 2, 2**30], np.int32).tobytes())
    assert "invalid Arrow" in str(refused(bad))


def test_truncated_at_any_byte() -> None:
    """Half a message is none, or has whole record batches."""
    value = stream(pa.table({"x": TWO, "y": ["a", "b"]}))
    lengths, whole = range(9, len(value)), []
    for length in lengths:
        try:
            found = decode(None, value[:length], [], CodecConfig("arrow"))
        except DecodeError:
            continue
        assert found.x.tolist() == [[1, 2], [3, 4]]
        whole.append(length)
    assert 0 < len(whole) < len(lengths)
