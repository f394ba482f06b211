"""Records that have been polled and not decoded, and the positions that move past them."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from kafka import TopicPartition

from echo_stream.connectors.kafka_offsets import Offsets


class WaitingRecords:
    """Records of several partitions, in order; those that came before are left out.

    Parameters
    ----------
    offsets : Offsets
        Moved past each record that is taken.
    """

    def __init__(self, offsets: Offsets) -> None:
        self._offsets = offsets
        self._chunks: deque[tuple[TopicPartition, Sequence[Any]]] = deque()
        self._at = 0  # of the first chunk's records so many have been taken

    def __bool__(self) -> bool:
        """Tell whether any waits."""
        return bool(self._chunks)

    def extend(self, chunks: Iterable[tuple[TopicPartition, Sequence[Any]]]) -> None:
        """Let records wait that have been polled. O(records)."""
        for partition, records in chunks:
            places = self._offsets.fresh(partition, [record.offset for record in records])
            is_all = len(places) == len(records)
            if places:
                kept = records if is_all else [records[place] for place in places]
                self._chunks.append((partition, kept))

    def next(self, max_records: int) -> Sequence[Any]:
        """Return the next records, of one partition and at most so many; they go on waiting."""
        return self._chunks[0][1][self._at : self._at + max_records] if self._chunks else ()

    def take(self, number: int) -> None:
        """Move past so many of those that `next` has returned, one at least. O(1)."""
        partition, records = self._chunks[0]
        self._at += number
        self._offsets.move_past(partition, records[self._at - 1].offset, number)
        if self._at == len(records):
            self._chunks.popleft()
            self._at = 0
