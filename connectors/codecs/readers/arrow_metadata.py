"""What an Arrow record batch says of itself, verified before Arrow reads it.

Arrow verifies that the metadata, a flatbuffer, is one of the type that it says it is. Whether
rows, buffers and body fit together is verified here, and each compressed buffer begins with
its size, which Arrow allocates.

Sources: Apache Arrow, `format/Message.fbs`; FlatBuffers, "Internals".
"""

import struct
from typing import Any, NamedTuple

_HEADER = 2  # field of Message
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = range(4)  # fields of RecordBatch
_SIZE_BYTES = 8  # of the size that a compressed buffer begins with


def verified_size(metadata: bytes, body: Any) -> int:
    """Return the bytes of all buffers of a record batch, as they are in memory.

    Parameters
    ----------
    metadata : bytes
        Flatbuffer of the message.
    body : buffer of bytes

    Raises
    ------
    ValueError, struct.error
        The two do not fit together, or a column has an impossible number of rows.

    Notes
    -----
    O(columns + buffers). Buffers may overlap; each counts.
    """
    batch = _Table(metadata, _unsigned(metadata, 0)).table(_HEADER)
    rows = [(batch.number(_LENGTH, "<q"), 0), *batch.vector(_NODES, "<qq")]
    if not all(0 <= nulls <= length for length, nulls in rows):
        msg = "a column has an invalid row or null count"
        raise ValueError(msg)
    places = batch.vector(_BUFFERS, "<qq")
    size = len(body)
    if not all(0 <= offset <= offset + length <= size for offset, length in places):
        msg = f"a buffer lies outside the body of {size} bytes"
        raise ValueError(msg)
    if not batch.has(_COMPRESSION):
        return sum(length for _, length in places)
    return sum(_size_of(body, offset, length) for offset, length in places)


def _size_of(body: Any, offset: int, length: int) -> int:
    """Return the size of a compressed buffer; -1 stands for one that was not worth it."""
    if length == 0:
        return 0
    if length < _SIZE_BYTES:
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
        """Return whether a field is there."""
        return bool(self._offset(field))

    def table(self, field: int) -> "_Table":
        """Return the table that a field refers to."""
        return _Table(self.data, self._target(field))

    def number(self, field: int, kind: str) -> int:
        """Return the number in a field; 0 if it is not there."""
        offset = self._offset(field)
        return int(struct.unpack_from(kind, self.data, self.place + offset)[0]) if offset else 0

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
