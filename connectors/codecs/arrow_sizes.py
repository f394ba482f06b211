"""How large an Arrow record batch is once it is uncompressed, without uncompressing it.

Each compressed buffer begins with its size, which Arrow allocates; where buffers are is
in the message's metadata, a flatbuffer of which two vectors are needed.

Sources: Apache Arrow, `format/Message.fbs`; FlatBuffers, "Internals".
"""

import struct
from typing import Any, NamedTuple

_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3  # fields of Message, and of RecordBatch
_SIZE_BYTES = 8  # of the size that a compressed buffer begins with


def uncompressed_size(metadata: bytes, body: Any) -> int:
    """Return the bytes of all buffers of a record batch, as they are in memory.

    Parameters
    ----------
    metadata : bytes
        Flatbuffer of the message.
    body : buffer of bytes

    Raises
    ------
    ValueError, struct.error
        The two do not fit together.

    Notes
    -----
    O(buffers). Buffers may overlap; each counts.
    """
    message = _Table(metadata, _unsigned(metadata, 0))
    batch = message.table(_HEADER)
    places = batch.vector(_BUFFERS, "<qq")
    if not batch.has(_COMPRESSION):
        return sum(length for _, length in places)
    return sum(_size_of(body, offset, length) for offset, length in places)


def _size_of(body: Any, offset: int, length: int) -> int:
    """Return the size of a compressed buffer; -1 stands for one that was not worth it."""
    if length == 0:
        return 0
    if min(offset, length - _SIZE_BYTES) < 0:
        msg = "a compressed buffer has no size"
        raise ValueError(msg)
    (size,) = struct.unpack_from("<q", body, offset)
    if size < -1:
        msg = f"a compressed buffer has the size {size}"
        raise ValueError(msg)
    return length - _SIZE_BYTES if size == -1 else int(size)


class _Table(NamedTuple):
    """A table of a flatbuffer, and where it is."""

    data: bytes
    place: int

    def has(self, field: int) -> bool:
        """Tell whether a field is there."""
        return bool(self._offset(field))

    def table(self, field: int) -> "_Table":
        """Return the table that a field refers to."""
        return _Table(self.data, self._target(field))

    def vector(self, field: int, item: str) -> list[tuple[int, ...]]:
        """Return the structures of the vector that a field refers to."""
        place = self._target(field)
        end = place + 4 + _unsigned(self.data, place) * struct.calcsize(item)
        return list(struct.iter_unpack(item, self.data[place + 4 : end]))

    def _target(self, field: int) -> int:
        """Return where a field points to."""
        offset = self._offset(field)
        if not offset:
            msg = f"field {field} is missing"
            raise ValueError(msg)
        place = self.place + offset
        return place + _unsigned(self.data, place)

    def _offset(self, field: int) -> int:
        """Return how far a field is from its table; 0 if it is not there."""
        (back,) = struct.unpack_from("<i", self.data, self.place)
        vtable = self.place - back
        (size,) = struct.unpack_from("<H", self.data, vtable)
        entry = 4 + 2 * field
        return struct.unpack_from("<H", self.data, vtable + entry)[0] if entry < size else 0


def _unsigned(data: bytes, place: int) -> int:
    """Return the 32-bit number at a place."""
    return int(struct.unpack_from("<I", data, place)[0])
