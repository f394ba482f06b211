"""A bounded, ordered set of members: the paper's support heap, and the same for the core."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from operator import itemgetter

from sortedcontainers import SortedKeyList

from echo_stream.samples.members import Member, Tie, copies, cross_off

_FIRST_TIE: Tie = (-1, "", 0)  # before that of any sample
_MEMBER = itemgetter(1)  # of an entry
_MAX_SHARED = 1_000  # entries; a longer list of sortedcontainers writes an index when it is read


class BoundedPool:
    """The members with the smallest (key, tie), at most a capacity of them.

    Examples
    --------
    >>> pool = BoundedPool()
    >>> len(pool), pool.limit(1)
    (0, inf)
    """

    __slots__ = ("_entries", "_is_shared", "_keys")

    def __init__(self, entries: Iterable[tuple[float, Member]] = ()) -> None:
        self._entries: SortedKeyList = SortedKeyList(entries, key=_sort_key)
        # How many members have each key: every offered sample needs to know of ties.
        self._keys = Counter(key for key, _ in self._entries)
        self._is_shared = False  # with a copy: then both are copied before they are changed

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Member]:
        """Yield members in order of (key, tie)."""
        return map(_MEMBER, self._entries)

    def copy(self) -> "BoundedPool":
        """Return an independent pool of the same members. O(1): the first change pays."""
        if len(self._entries) > _MAX_SHARED:
            return BoundedPool(self._entries)
        copy = BoundedPool.__new__(BoundedPool)
        copy._entries, copy._keys = self._entries, self._keys
        copy._is_shared = self._is_shared = True
        return copy

    def offer(self, key: float, member: Member, capacity: float) -> None:
        """Add a member, and drop the largest if there are then too many. O(log n)."""
        if len(self._entries) < capacity:
            self._add(key, member)
        elif key <= self.limit(capacity):
            self._add(key, member)
            self._pop()

    def num_tied(self, key: float) -> int:
        """Return how many members have a key. O(1)."""
        return self._keys.get(key, 0)

    def tied(self, key: float) -> list[Member]:
        """Return the members of a key, in order of tie. O(log n) for each of them."""
        entries, found = self._entries, []
        for place in range(entries.bisect_key_left((key, _FIRST_TIE)), len(entries)):
            if entries[place][0] != key:
                break
            found.append(entries[place][1])
        return found

    def up_to(self, key: float) -> list[Member]:
        """Return the members whose keys are no larger, in order of (key, tie). O(those)."""
        return [member for _, member in takewhile(lambda entry: entry[0] <= key, self._entries)]

    def key_at(self, place: int) -> float:
        """Return the key of the member at a place of that order, from 0. O(log n)."""
        return float(self._entries[place][0])

    def ties(self) -> Iterator[list[Member]]:
        """Yield the members of each key, in order of tie."""
        for _, entries in groupby(self._entries, key=lambda entry: entry[0]):
            yield [member for _, member in entries]

    def cut(self, capacity: float) -> None:
        """Drop the largest until at most capacity are left."""
        while len(self._entries) > capacity:
            self._pop()

    def remove(self, members: Iterable[Member]) -> None:
        """Remove one copy of each of the members, where there is one. O(pool)."""
        gone = copies(members)
        hashes = {tie[0] for tie in gone}  # others need no digest
        kept = [
            entry
            for entry in self._entries
            if entry[1].tie[0] not in hashes or not cross_off(entry[1], gone)
        ]
        self._entries = SortedKeyList(kept, key=_sort_key)
        self._keys = Counter(key for key, _ in kept)
        self._is_shared = False

    def swap(self, new: Member) -> None:
        """Replace all copies of a sample by a member. O(pool)."""
        keys = [key for key, member in self._entries if member.tie == new.tie]
        if keys:
            self.remove([new] * len(keys))
            self._entries.update((key, new) for key in keys)
            self._keys.update(keys)

    def last(self) -> tuple[float, Member]:
        """Return the largest key with its member. The pool must not be empty."""
        return self._entries[-1]  # type: ignore[no-any-return]  # sortedcontainers has no types

    def limit(self, capacity: float) -> float:
        """Return the largest key kept by a full pool: larger keys need not be offered."""
        entries = self._entries
        if len(entries) < capacity:
            return math.inf
        return entries[-1][0] if entries else -math.inf

    def _make_own(self) -> None:
        """Stop sharing with a copy, before a change."""
        if self._is_shared:
            self._entries = SortedKeyList(self._entries, key=_sort_key)
            self._keys = self._keys.copy()
            self._is_shared = False

    def _add(self, key: float, member: Member) -> None:
        """Add a member."""
        self._make_own()
        self._entries.add((key, member))
        self._keys[key] = self._keys.get(key, 0) + 1

    def _pop(self) -> None:
        """Drop the largest."""
        self._make_own()
        key = self._entries.pop()[0]
        left = self._keys[key] - 1
        if left:
            self._keys[key] = left
        else:
            del self._keys[key]


def _sort_key(entry: tuple[float, Member]) -> tuple[float, Tie]:
    """Order entries by key, then by tie."""
    return entry[0], entry[1].tie
