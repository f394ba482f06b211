"""Fuzzing of `decode`: a message is usable samples or a DecodeError, never anything else.

`make fuzz MESSAGES=10000 DAMAGED=100000` looks longer. Memory is what a process may allocate:
more than the limits of a message explain would end the test with a MemoryError.
"""

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import ipc

from echo_stream.connectors.codecs import (
    CodecConfig,
    DecodeError,
    Headers,
    decode,
    encode,
    encode_batch,
)
from echo_stream.samples.validation import SampleSchema, as_samples
from tests.support.crashes import native_damage
from tests.support.crashes.native_damage import SPARE_BYTES, decodes_or_refuses, npy

MESSAGES = int(os.environ.get("ECHO_STREAM_FUZZ_MESSAGES", "300"))
DAMAGED = int(os.environ.get("ECHO_STREAM_FUZZ_DAMAGED", "10_000"))  # of each native format
X = np.arange(6, dtype=np.float32).reshape(2, 3)
AUTO = CodecConfig()
SMALL = CodecConfig(
    dtype="float32", shape=(2, 3), max_message_bytes=4_096, max_elements=64, max_pixels=32
)


def image(format: str, mode: str) -> bytes:
    """Return a small image."""
    buffer = io.BytesIO()
    Image.fromarray(X.astype(np.uint8)).convert(mode).save(buffer, format)
    return buffer.getvalue()


def arrow(columns: dict[str, Any], new: Any = ipc.new_stream, **options: Any) -> bytes:
    """Return columns as an Arrow stream or file."""
    table = pa.table(columns)
    sink = io.BytesIO()
    with new(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


COLUMNS = {"x": X.tolist(), "y": ["cat", None], "id": [7, 8]}
GOOD: dict[str, list[tuple[bytes | None, bytes, Headers]]] = {
    "raw": [encode(X, "id", "cat", "raw"), (None, X.tobytes(), [])],
    "npy": [encode(X, "id", 7, "npy"), (None, npy(np.asfortranarray(X)), [])],
    "json": [
        encode(X, "id", "cat", "json"),
        (b"key", b'{"id": 7, "x": [[1, 2.5e3], [-3, 4]], "y": null}', []),
    ],
    "arrow": [
        *encode_batch(as_samples(X, ["a", "b"])),
        (None, arrow(COLUMNS), []),
        (None, arrow(COLUMNS, ipc.new_file, compression="zstd"), []),
        (None, arrow(COLUMNS, compression="lz4"), []),
        (None, arrow({"a": [1, 2], "b": [0.5, 1.5]}), []),
        (None, arrow({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(X)}), []),
    ],
    "image": [
        *((None, image("PNG", mode), []) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *((None, image("JPEG", mode), []) for mode in ("L", "RGB", "CMYK")),
    ],
}
STARTS = sorted({value[:8] for messages in GOOD.values() for _, value, _ in messages})
junk = st.one_of(
    st.binary(max_size=64),
    st.tuples(st.sampled_from(STARTS), st.binary(max_size=64)).map(b"".join),
    st.sampled_from([b"float32", b"<f8", b"2,3", b"application/json", b"application/x-npy", b"5"]),
)
any_headers = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "dtype", "shape", "id", "label", "other"]),
        st.none() | junk,
    ),
    max_size=6,
)
formats = pytest.mark.parametrize("format", GOOD)
fuzzed = settings(
    max_examples=MESSAGES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let the process allocate no more than some messages of the largest allowed size."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        pages = int(file.read().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@fuzzed
@formats
@given(st.none() | junk, st.none() | junk, any_headers, st.booleans())
@pytest.mark.usefixtures("little_memory")
def test_random_messages_decode_or_are_refused(
    format: Any, key: bytes | None, value: bytes | None, headers: Headers, is_auto: bool
) -> None:
    """No exception but DecodeError comes out of noise."""
    config = AUTO if is_auto else CodecConfig(format, "float32", (2, 3), max_message_bytes=4_096)
    decodes_or_refuses(key, value, headers, config)


@pytest.mark.slow
@fuzzed
@formats
@given(st.data())
@pytest.mark.usefixtures("little_memory")
def test_mutated_messages_decode_or_are_refused(format: Any, data: st.DataObject) -> None:
    """No exception but DecodeError comes out of a good message with changed bytes."""
    key, value, headers = data.draw(st.sampled_from(GOOD[format]))
    content = bytearray(value)
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 4)))
        content[start:stop] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f" * 8])
        )
    extra = data.draw(st.one_of(st.just([]), any_headers))
    config = data.draw(st.sampled_from([AUTO, SMALL, CodecConfig(format, "float32", (2, 3))]))
    schema = data.draw(st.sampled_from([None, SampleSchema((2, 3), "uint8")]))
    decodes_or_refuses(key, bytes(content), [*headers, *extra], config, schema)


@pytest.mark.slow
@pytest.mark.parametrize("format", native_damage.MESSAGES)
def test_damage_kills_no_decoder(format: str, tmp_path: Path) -> None:
    """Several changes at once, where a message says what it holds, in a process that may die."""
    progress = tmp_path / "number"
    words = [sys.executable, "-m", native_damage.__name__, format, "0", f"{DAMAGED}", f"{progress}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"message {progress.read_text()}: {done.returncode} {done.stderr}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@fuzzed
@given(json_values, json_values, json_values, st.sampled_from([AUTO, CodecConfig(dtype="int8")]))
def test_any_json_decodes_or_is_refused(x: Any, id: Any, y: Any, config: CodecConfig) -> None:
    """No exception but DecodeError comes out of JSON of any structure."""
    decodes_or_refuses(None, json.dumps({"x": x, "id": id, "y": y}).encode(), [], config)


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
@pytest.mark.parametrize("bracket", [b"[", b'{"x":'])
def test_deep_json_is_refused(bracket: bytes, size: int) -> None:
    """However deep: the parser stops before the stack ends, whether brackets are closed or not."""
    close = b"]" if bracket == b"[" else b"}"
    for end in (b"", b"1" + close * size + b"}"):
        with pytest.raises(DecodeError) as caught:
            decode(None, b'{"x": ' + bracket * size + end, [], AUTO)
        assert caught.value.reason in ("decode", "schema")


@pytest.mark.parametrize("item", [b"[]", b"{}", b'""', b"[[]]", b'{"":{}}'])
@pytest.mark.usefixtures("little_memory")
def test_json_of_many_small_things_is_refused(item: bytes) -> None:
    """What Python makes of a few bytes is large, but not beyond what is bounded."""
    size = AUTO.max_message_bytes // (len(item) + 1) - 10
    with pytest.raises(DecodeError) as caught:
        decode(None, b'{"x": [' + b",".join([item] * size) + b"]}", [], AUTO)
    assert not isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.parametrize("number", [b"9" * 400, b"9" * 5_000, b"NaN", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(number: bytes) -> None:
    """Beyond the floats, beyond what Python reads, or JavaScript's."""
    with pytest.raises(DecodeError) as caught:
        decode(None, b'{"x": [1, ' + number + b"]}", [], AUTO)
    assert caught.value.reason == ("decode" if len(number) == 5_000 else "nonfinite")
