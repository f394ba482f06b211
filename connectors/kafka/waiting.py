"""Records that have been polled and not decoded, and the positions that move past them."""

from collections import deque
from collections.abc import Iterable

from kafka import TopicPartition

from echo_stream.connectors.kafka.offsets import Offsets
from echo_stream.connectors.kafka.records import Records


class WaitingRecords:
    """Records of several partitions, in order; those that came before are left out.

    Parameters
    ----------
    offsets : Offsets
        Moved past each record that is taken.
    """

    def __init__(self, offsets: Offsets) -> None:
        self._offsets = offsets
        self._chunks: deque[tuple[TopicPartition, Records]] = deque()
        self._at = 0  # of the first chunk's records so many have been taken

    def __bool__(self) -> bool:
        """Tell whether any waits."""
        return bool(self._chunks)

    def extend(self, chunks: Iterable[tuple[TopicPartition, Records]]) -> None:
        """Let records wait that have been polled. O(records)."""
        for partition, records in chunks:
            places = self._offsets.fresh(partition, records.offsets)
            if places:
                is_all = len(places) == len(records)
                self._chunks.append((partition, records if is_all else records.picked(places)))

    def next(self, max_records: int) -> Records:
        """Return the next records, of one partition and at most so many; they go on waiting."""
        if not self._chunks:
            return Records()
        records = self._chunks[0][1]
        if not self._at and len(records) <= max_records:
            return records
        return records[self._at : self._at + max_records]

    def take(self, number: int) -> None:
        """Move past so many of those that `next` has returned, one at least. O(1)."""
        partition, records = self._chunks[0]
        self._at += number
        last, lost = records.origins[self._at - 1].offset, records.lost
        self._offsets.move_past(partition, last, number if lost is None else lost.number)
        if self._at == len(records):
            self._chunks.popleft()
            self._at = 0
