"""Decompression up to a bound: a few kilobytes on the wire can stand for gigabytes.

Nothing is allocated because the content says that it is so large, unless that is within
the bound.
"""

import gzip
import io
import struct
from collections.abc import Callable

import lz4.frame
import snappy
import zstandard
from kafka.record.default_records import DefaultRecordBatch as Batch

_PIECE_BYTES = 1024**2  # decompressed at a time
_WINDOW_BYTES = 8 * 1024**2  # what each decoder of Zstandard is asked to support at least
_XERIAL_MAGIC = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES = 16


class TooLargeError(ValueError):
    """Report content that is larger than the bound."""


def decompressed(codec: int, data: memoryview, max_bytes: int) -> bytearray:
    """Return what the content of a batch is once it is decompressed. O(max_bytes).

    Parameters
    ----------
    codec : int
        As the attributes of a batch name it.
    data : memoryview
    max_bytes : int

    Raises
    ------
    TooLargeError
        If it is more than max_bytes; at most a piece more has been decompressed then.
    ValueError
        If Kafka has no such codec.
    Exception
        What the codec's library raises where the content is damaged.
    """
    if codec == Batch.CODEC_GZIP:
        return _read(gzip.GzipFile(fileobj=io.BytesIO(data)).read, max_bytes)
    if codec == Batch.CODEC_SNAPPY:
        return _unsnapped(data, max_bytes)
    if codec == Batch.CODEC_LZ4:
        return _read(_Lz4Frame(data).read, max_bytes)
    if codec == Batch.CODEC_ZSTD:
        decoder = zstandard.ZstdDecompressor(max_window_size=max(max_bytes, _WINDOW_BYTES))
        return _read(decoder.stream_reader(data, read_across_frames=True).read, max_bytes)
    msg = f"unknown compression {codec}"
    raise ValueError(msg)


def _read(read: Callable[[int], bytes], max_bytes: int) -> bytearray:
    """Return all that a decompressing file holds, piece by piece."""
    found = bytearray()
    while piece := read(_PIECE_BYTES):
        found += piece
        _check(len(found), max_bytes)
    return found


class _Lz4Frame:
    """A frame of LZ4 as a file; that of the library is slow, since it reads 8 KiB at a time."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._decoder = data, lz4.frame.LZ4FrameDecompressor()

    def read(self, size: int) -> bytes:
        """Return at most so many of the next bytes; none at the end."""
        if self._decoder.eof:
            return b""
        piece: bytes = self._decoder.decompress(self._data, max_length=size)
        self._data = memoryview(b"")  # the decoder keeps what is left of it
        if not (piece or self._decoder.eof):
            msg = "the end of the frame is missing"
            raise EOFError(msg)
        return piece


def _unsnapped(data: memoryview, max_bytes: int) -> bytearray:
    """Return the content of a block of Snappy, or of those that the xerial library frames."""
    if data[: len(_XERIAL_MAGIC)] != _XERIAL_MAGIC:
        return _block(data, bytearray(), max_bytes)
    found, at = bytearray(), _XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            msg = f"a block of {size} bytes where {len(data) - at} are left"
            raise ValueError(msg)
        _block(data[at : at + size], found, max_bytes)
        at += size
    return found


def _block(data: memoryview, found: bytearray, max_bytes: int) -> bytearray:
    """Append the content of one block, which begins with its size once it is decompressed."""
    size = 0
    for place, byte in enumerate(data[:5]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    _check(len(found) + size, max_bytes)
    found += snappy.decompress(bytes(data))
    return found


def _check(size: int, max_bytes: int) -> None:
    """Refuse more than the bound."""
    if size > max_bytes:
        msg = f"it is more than {max_bytes} bytes once it is decompressed (max_batch_bytes)"
        raise TooLargeError(msg)
