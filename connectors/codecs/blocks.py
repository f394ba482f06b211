"""Messages of one layout, decoded together: raw values, and `.npy` of one header.

What a message costs in Python is more than what its bytes cost in numpy, so a run of
messages is joined and looked at as one array.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.formats import MAGIC_STARTS, declared_format, likely_format
from echo_stream.connectors.codecs.messages import Content, DecodeError, Named
from echo_stream.connectors.codecs.readers.arrays import header_of, npy_layout
from echo_stream.connectors.files.layouts import Layout, as_rows, raw_layout
from echo_stream.errors import DataError

_MAX_HEADER = 100  # bytes of a header that describes a value; longer ones are odd
_NO_HEADERS: tuple[bytes | None, ...] = (None, None, None)


class Block(NamedTuple):
    """How each message of a run holds its sample.

    Attributes
    ----------
    layout : Layout
    header : bytes
        What comes before the elements.
    """

    layout: Layout
    header: bytes

    def read(self, values: Sequence[Content | None]) -> Array:
        """Return the samples of messages that `Blocks.of` found to be of this block.

        Returns
        -------
        ndarray of shape (n, ...)
            In native byte order, contiguous and writable; values need not be finite.

        Notes
        -----
        O(bytes), with a handful of calls of numpy whatever n is.
        """
        n = len(values)
        content = bytearray().join(values)  # type: ignore[arg-type]  # none of them is None
        if not self.header:
            return as_rows(content, self.layout, n)
        rows = np.frombuffer(content, np.uint8).reshape(n, -1)
        return as_rows(np.ascontiguousarray(rows[:, len(self.header) :]).data, self.layout, n)


class Blocks:
    """Tell which messages can be decoded together.

    Parameters
    ----------
    config : CodecConfig

    Attributes
    ----------
    is_native : bool
        Whether the message that `of` was asked of last is decoded by native code, which it may
        kill, with its process.

    Examples
    --------
    >>> blocks = Blocks(CodecConfig("raw", "uint8", (2,)))
    >>> block = blocks.of(b"ab", {})
    >>> block == blocks.of(b"cd", {}), blocks.of(b"abc", {}) is None
    (True, True)
    >>> block.read([b"ab", b"cd"]).tolist()
    [[97, 98], [99, 100]]
    """

    def __init__(self, config: CodecConfig) -> None:
        self._config = config
        self._plan = lru_cache(maxsize=256)(self._new_plan)
        self._npy: Block | None = None  # of the last `.npy`
        self.is_native = False

    def of(self, value: bytes, named: Named) -> Block | None:
        """Return the block that a message is of; None where it has to be decoded alone.

        So has every message that `decode` would refuse for its size or layout, and every one
        with a header `change`. O(1), but for headers that have not been seen before.
        """
        config = self._config
        self.is_native = config.codec is not None
        if config.has_payloads:  # JSON, else what Arrow or an encoder reads
            self.is_native = not (config.is_encoded or value.lstrip()[:1] == b"{")
        if self.is_native or config.has_payloads or "change" in named:
            return None
        declared = _NO_HEADERS
        if named:
            declared = (named.get("content-type"), named.get("dtype"), named.get("shape"))
            for text in declared:
                if text is not None and len(text) > _MAX_HEADER:
                    self.is_native = True  # we cannot tell: its codec may be
                    return None
        format, raw = self._plan(*declared, len(value))
        if format == "auto":
            if raw is not None and value[:1] not in MAGIC_STARTS:
                return raw
            try:
                format = likely_format(value, named, self._config)
            except DataError:  # which `decode` raises too
                return None
        self.is_native = format in ("arrow", "image")
        if format == "npy":
            return self._npy_block(value)
        return raw if format == "raw" else None

    def of_all(self, values: Sequence[Content | None]) -> Block | None:
        """Return the block of messages without headers, if all are raw and of one.

        None: they have to be looked at one by one. O(n), with hardly any Python.
        """
        is_alone = self._config.codec is not None or self._config.has_payloads
        if is_alone or any(value is None for value in values):
            return None
        sizes = set(map(len, values))  # type: ignore[arg-type]  # None is not among them
        if len(sizes) != 1:
            return None
        format, raw = self._plan(*_NO_HEADERS, sizes.pop())
        is_raw = format == "raw" or (
            format == "auto" and MAGIC_STARTS.isdisjoint([bytes(value[:1]) for value in values])  # type: ignore[index]
        )
        return raw if is_raw else None

    def _new_plan(
        self, content_type: bytes | None, dtype: bytes | None, shape: bytes | None, size: int
    ) -> tuple[str | None, Block | None]:
        """Return the format of messages declared so, and their block if they are raw."""
        if size > self._config.max_message_bytes:
            return None, None
        try:
            format = declared_format({"content-type": content_type}, self._config) or "auto"
        except DecodeError:  # a message decoded alone says what is wrong
            return None, None
        return format, self._raw_block(
            dtype or self._config.dtype, shape or self._config.shape, size
        )

    def _raw_block(
        self, dtype: bytes | str | None, shape: bytes | tuple[int, ...] | None, size: int
    ) -> Block | None:
        """Return the block of raw values of a size, if that is what their layout needs."""
        if dtype is None or shape is None:
            return None
        try:
            layout = raw_layout(dtype, shape)
        except DataError:  # a message decoded alone says what is wrong
            return None
        return Block(layout, b"") if self._fits(layout, size) else None

    def _npy_block(self, value: bytes) -> Block | None:
        """Return the block of a `.npy`; the header's length is in the header."""
        if self._npy is None or not value.startswith(self._npy.header):
            try:
                header = header_of(value)
                self._npy = Block(npy_layout(header), header)
            except DataError:  # a message decoded alone says what is wrong
                return None
        size = len(value) - len(self._npy.header)
        return self._npy if self._fits(self._npy.layout, size) else None

    def _fits(self, layout: Layout, size: int) -> bool:
        """Return whether elements of so many bytes are a whole sample that may be read."""
        is_plain = layout.order == "C" or len(layout.shape) == 1
        return is_plain and layout.size == size and layout.num_elements <= self._config.max_elements
