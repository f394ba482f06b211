"""Good messages of the formats that native code reads, and damage that gets far into it.

`python -m tests.support.crashes.native_damage FORMAT FIRST NUMBER PROGRESS` decodes damaged
messages in this process, which may die of one; the file PROGRESS then has its number. Each number
stands for one message, whatever the others are.
"""

import io
import os
import resource
import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import ipc

from echo_stream.connectors.codecs import CodecConfig, DecodeError, Headers, decode, encode
from echo_stream.samples.validation import SampleSchema

MOST_CHANGES = 8
SPARE_BYTES = 2 * 1024**3  # of address space beside what the process has: threads take stacks
EXTREMES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 64, 255, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31,
            2**32 - 1, 2**40, 2**61, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)  # fmt: skip
JPEG_NOTABLE = [bytes([0xFF, kind]) for kind in (0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE)]

Spans = list[tuple[int, int]]
"""Places of a message, from and to, where damage means most."""


def arrow(table: pa.Table, new: Any = ipc.new_stream, **options: Any) -> bytes:
    """Return a table as an Arrow stream or file, in two record batches."""
    sink = io.BytesIO()
    with new(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max(len(table) // 2, 1))
    return sink.getvalue()


def image(format: str, mode: str, **options: Any) -> bytes:
    """Return a small image with some structure in it."""
    pixels = np.random.default_rng(3).integers(0, 256, (24, 20), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").convert(mode).save(content, format, **options)
    return content.getvalue()


def npy(x: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a `.npy` file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asanyarray(x), version)
    return content.getvalue()


def arrow_messages() -> list[bytes]:
    """Return Arrow of every type that is taken, and of some that are not."""
    x = np.arange(640, dtype=np.float32).reshape(10, 64)
    rows = [f"row {row}" for row in range(10)]
    nested = pa.array(x.reshape(10, 4, 16).tolist(), pa.list_(pa.list_(pa.float64())))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64)
    tables = [
        pa.table({"x": pa.array(x.tolist(), pa.list_(pa.float32()))}),
        pa.table({"x": pa.array(x.tolist(), pa.large_list(pa.float32())), "id": rows}),
        pa.table({"x": fixed, "y": ["a", None] * 5, "id": range(10)}),
        pa.table({"x": nested, "y": pa.array(rows, pa.large_string())}),
        pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x.reshape(10, 8, 8))}),
        pa.table(
            {"x": pa.array([row.tobytes() for row in x], pa.binary())}
        ).replace_schema_metadata({"x_dtype": "float32", "x_shape": "64"}),
        pa.table({"a": range(10), "b": x[:, 1], "c": x[:, 0] > 100, "label": [None, 1] * 5}),
        pa.table({"x": fixed, "y": pa.array(rows).dictionary_encode()}),
        pa.table({"x": fixed, "y": pa.array(rows, pa.string_view()), "z": [{"a": 1}] * 10}),
    ]
    kinds = (None, "zstd", "lz4")
    messages = [arrow(table, compression=kind) for table in tables for kind in kinds]
    return [*messages, *(arrow(table, ipc.new_file, compression="zstd") for table in tables)]


def npy_messages() -> list[bytes]:
    """Return `.npy` of every version, order and kind of number."""
    x = np.arange(24).reshape(2, 3, 4)
    kinds = ("?", "u1", "<i2", ">i4", "<f2", ">f4", "<f8", "<f4")
    return [
        *(npy(x.astype(kind), version) for kind in kinds for version in ((1, 0), (2, 0), (3, 0))),
        npy(np.asfortranarray(x)),
    ]


MESSAGES: dict[str, Callable[[], list[bytes]]] = {
    "arrow": arrow_messages,
    "png": lambda: [
        *(image("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        image("PNG", "P", transparency=0),
        image("PNG", "RGB", icc_profile=b"icc" * 9, dpi=(72, 72)),
    ],
    "jpeg": lambda: [
        *(image("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        image("JPEG", "RGB", progressive=True),
        image("JPEG", "RGB", subsampling=2, restart_marker_rows=1, optimize=True),
    ],
    "npy": npy_messages,
}


def notable(format: str, value: bytes) -> Spans:
    """Return where a message says what it holds: metadata, chunks, segments, the header."""
    if format == "arrow":
        starts = _all_places(value, b"\xff\xff\xff\xff")
        return [(at, at + 8 + int.from_bytes(value[at + 4 : at + 8], "little")) for at in starts]
    if format == "png":
        return [(at, at + 8 + size) for at, size in _png_chunks(value)]
    if format == "jpeg":
        return [(at, at + 24) for mark in JPEG_NOTABLE for at in _all_places(value, mark)]
    return [(0, 128)]


def _all_places(value: bytes, wanted: bytes) -> list[int]:
    """Return all places of some bytes."""
    places, at = [], value.find(wanted)
    while at >= 0:
        places.append(at)
        at = value.find(wanted, at + 1)
    return places


def _png_chunks(value: bytes) -> list[tuple[int, int]]:
    """Return place and size of each chunk of a PNG, as far as they follow one another."""
    found, at = [], 8
    while at + 12 <= len(value):
        size = int.from_bytes(value[at : at + 4], "big")
        found.append((at, size))
        at += 12 + size
    return found


def with_sums(value: bytes) -> bytes:
    """Return a PNG with the checksums of its chunks made right: damage is read then."""
    mended = bytearray(value)
    for at, size in _png_chunks(value):
        end = at + 8 + size
        mended[end : end + 4] = zlib.crc32(value[at + 4 : end]).to_bytes(4, "big")
    return bytes(mended[: len(value)])


@lru_cache
def good(format: str) -> list[tuple[bytes, Spans]]:
    """Return the good messages of a format, and where damage means most."""
    return [(value, notable(format, value)) for value in MESSAGES[format]()]


def damaged(format: str, number: int) -> bytes:
    """Return a message with several changes, most of them where they mean most."""
    rng = np.random.default_rng(number)
    messages = good(format)
    value, spans = messages[rng.integers(len(messages))]
    content = bytearray(value)
    for _ in range(rng.integers(1, MOST_CHANGES + 1)):
        start, end = (0, len(content))
        if rng.random() < 0.8:
            start, end = spans[rng.integers(len(spans))]
        _change(content, int(rng.integers(start, max(end, start + 1))), rng)
    if format == "png" and rng.random() < 0.8:
        return with_sums(bytes(content))
    return bytes(content)


def _change(content: bytearray, at: int, rng: np.random.Generator) -> None:
    """Change a byte, a word of some size, or some bytes' places or number."""
    kind = rng.random()
    if kind < 0.3:
        content[at : at + 1] = bytes([rng.integers(256)])
        return
    if kind < 0.9:
        size = int(rng.choice([1, 2, 4, 8]))
        at -= at % size
        order: Any = "little" if rng.random() < 0.8 else "big"
        before = int.from_bytes(content[at : at + size], order)
        near = before + int(rng.integers(-16, 17))
        word = near if rng.random() < 0.3 else EXTREMES[rng.integers(len(EXTREMES))]
        content[at : at + size] = (word % 256**size).to_bytes(size, order)
        return
    size, other = int(rng.integers(1, 33)), int(rng.integers(len(content) + 1))
    if kind < 0.96:
        content[at : at + size] = content[other : other + size]
    elif kind < 0.98:
        del content[at : at + size]
    else:
        del content[max(other, 16) :]


def decodes_or_refuses(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    config: CodecConfig,
    schema: SampleSchema | None = None,
) -> None:
    """Assert that a message is usable samples or a DecodeError of one line, and nothing else."""
    try:
        decoded = decode(key, value, headers, config, schema)
    except DecodeError as error:
        assert error.reason in ("decode", "schema", "nonfinite")
        assert str(error).isprintable()
        assert not isinstance(error.__cause__, MemoryError)
        return
    assert decoded.x.dtype.kind in "buif"
    assert decoded.x.dtype.isnative
    assert 0 < decoded.x.size <= config.max_elements
    assert np.isfinite(decoded.x.astype(np.float32)).all()
    for x, id, label in zip(decoded.x, decoded.ids, decoded.labels, strict=True):
        assert id is None or id.encode() is not None
        encode(x, id, label, "json")


def main(format: str, first: int, number: int, progress: Path) -> None:
    """Decode damaged messages, and say which one is under way in a file."""
    decode(None, good(format)[0][0], [], CodecConfig())  # threads and libraries are there now
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    declared: Any = "image" if format in ("png", "jpeg") else format
    config = CodecConfig(declared, max_message_bytes=65_536, max_elements=16_384, max_pixels=16_384)
    handle = os.open(progress, os.O_WRONLY | os.O_CREAT)
    for each in range(first, first + number):
        os.pwrite(handle, f"{each:12}".encode(), 0)
        decodes_or_refuses(None, damaged(format, each), [], config)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
