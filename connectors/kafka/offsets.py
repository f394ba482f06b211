"""Offsets: which record is next, which were skipped, and which are not in the log any more."""

import logging
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from kafka import TopicPartition

from echo_stream.connectors.kafka.records import Records
from echo_stream.errors import OffsetsError, SettingName
from echo_stream.run.observer import PartitionProgress
from echo_stream.samples.source import Skipped

logger = logging.getLogger(__name__)


def partition_name(partition: TopicPartition) -> str:
    """Return what offsets call a partition."""
    return f"{partition.topic}/{partition.partition}"


class Offsets:
    """The next offset of each partition, which only ever grows.

    Parameters
    ----------
    following : mapping
        Partition to next offset.

    Examples
    --------
    >>> partition = TopicPartition("events", 0)
    >>> offsets = Offsets({partition: 5})
    >>> offsets.fresh(partition, [5, 5, 8]), offsets.fresh(partition, [8, 9])
    ([0, 2], [1])
    >>> offsets.move_past(partition, 5, 1), offsets.move_past(partition, 8, 1)
    (None, None)
    >>> offsets.following[partition], offsets.take_skipped(), offsets.take_skipped()
    (9, Skipped(gaps=2, replayed=2, tombstones=0), Skipped(gaps=0, replayed=0, tombstones=0))
    """

    def __init__(self, following: Mapping[TopicPartition, int]) -> None:
        self.following = dict(following)
        self._arriving = dict(following)  # after what has arrived and still waits
        self._gaps = self._replayed = 0

    def fresh(self, partition: TopicPartition, offsets: list[int]) -> Sequence[int]:
        """Return the places of those offsets that have not come before. O(n).

        The others are counted as replayed; the caller must not move past them.
        """
        first, n = self._arriving[partition], len(offsets)
        # Nearly always there is none between the first and the last, nor one twice.
        if n and offsets[0] >= first and offsets == list(range(offsets[0], offsets[0] + n)):
            self._arriving[partition] = offsets[-1] + 1
            return range(n)
        places = []
        for place, offset in enumerate(offsets):
            if offset >= first:
                places.append(place)
                first = offset + 1
        self._replayed += n - len(places)
        self._arriving[partition] = first
        return places

    def add(self, first: Mapping[TopicPartition, int]) -> None:
        """Follow more partitions from their first offsets on; what was before is a gap."""
        self.following |= first
        self._arriving |= first
        self._gaps += sum(first.values())

    def move_past(self, partition: TopicPartition, last: int, number: int) -> None:
        """Move past the next records of a partition, by the offset of their last one. O(1)."""
        self._gaps += last + 1 - self.following[partition] - number
        self.following[partition] = last + 1

    def pass_to(self, partition: TopicPartition, offset: int) -> None:
        """Skip offsets that hold no record, and count them as a gap. O(1)."""
        self._gaps += max(offset - self.following[partition], 0)
        self.following[partition] = max(offset, self.following[partition])

    def take_skipped(self) -> Skipped:
        """Return what was skipped since the last call."""
        skipped = Skipped(self._gaps, self._replayed)
        self._gaps = self._replayed = 0
        return skipped

    def by_name(self) -> dict[str, int]:
        """Return the next offset of each "topic/partition"."""
        return {partition_name(each): offset for each, offset in sorted(self.following.items())}


def resume_offsets(
    offsets: Mapping[str, int],
    first: Mapping[TopicPartition, int],
    last: Mapping[TopicPartition, int],
    *,
    same_topics: Container[str],
    accept: bool,
    may_go_back: bool = True,
) -> dict[TopicPartition, int]:
    """Return where to read on from offsets, in logs that may have changed since.

    Parameters
    ----------
    offsets : mapping
        Next offset of each "topic/partition"; one that they do not name begins where its log does.
    first, last : mapping
        Of each partition the first offset in its log, and the one after its last.
    same_topics : container of str
        Topics that are known to be the logs that the offsets are of.
    accept : bool
        Go on where an offset is not in its log: from the beginning of the log. Only one
        beyond the end of a log that is known to be the same goes on from its end.
    may_go_back : bool
        Accept that reading goes on at an offset before the one that was counted up to.

    Raises
    ------
    OffsetsError
        If an offset is not in its log, unless that is accepted.

    Examples
    --------
    >>> partition = TopicPartition("events", 0)
    >>> def resume(offset, same=()):
    ...     stored = {"events/0": offset}
    ...     logs = ({partition: 5}, {partition: 9})
    ...     return resume_offsets(stored, *logs, same_topics=same, accept=True)[partition]
    >>> resume(7), resume(2), resume(12), resume(12, same={"events"})
    (7, 5, 5, 9)
    >>> logs, group = ({partition: 5}, {partition: 9}), {"accept": True, "may_go_back": False}
    >>> resume_offsets({"events/0": 2}, *logs, same_topics=(), **group)[partition]
    5
    >>> resume_offsets({"events/0": 12}, *logs, same_topics=(), **group)
    Traceback (most recent call last):
    ...
    echo_stream.errors.OffsetsError: events/0 is counted up to offset 12, but its log now \
begins at 5 and ends before 9, and a group never counts an offset twice; give another state
    """
    following: dict[TopicPartition, int] = {}
    lost: list[_Lost] = []
    for partition, begin in first.items():
        name, end = partition_name(partition), last[partition]
        following[partition] = offset = offsets.get(name, begin)
        if begin <= offset <= end:
            continue
        is_truncated = offset > end and partition.topic in same_topics
        following[partition] = end if is_truncated else begin
        log = f"its log now begins at {begin} and ends before {end}"
        goes_back = following[partition] < offset
        lost.append(_Lost(name, offset, log, f"from {following[partition]}", goes_back))
    names = set(map(partition_name, first))
    lost += [
        _Lost(name, offset, "it is not there any more", "without it", goes_back=False)
        for name, offset in sorted(offsets.items())
        if name not in names
    ]
    back = [each for each in lost if each.goes_back]
    if back and not may_go_back:
        msg = f"{back[0]}, and a group never counts an offset twice; give another "
        raise OffsetsError(msg, SettingName("state"))
    if accept:
        for each in lost:
            logger.warning("%s; going on %s", each, each.remedy)
    elif lost:
        raise _refusal(lost)
    return following


class _Lost(NamedTuple):
    """An offset that is not in its log, and how to go on without it."""

    name: str
    offset: int
    log: str
    remedy: str
    goes_back: bool

    def __str__(self) -> str:
        return f"{self.name} is counted up to offset {self.offset}, but {self.log}"


def _refusal(lost: Sequence[_Lost]) -> OffsetsError:
    """Return the error of offsets that are not in their logs."""
    more = f", and {len(lost) - 1} more partitions likewise" if len(lost) > 1 else ""
    return OffsetsError(
        f"{lost[0]}{more}; give ",
        SettingName("accept_source"),
        f" to continue {lost[0].remedy}; missing offsets are reported as a gap; or give another ",
        SettingName("state"),
    )


class ReadRecords:
    """Records read by this process: how many, how large, and when the newest was written."""

    def __init__(self) -> None:
        self._records: Counter[TopicPartition] = Counter()
        self._bytes: Counter[TopicPartition] = Counter()
        self._newest_ms: dict[TopicPartition, int] = {}

    def take(self, chunks: Iterable[tuple[TopicPartition, Records]]) -> None:
        """Take in records of some partitions, of which no part is empty. O(records)."""
        for partition, records in chunks:
            self._records[partition] += len(records)
            self._bytes[partition] += records.content_bytes
            self._newest_ms[partition] = records.origins[-1].timestamp

    def progress(self, partition: TopicPartition, end: int | None) -> PartitionProgress:
        """Return the progress of a partition whose log ends before an offset."""
        return PartitionProgress(
            end, self._newest_ms.get(partition), self._records[partition], self._bytes[partition]
        )
