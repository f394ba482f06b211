"""A uniform sample of everything counted, independent of the order of arrival.

The samples with the smallest seeded hash of their id: one pass, mergeable, and the
same for any order. Source: bottom-k sampling, Cohen & Kaplan (2007), "Summarizing
data using bottom-k sketches", PODC.
"""

from collections.abc import Sequence
from itertools import takewhile
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from sortedcontainers import SortedKeyList

from echo_stream._common.hashes import LATEST, hash_ids, seeded
from echo_stream._common.typing import Array, Label
from echo_stream.generation.quantiser import Quantiser
from echo_stream.samples.members import (
    Member,
    Tie,
    copies,
    cross_off,
    detached,
    tie_from_json,
    tie_to_json,
)

MIN_SIZE = 2_048  # samples; enough to train an encoder, or a codebook of 60 words
SAMPLES_PER_CODEWORD = 34  # many more than a codebook needs: they find better codewords

Place: TypeAlias = tuple[int, Tie]
"""Seeded hash of the id, then the sample's tie: a total order independent of arrival."""

_MEMBER = itemgetter(1)  # of an entry


class Reservoir:
    """The real samples with the smallest seeded hashes, at most a fixed number of them.

    Parameters
    ----------
    size : int
        Samples held at most.
    seed : int
        Fixes which.
    limit : tuple, optional
        Place beyond which samples have been dropped, by a smaller reservoir that this one
        continues or before samples were forgotten. Samples beyond it are always refused:
        otherwise earlier and later samples would not be equally likely.

    Notes
    -----
    O(log size) for each sample that stays, and a hash for each that does not.

    Examples
    --------
    >>> members = [Member.create(name, np.zeros(2), np.zeros(2), 1, None) for name in "abc"]
    >>> reservoir = Reservoir(size=2, seed=0)
    >>> reservoir.offer(members)
    >>> len(reservoir), reservoir.labels(5)
    (2, [1, 1])
    """

    def __init__(self, size: int, seed: int, limit: Place | None = None) -> None:
        self.size = size
        self._seed = seed
        self._limit = limit
        self._entries: SortedKeyList = SortedKeyList(key=_place)

    def __len__(self) -> int:
        """Return the number of samples held."""
        return len(self._entries)

    @property
    def members(self) -> list[Member]:
        """The samples held, in order of their seeded hash."""
        return list(map(_MEMBER, self._entries))

    def passes(self, hashes: Array) -> Array:
        """Tell which samples may enter by the hashes of their ids, of shape (n,), uint64."""
        return np.asarray(seeded(hashes, self._seed) <= np.uint64(self._last_hash()))

    def offer(self, members: Sequence[Member]) -> None:
        """Add members; those with the largest hashes are dropped when there are too many."""
        hashes = np.array([member.tie[0] for member in members], dtype=np.uint64)
        for hashed, member in zip(seeded(hashes, self._seed).tolist(), members, strict=True):
            self._add((hashed, member.tie), member)

    def forget(self, sample_id: str) -> None:
        """Remove the samples of an id; later places stay refused. O(log size)."""
        self.take_out(self.of(sample_id))

    def take_out(self, members: Sequence[Member]) -> None:
        """Remove one copy of each of the members, where there is one. O(members log size)."""
        left = copies(members)
        ids = dict.fromkeys(member.id for member in members)
        held = [entry for name in ids for entry in self._of(name)]
        gone = [entry for entry in held if cross_off(entry[1], left)]
        if gone and len(self._entries) == self.size:
            self._limit = self._reach()
        for entry in gone:
            self._entries.remove(entry)

    def swap(self, new: Member) -> None:
        """Replace all copies of a sample by a member. O(log size)."""
        for entry in self._of(new.id):
            if entry[1].tie == new.tie:
                self._entries.remove(entry)
                self._entries.add((entry[0], new))

    def merge(self, other: "Reservoir") -> None:
        """Add other, which is left unchanged: the reservoir of both streams. O(size)."""
        limits = [limit for limit in (self._limit, other._limit) if limit is not None]
        self._limit = min(limits, default=None)
        mine, self._entries = self._entries, SortedKeyList(key=_place)
        for place, member in [*mine, *other._entries]:
            self._add(place, member)

    def copy(self) -> "Reservoir":
        """Return an independent copy that shares the members, which never change."""
        copy = Reservoir(self.size, self._seed, self._limit)
        copy._entries.update(self._entries)
        return copy

    def resized(self, members: Sequence[Member], size: int) -> "Reservoir":
        """Return a reservoir of another size that continues this one.

        Parameters
        ----------
        members : sequence of Member
            Those of this reservoir, in their order, as the new one is to hold them.
        size : int
        """
        member = Reservoir(size, self._seed, self._reach())
        member.offer(members)
        return member

    def agrees_with(self, other: "Reservoir") -> bool:
        """Return whether both may be of the same samples: their first members are equal."""
        shared = zip(self.members, other.members, strict=False)
        return all(a.id == b.id and np.array_equal(a.x, b.x) for a, b in shared)

    def labels(self, number: int) -> list[Label]:
        """Return the labels of a uniform sample of number, or of all when fewer are held."""
        return [member.label for _, member in self._entries[:number]]

    def of(self, sample_id: str) -> list[Member]:
        """Return the samples held of an id. O(log size)."""
        return [member for _, member in self._of(sample_id)]

    def limit_to_json(self) -> list[Any] | None:
        """Return the limit as JSON; hashes as text, since they do not fit its numbers.

        Of a full reservoir it is the last place: a larger one that continues it stays uniform.
        """
        reach = self._reach()
        if reach is None:
            return None
        hashed, tie = reach
        return [str(hashed), *tie_to_json(tie)]

    def restore(self, members: Sequence[Member], limit: Sequence[str] | None) -> None:
        """Restore the members, and the limit that `limit_to_json` returned."""
        if limit is not None:
            self._limit = (int(limit[0]), tie_from_json(limit[1:]))
        self.offer(members)

    def _of(self, sample_id: str) -> list[tuple[Place, Member]]:
        """Return the entries of an id."""
        hashes = hash_ids([sample_id])
        first: Place = (int(seeded(hashes, self._seed)[0]), (int(hashes[0]), sample_id, 0))
        following = self._entries.islice(self._entries.bisect_key_left(first))
        return list(takewhile(lambda entry: entry[1].id == sample_id, following))

    def _add(self, place: Place, member: Member) -> None:
        """Add one sample, and drop the last if there are then too many."""
        if self._limit is not None and place > self._limit:
            return
        self._entries.add((place, member))
        if len(self._entries) > self.size:
            self._entries.pop()

    def _reach(self) -> Place | None:
        """Return the place up to which all samples are held; None where all are."""
        # Whatever lies beyond the limit has never been taken in.
        if len(self._entries) < self.size:
            return self._limit
        hashed, tie = self._entries[-1][0]
        return hashed, detached(tie)

    def _last_hash(self) -> int:
        """Return the largest hash that may enter."""
        if len(self._entries) >= self.size:
            return int(self._entries[-1][0][0])
        return LATEST if self._limit is None else self._limit[0]


def reservoir_size(quantiser: Quantiser, budget: int) -> int:
    """Return how many samples a reservoir beside a quantiser holds.

    max(2,048, 34 K) with K codewords, 2,048 for a grid; never less than the budget, so
    that it also shows what a uniform sample of equal size would hold.
    """
    codewords = quantiser.max_cells if quantiser.kind == "codebook" else 0
    return max(MIN_SIZE, SAMPLES_PER_CODEWORD * codewords, budget)


def _place(entry: tuple[Place, Member]) -> Place:
    """Return what entries are ordered by."""
    return entry[0]
