"""Messages that are PNG or JPEG."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, decode
from echo_stream.connectors.files.data_files import read_file
from echo_stream.samples.validation import SampleSchema

AUTO = CodecConfig()
UNLIMITED = CodecConfig("image", max_pixels=10**9, max_elements=10**9)
GREY, COLOURED = SampleSchema((2, 3), "uint8"), SampleSchema((2, 3, 3), "uint8")
COLOURS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def image(pixels: Any, format: str = "PNG", mode: str | None = None) -> bytes:
    """Return pixels as an image, converted to a mode."""
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(buffer, format)
    return buffer.getvalue()


def declared(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def refused(value: bytes, config: CodecConfig = AUTO) -> DecodeError:
    """Return the error that a value brings, of one line."""
    with pytest.raises(DecodeError) as caught:
        decode(None, value, [], config)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_png_with_id_and_label() -> None:
    """Pixels as they are; id and label as for all messages of one sample."""
    found = decode(b"7", image(COLOURS), [("label", b"cat")], AUTO)
    np.testing.assert_array_equal(found.x, COLOURS[np.newaxis])
    assert found._replace(x=COLOURS) == Decoded(COLOURS, ("7",), ("cat",))


@pytest.mark.parametrize("content_type", [b"image/png", b"image/jpeg"])
def test_jpeg_by_content_type(content_type: bytes) -> None:
    """Either name will do: the first bytes say which it is."""
    value = image(np.full((8, 8), 100, np.uint8), "JPEG")
    x = decode(None, value, [("content-type", content_type)], AUTO).x
    assert x.shape == (1, 8, 8)
    assert np.abs(x.astype(int) - 100).max() <= 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize(
    "before", [None, SampleSchema((2, 3), "uint8"), SampleSchema((2, 3, 3), "uint8")]
)
def test_colours_are_those_of_a_folder(
    mode: str, before: SampleSchema | None, tmp_path: Path
) -> None:
    """Grey or not: as the samples before, else as the image is, as from files."""
    value = image(COLOURS, mode=mode)
    if before is not None:
        first = image(COLOURS, mode="L" if len(before.shape) == 2 else "RGB")
        (tmp_path / "0.png").write_bytes(first)
    (tmp_path / "1.png").write_bytes(value)
    x = decode(None, value, [], AUTO, before).x
    np.testing.assert_array_equal(x[0], read_file(tmp_path).x[-1])
    assert x.shape[1:] == ((2, 3) if mode in ("1", "L", "LA") else (2, 3, 3)) or before is not None


@pytest.mark.parametrize(
    "config", [AUTO, CodecConfig("image", max_pixels=10**9, max_elements=10**9)]
)
def test_bombs_are_refused_by_their_size(config: CodecConfig) -> None:
    """By our limits, and by Pillow's where ours are higher."""
    assert "pixels" in str(refused(declared(30_000, 30_000), config))


def test_limits_count_pixels_and_values() -> None:
    """A pixel has three values unless it is grey."""
    value = image(COLOURS)
    decode(None, value, [], CodecConfig(max_pixels=6, max_elements=18))
    assert "6 pixels, more than the limit of 5" in str(refused(value, CodecConfig(max_pixels=5)))
    assert "18 elements, more than" in str(refused(value, CodecConfig(max_elements=17)))
    decode(None, image(COLOURS, mode="L"), [], CodecConfig(max_elements=6))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (image(np.ones((2, 2), np.uint16)), "more than 8 bits"),
        (image(COLOURS)[:-30], "invalid image"),
        (b"\x89PNG\r\n\x1a\n", "invalid image"),
        (b"\xff\xd8\xff", "invalid image"),
    ],
)
def test_damaged_images_are_refused(value: bytes, words: str) -> None:
    """Words say what is wrong."""
    error = refused(value)
    assert (error.reason, words in str(error)) == ("decode", True), error


def test_other_images_are_refused() -> None:
    """Only two of Pillow's decoders see bytes of strangers."""
    assert "invalid image" in str(refused(image(COLOURS, "BMP"), CodecConfig("image")))


def test_raw_values_may_begin_like_a_jpeg_or_arrow() -> None:
    """Where a raw layout is declared and the size is right, four bytes prove nothing."""
    config = CodecConfig(dtype="uint8", shape=(8,))
    for start in (b"\xff\xd8\xff\xe0", b"\xff" * 4):
        value = start + b"\0" * 4
        assert decode(None, value, [], config).x.tobytes() == value
