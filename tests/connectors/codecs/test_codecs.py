"""Messages: round trips, declared and guessed formats, and that nothing bad comes through."""

import json
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from echo_stream._common.typing import Label
from echo_stream.connectors.codecs import (
    CodecConfig,
    DecodeError,
    Headers,
    SampleFormat,
    decode,
    encode,
)
from echo_stream.errors import ConfigError, DataError
from tests.support.crashes.native_damage import npy

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
FORMATS: tuple[SampleFormat, ...] = get_args(SampleFormat)
AUTO = CodecConfig()

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(max_dims=4, max_side=5),
        elements={"allow_nan": False, "allow_infinity": False, "max_value": 1e4, "min_value": -1e4}
        if dtype.startswith("float")
        else None,
    )
)
texts = st.text(max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
labels = st.one_of(st.none(), integers, texts, st.floats(allow_nan=False, allow_infinity=False))


class Sample(NamedTuple):
    """The sample of a message that holds one."""

    x: np.ndarray[Any, Any]
    id: str | None
    label: Label


def only_sample(
    key: bytes | None, value: bytes | None, headers: Headers, config: CodecConfig
) -> Sample:
    """Decode a message of one sample."""
    decoded = decode(key, value, headers, config)
    (x,), (id,), (label,) = decoded.x, decoded.ids, decoded.labels
    assert not decoded.is_batch
    return Sample(x, id, label)


def refused(value: bytes | None, headers: Headers = (), config: CodecConfig = AUTO) -> DecodeError:
    """Return the error that a message brings, of one line."""
    with pytest.raises(DecodeError) as caught:
        decode(None, value, headers, config)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize("format", FORMATS)
@given(x=arrays, id=st.none() | texts, label=labels)
@example(x=np.ones(2), id="", label="")
@example(x=np.ones(2), id="7", label="-0")
@example(x=np.ones(2), id="7", label="9223372036854775808")
@example(x=np.ones(2), id="7", label="007")
def test_decode_inverts_encode(
    format: SampleFormat, x: np.ndarray[Any, Any], id: str | None, label: Label
) -> None:
    """Any array, id and label survive any format."""
    key, value, headers = encode(x, id, label, format)
    decoded = only_sample(key, value, headers, AUTO)
    np.testing.assert_array_equal(decoded.x, x)
    assert decoded.x.dtype == x.dtype
    assert decoded.id == id
    assert (decoded.label, type(decoded.label)) == (label, type(label))


def test_encode_writes_key_and_headers() -> None:
    """A message says everything that is needed to read it."""
    key, value, headers = encode(np.zeros((2, 3), np.uint8), "ä", 5, "raw")
    assert (key, value) == ("ä".encode(), b"\0" * 6)
    assert headers == [
        ("content-type", b"application/octet-stream"),
        ("dtype", b"|u1"),
        ("shape", b"2,3"),
        ("id", "ä".encode()),
        ("label", b"5"),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_encode_leaves_out_what_is_unknown(format: SampleFormat) -> None:
    """No id: no key and no header. No label: no header."""
    key, _, headers = encode(np.zeros(2), None, None, format)
    assert key is None
    assert {name for name, _ in headers} <= {"content-type", "dtype", "shape"}


@pytest.mark.parametrize(
    ("x", "id", "label", "format"),
    [
        (np.array([np.nan]), "a", 1, "raw"),
        (np.array(1.0), "a", 1, "npy"),
        (np.array([1j]), "a", 1, "npy"),
        (np.ones(2), "\ud800", 1, "raw"),
        (np.ones(2), "a", "\ud800", "json"),
        (np.ones(2), "a", 2**63, "npy"),
        (np.ones(2), "a", float("inf"), "json"),
    ],
)
def test_encode_refuses_what_decode_would(
    x: Any, id: str, label: Label, format: SampleFormat
) -> None:
    """Nobody can send a message that every reader rejects."""
    with pytest.raises(DataError):
        encode(x, id, label, format)


def test_content_type_goes_before_everything() -> None:
    """Declared raw is raw, even with the magic bytes of another format."""
    value = b"\x93NUMPY\x01\x00"
    headers = [("content-type", b"application/octet-stream")]
    config = CodecConfig(message_format="json", dtype="uint8", shape=(8,))
    assert only_sample(None, value, headers, config).x.tobytes() == value


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON", b"application/json; charset=utf-8"]
)
def test_content_type_may_have_parameters(content_type: bytes) -> None:
    """Capitals and parameters do not matter."""
    assert only_sample(None, b'{"x": [1]}', [("content-type", content_type)], AUTO).x == [1]


def test_unknown_content_type_is_named() -> None:
    """The message names the type and those that are supported."""
    error = refused(b"\xff\xd8", [("content-type", b"image/webp\n")])
    assert error.reason == "decode"
    assert "image/webp" in str(error)
    assert "application/x-npy, application/octet-stream, application/json" in str(error)


def test_configured_format_goes_before_magic_bytes() -> None:
    """Who configures raw gets raw."""
    config = CodecConfig(message_format="raw", dtype="uint8", shape=(10,))
    assert only_sample(None, b'{"x": [1]}', [], config).x.shape == (10,)


def test_magic_bytes_tell_npy_and_json() -> None:
    """Without declarations the first bytes decide, also where a raw layout is configured."""
    x = np.ones((2, 3), np.float32)
    config = CodecConfig(dtype="float32", shape=(2, 3))
    for value in (npy(x), b' \n{ "x": [[1, 1, 1], [1, 1, 1]]} \n', x.tobytes()):
        np.testing.assert_array_equal(only_sample(None, value, [], config).x, x)


@given(st.binary(min_size=15, max_size=15).filter(lambda tail: not tail.rstrip().endswith(b"}")))
def test_raw_value_that_begins_with_a_brace_is_raw(tail: bytes) -> None:
    """An image whose first pixel is 123 is no JSON, unless it ends like JSON as well."""
    config = CodecConfig(dtype="uint8", shape=(16,))
    assert only_sample(None, b"{" + tail, [], config).x.tobytes() == b"{" + tail


def test_unknown_layout_says_what_to_declare() -> None:
    """Bytes that look like nothing need a dtype and a shape."""
    for config in (AUTO, CodecConfig(dtype="uint8"), CodecConfig(shape=(4,))):
        assert "declare dtype and shape" in str(refused(b"\1\2\3\4", [], config))


def test_declared_raw_needs_a_layout() -> None:
    """The content type alone is not enough."""
    error = refused(b"\1\2", [("content-type", b"application/octet-stream")])
    assert (error.reason, str(error)[:39]) == ("decode", "raw value without dtype and shape; decl")


def test_tombstone() -> None:
    """A message without a value and without a key is nothing."""
    error = refused(None)
    assert (error.reason, str(error)[:30]) == ("decode", "the tombstone has no UTF-8 key")


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"\0" * 7, [("dtype", b"u1"), ("shape", b"2,4")], "schema"),
        (b"\0" * 8, [("dtype", b"object"), ("shape", b"1")], "schema"),
        (b"\0" * 8, [("dtype", b"u1"), ("shape", b"2x4")], "decode"),
        (npy(np.float32(1)), [], "schema"),
        (npy(np.ones(3))[:-1], [], "decode"),
        (b'{"x": [[1, 2], [3]]}', [], "schema"),
        (b'{"x": [1', [], "decode"),
        (b'{"x": [1, NaN]}', [], "nonfinite"),
        (b'{"x": [1e39]}', [], "nonfinite"),
    ],
)
def test_reason_tells_what_kind_of_error_it_is(value: bytes, headers: Headers, reason: str) -> None:
    """Invalid, valid but no sample, or not finite."""
    assert refused(value, headers).reason == reason


def test_raw_headers_go_before_the_configuration() -> None:
    """Each header on its own replaces what is configured."""
    config = CodecConfig(message_format="raw", dtype="uint8", shape=(8,))
    assert only_sample(
        None, b"\0" * 8, [("dtype", b"int16"), ("shape", b"4,")], config
    ).x.shape == (4,)
    assert only_sample(None, b"\0" * 8, [("shape", b"2,4")], config).x.dtype == np.uint8
    assert only_sample(None, b"\0" * 8, [("shape", b"2,2,2"), ("dtype", None)], config).x.ndim == 3


@pytest.mark.parametrize(
    ("dtype", "headers", "expected"),
    [
        (None, [], "float32"),
        ("int16", [], "int16"),
        (">f8", [], "float64"),
        ("int16", [("dtype", b"uint8")], "uint8"),
    ],
)
def test_json_takes_the_declared_dtype(dtype: str | None, headers: Headers, expected: str) -> None:
    """That of the header, else of the configuration, else float32."""
    decoded = only_sample(None, b'{"x": [[1, 2], [3, 4]]}', headers, CodecConfig(dtype=dtype)).x
    assert decoded.dtype == np.dtype(expected)
    assert decoded.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("key", "headers", "json_id", "expected"),
    [
        (b"key", [("id", b"header")], "json", "header"),
        (b"key", [], "json", "json"),
        (b"key", [], 17, "17"),
        (b"key", [], None, "key"),
        (b"key", [("id", None)], None, "key"),
        (b"key", [("id", b"first"), ("id", b"last")], None, "last"),
        (b"\xff\xfe", [], None, None),
        (None, [], None, None),
    ],
)
def test_id_is_the_headers_then_the_fields_then_the_key(
    key: bytes | None, headers: Headers, json_id: Any, expected: str | None
) -> None:
    """The most explicit wins; a key that is no text is no id."""
    value = json.dumps({"x": [1], "id": json_id}).encode()
    assert only_sample(key, value, headers, AUTO).id == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"3", 3),
        (b"-12", -12),
        (b"0", 0),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", "9223372036854775808"),
        (b"-0", "-0"),
        (b"03", "03"),
        (b"+3", "+3"),
        (b" 3", " 3"),
        (b"3\n", "3\n"),
        (b"1_0", "1_0"),
        ("٣".encode(), "٣"),
        (b"2.5", 2.5),
        (b"1e-07", 1e-07),
        (b"2.50", "2.50"),
        (b"nan", "nan"),
        (b"inf", "inf"),
        (b"cat", "cat"),
        (b"", ""),
    ],
)
def test_label_header_is_a_number_or_text(text: bytes, expected: Label) -> None:
    """Only what a number would be written as is one."""
    label = only_sample(None, b'{"x": [1], "y": 5}', [("label", text)], AUTO).label
    assert (label, type(label)) == (expected, type(expected))


@pytest.mark.parametrize("names", [("y",), ("label",), ("label", "y")])
@pytest.mark.parametrize("label", [3, 2.5, "3", "cat", None])
def test_json_label_keeps_its_type(label: Label, names: tuple[str, ...]) -> None:
    """JSON knows integers, floats, text and null; the field is label or y, or both alike."""
    fields = {"x": [1], **dict.fromkeys(names, label)}
    decoded = only_sample(None, json.dumps(fields).encode(), [], AUTO)
    assert (decoded.label, type(decoded.label)) == (label, type(label))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"id": 1.5', "decode"),
        ('"id": true', "decode"),
        ('"id": ["a"]', "decode"),
        (r'"id": "\ud800"', "decode"),
        ('"y": [1]', "decode"),
        ('"y": 9223372036854775808', "decode"),
        (r'"y": "\udfff"', "decode"),
        ('"y": NaN', "nonfinite"),
        ('"y": 1e999', "nonfinite"),
        ('"label": NaN', "nonfinite"),
        ('"label": 1, "y": 2', "decode"),
        ('"label": 1, "y": null', "decode"),
    ],
)
def test_json_id_and_label_of_other_types(fields: str, reason: str) -> None:
    """What could not be stored is refused."""
    assert refused(b'{"x": [1], ' + fields.encode() + b"}").reason == reason


@pytest.mark.parametrize("name", ["id", "label"])
def test_headers_must_be_utf8(name: str) -> None:
    """A header that was declared and cannot be read is an error."""
    error = refused(b'{"x": [1]}', [(name, b"\xff")])
    assert error.reason == "decode"
    assert f"{name} b'\\xff' is not valid UTF-8" in str(error)


def test_max_message_bytes() -> None:
    """A value over the limit is not looked at."""
    config = CodecConfig(max_message_bytes=10)
    assert "11 bytes, more than the limit of 10" in str(refused(b"x" * 11, [], config))


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"\0" * 5, [("dtype", b"u1"), ("shape", b"5")]),
        (npy(np.zeros(5)), []),
        (b'{"x": [1, 2, 3, 4, 5]}', []),
        (b'{"x": [[1, 2, 3], [4, 5, 6]]}', []),
        (b'{"x": [' + b"0," * 2_000 + b"0]}", []),
    ],
)
def test_max_elements(value: bytes, headers: Headers) -> None:
    """Five elements are too many for a limit of four, in any format."""
    error = refused(value, headers, CodecConfig(max_elements=4))
    assert error.reason == "decode"
    assert "limit" in str(error)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float16", np.inf), ("float32", np.nan), ("float64", -np.inf), ("float64", 1e39)],
)
@pytest.mark.parametrize("format", ["raw", "npy"])
def test_nonfinite_values(dtype: str, value: float, format: str) -> None:
    """NaN, Inf, and what a float32 cannot hold have a reason of their own."""
    x = np.array([0, value], dtype)
    content = x.tobytes() if format == "raw" else npy(x)
    assert refused(content, [("dtype", dtype.encode()), ("shape", b"2")]).reason == "nonfinite"


@pytest.mark.parametrize(
    "settings",
    [
        {"message_format": "pickle"},
        {"dtype": "object"},
        {"dtype": "f4,f4"},
        {"shape": ()},
        {"shape": (2, 0)},
        {"shape": (1,) * 33},
        {"max_message_bytes": 0},
        {"max_elements": -1},
    ],
)
def test_config_refuses_what_no_message_satisfies(settings: dict[str, Any]) -> None:
    """A wrong setting is found at the start, not in each message."""
    with pytest.raises(ConfigError):
        CodecConfig(**settings)


def test_json_fields_without_a_meaning_are_told() -> None:
    """Beside x, id and label."""
    value = b'{"x": [1], "id": 7, "y": 3, "label": 3, "time": 5, "city": "Bonn"}'
    assert decode(None, value, [], AUTO).ignored == ["city", "time"]
    assert decode(None, b'{"x": [1], "y": 3}', [], AUTO).ignored == []
