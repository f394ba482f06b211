"""A uniform sample of everything counted, in which order of arrival plays no part.

The samples with the smallest seeded hash of their id: one pass, mergeable, and the
same for any order. Source: bottom-k sampling, Cohen & Kaplan (2007), "Summarizing
data using bottom-k sketches", PODC.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from sortedcontainers import SortedList

from echo_stream.hashes import LATEST, seeded
from echo_stream.samples import label_of
from echo_stream.typing import Array, Label

LAST_HASH = 2**64 - 1

Column: TypeAlias = Sequence[object] | Array


class LabelReservoir:
    """The labels of a uniform sample of fixed size: what an equal-sized reservoir would hold.

    Examples
    --------
    >>> from echo_stream.hashes import hash_ids
    >>> reservoir = LabelReservoir(size=2, seed=0)
    >>> reservoir.update(hash_ids(["a", "b", "c"]), ["a", "b", "c"], [1, 1, 1])
    >>> reservoir.labels()
    [1, 1]
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        # Hash, id, label as text, label: the text makes the order total for mixed types.
        self._entries: SortedList = SortedList()
        # Where samples were forgotten: what was later has been dropped, and stays out.
        self._end = LAST_HASH

    def update(self, hashes: Array, ids: Column, labels: Column | None) -> None:
        """Count samples with the hashes of their ids, of shape (n,), uint64.

        O(n), and O(log size) for each sample that stays.
        """
        order = seeded(hashes, self._seed)
        is_full = len(self._entries) >= self._size
        last = np.uint64(self._entries[-1][0] if is_full else LATEST)
        for row in np.flatnonzero(order <= last).tolist():
            label = None if labels is None else label_of(labels[row])
            self._add(int(order[row]), str(ids[row]), label)

    def forget(self, sample_id: str) -> None:
        """Take the samples of an id out; what is later than all of now stays out. O(size)."""
        if len(self._entries) == self._size:
            self._end = min(self._end, self._entries[-1][0])
        kept = [entry for entry in self._entries if entry[1] != sample_id]
        self._entries = SortedList(kept)

    def merge(self, other: "LabelReservoir") -> None:
        """Absorb other, which is left unchanged."""
        self._end = min(self._end, other._end)
        held, self._entries = [*self._entries, *other._entries], SortedList()
        for hashed, text, _, label in held:
            self._add(hashed, text, label)

    def labels(self) -> list[Label]:
        """Return the labels held, in order of hash."""
        return [label for *_, label in self._entries]

    def to_json(self) -> dict[str, Any]:
        """Return the content as JSON: rows of hash (as text), id and label; the last hash."""
        rows = [[str(hashed), text, label] for hashed, text, _, label in self._entries]
        return {"end": str(self._end), "rows": rows}

    def restore(self, stored: dict[str, Any]) -> None:
        """Take over the content that `to_json` returned."""
        self._end = int(stored["end"])
        for hashed, text, label in stored["rows"]:
            self._add(int(hashed), text, label_of(label))

    def _add(self, hashed: int, text: str, label: Label) -> None:
        """Take one sample in, and the largest out if there are then too many."""
        if hashed <= self._end:
            self._entries.add((hashed, text, repr(label), label))
        if len(self._entries) > self._size:
            self._entries.pop()
