"""Which offsets have been counted: half-open ranges of each partition, and their union."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from echo_stream.errors import StateError

Range: TypeAlias = tuple[int, int]
"""Offsets from the first up to, and without, the second."""

Ranges: TypeAlias = Mapping[str, Sequence[Range]]
"""The ranges of each "topic/partition"."""


def union(parts: Iterable[Ranges]) -> dict[str, list[Range]]:
    """Return what several parts cover together, with neighbours joined. O(n log n).

    Raises
    ------
    StateError
        If two of them cover the same offset: it would be counted twice.

    Examples
    --------
    >>> union([{"events/0": [(0, 5), (9, 12)]}, {"events/0": [(5, 9)], "events/1": [(3, 3)]}])
    {'events/0': [(0, 12)]}
    """
    found: dict[str, list[Range]] = defaultdict(list)
    for part in parts:
        for name, ranges in part.items():
            found[name] += [(begin, end) for begin, end in ranges if end > begin]
    return {name: _joined(name, sorted(ranges)) for name, ranges in sorted(found.items()) if ranges}


def ends_of(covered: Ranges, start: Mapping[str, int]) -> dict[str, int]:
    """Return the next offset of each partition: one range must lead there from its start.

    Raises
    ------
    StateError
        If offsets before the end have not been counted, or some before the start have.

    Examples
    --------
    >>> ends_of({"events/0": [(2, 12)]}, {"events/0": 2, "events/1": 7})
    {'events/0': 12, 'events/1': 7}
    """
    unknown = sorted(covered.keys() - start.keys())
    if unknown:
        msg = f"{unknown[0]} has been counted, but the group has recorded no start of it"
        raise StateError(msg)
    return {name: _end(name, covered.get(name, ()), begin) for name, begin in start.items()}


def _joined(name: str, ranges: list[Range]) -> list[Range]:
    """Join neighbours among sorted ranges."""
    joined = ranges[:1]
    for begin, end in ranges[1:]:
        last_begin, last_end = joined[-1]
        if begin < last_end:
            msg = (
                f"offsets {begin} to {min(end, last_end)} of {name} are counted twice; "
                "the segments of this state do not belong together"
            )
            raise StateError(msg)
        if begin == last_end:
            joined[-1] = (last_begin, end)
        else:
            joined.append((begin, end))
    return joined


def _end(name: str, ranges: Sequence[Range], begin: int) -> int:
    """Return the end of the only range from begin on."""
    if not ranges:
        return begin
    first, end = ranges[0]
    if first != begin:
        msg = f"{name} is counted from offset {first} on, but its start is {begin}; {_LOST}"
        raise StateError(msg)
    if len(ranges) > 1:
        msg = f"offsets {end} to {ranges[1][0]} of {name} are not counted; {_LOST}"
        raise StateError(msg)
    return end


_LOST = "a segment has been lost or is damaged; put it back, or use another state"
