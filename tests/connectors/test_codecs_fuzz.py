"""Fuzzing of `decode`: a message is a usable sample or a DecodeError, never anything else."""

import io
import json
from typing import Any, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream.connectors.codecs import (
    CodecConfig,
    DecodeError,
    Headers,
    SampleFormat,
    decode,
    encode,
)

AUTO = CodecConfig()
SMALL = CodecConfig(dtype="float32", shape=(2, 3), max_bytes=4_096, max_elements=64)


def fortran_npy() -> bytes:
    """Return a `.npy` file in Fortran order."""
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(np.ones((2, 3))))
    return buffer.getvalue()


GOOD = [
    *(
        encode(np.arange(6, dtype=np.float32).reshape(2, 3), "id", "cat", f)
        for f in get_args(SampleFormat)
    ),
    (None, fortran_npy(), []),
    (b"key", b'{"id": 7, "x": [[1, 2.5e3], [-3, 4]], "y": null}', []),
]
junk = st.one_of(
    st.binary(max_size=64),
    st.sampled_from([b"float32", b"<f8", b"2,3", b"application/json", b"application/x-npy", b"5"]),
)
any_headers = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "dtype", "shape", "id", "label", "other"]),
        st.none() | junk,
    ),
    max_size=6,
)


def decodes_or_refuses(
    key: bytes | None, value: bytes | None, headers: Headers, config: CodecConfig
) -> None:
    """Assert that a message is a usable sample or a DecodeError, and nothing else."""
    try:
        decoded = decode(key, value, headers, config)
    except DecodeError as error:
        assert error.reason in ("decode", "schema", "nonfinite")
        assert len(str(error).splitlines()) == 1
        return
    assert decoded.x.dtype.kind in "buif"
    assert decoded.x.dtype.isnative
    assert 0 < decoded.x.size <= config.max_elements
    assert np.isfinite(decoded.x.astype(np.float32)).all()
    for x, id, label in zip(decoded.x, decoded.ids, decoded.labels, strict=True):
        assert id is None or id.encode() is not None
        encode(x, id, label, "json")


@settings(max_examples=400)
@given(st.none() | junk, st.none() | junk, any_headers, st.sampled_from([AUTO, SMALL]))
def test_random_messages_decode_or_are_refused(
    key: bytes | None, value: bytes | None, headers: Headers, config: CodecConfig
) -> None:
    """No exception but DecodeError comes out of noise."""
    decodes_or_refuses(key, value, headers, config)


@settings(max_examples=1_000)
@given(st.data())
def test_mutated_messages_decode_or_are_refused(data: st.DataObject) -> None:
    """No exception but DecodeError comes out of a good message with changed bytes."""
    key, value, headers = data.draw(st.sampled_from(GOOD))
    content = bytearray(value)
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 4)))
        content[start:stop] = data.draw(st.binary(max_size=4))
    extra = data.draw(st.one_of(st.just([]), any_headers))
    decodes_or_refuses(
        key, bytes(content), [*headers, *extra], data.draw(st.sampled_from([AUTO, SMALL]))
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@settings(max_examples=400)
@given(json_values, json_values, json_values, st.sampled_from([AUTO, CodecConfig(dtype="int8")]))
def test_any_json_decodes_or_is_refused(x: Any, id: Any, y: Any, config: CodecConfig) -> None:
    """No exception but DecodeError comes out of JSON of any structure."""
    decodes_or_refuses(None, json.dumps({"x": x, "id": id, "y": y}).encode(), [], config)
