"""Forgotten ids, stored as hashes: the ids themselves are not kept."""

from collections.abc import Sequence
from typing import Any

from echo_stream._common.hashes import id_digest
from echo_stream.samples.members import Member
from echo_stream.samples.samples import Origin, log_of

_ENTRY_BYTES = 200  # of an id: its hash, a list, and their place in a table
_DIGEST_BYTES = 48  # of each of its samples that has been removed
_REACH_BYTES = 300  # of each log with a request, and of the table of these


class Forgotten:
    """The samples of each forgotten id that have been removed from the sums, as digests.

    An id without digests was missed: a sample that no pool holds cannot be distinguished from
    one never seen. It is still in the sums, until the source is read again.

    Attributes
    ----------
    num_removed : int
        Samples removed.
    num_missed : int
        Ids without a held sample.

    Examples
    --------
    >>> forgotten = Forgotten()
    >>> forgotten.add("a", [])
    >>> forgotten.num_removed, forgotten.num_missed, "a" in forgotten, "b" in forgotten
    (0, 1, True, False)
    """

    def __init__(self) -> None:
        self._removed: dict[bytes, list[int]] = {}
        self._reach: dict[bytes, dict[str, int]] = {}  # the last offset by log, where known
        self.num_removed = self.num_missed = 0

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._removed)

    def __contains__(self, sample_id: object) -> bool:
        """Return whether an id has been forgotten."""
        return id_digest(sample_id) in self._removed

    @property
    def size_bytes(self) -> int:
        """Bytes of hashes, digests, places of requests, and the objects around them. O(ids)."""
        reaches = len(self._reach) + sum(map(len, self._reach.values()))
        return _ENTRY_BYTES * len(self) + _DIGEST_BYTES * self.num_removed + _REACH_BYTES * reaches

    def add(
        self, sample_id: object, removed: Sequence[Member], origin: Origin | None = None
    ) -> None:
        """Record which samples of an id have been removed, perhaps none.

        A request with an origin does not apply to later samples of its log; see `reaches`.
        """
        name = id_digest(sample_id)
        reach = None if origin is None else {log_of(origin): origin.offset}
        self._extend_reach(name, reach)
        self._add(name, [int(member.tie[2]) for member in removed])

    def reaches(self, member: Member) -> bool:
        """Return whether a sample that another engine has counted is to be removed.

        All samples of a forgotten id are, except those after the request in its own log.
        """
        name, origin = id_digest(member.id), member.origin
        if name not in self._removed:
            return False
        reach = self._reach.get(name)
        if reach is None or origin is None:
            return True
        return any(log != log_of(origin) or origin.offset < end for log, end in reach.items())

    def expire(self) -> None:
        """Apply no request to samples of others that arrive later."""
        self._reach = {name: {} for name in self._removed}

    def note(self, removed: Sequence[Member]) -> None:
        """Record removed samples of ids that are forgotten already."""
        for member in removed:
            self._add(id_digest(member.id), [int(member.tie[2])])

    def pending(self, members: Sequence[Member]) -> list[Member]:
        """Return the samples of forgotten ids, read again, that are still in the sums."""
        removed = {name: list(digests) for name, digests in self._removed.items()}
        return [member for member in members if not _crossed_off(member, removed)]

    def merge(self, other: "Forgotten") -> None:
        """Add what other has forgotten; other is left unchanged."""
        for name, digests in other._removed.items():
            self._extend_reach(name, other._reach.get(name))
            self._add(name, digests)

    def same_ids(self) -> "Forgotten":
        """Return the same ids without removed samples, for a source that is read again."""
        again = Forgotten()
        for name in self._removed:
            again._extend_reach(name, self._reach.get(name))
            again._add(name, [])
        return again

    def counts(self) -> dict[str, int]:
        """Return the two counts, named as in a snapshot's manifest."""
        return {"num_forgotten": self.num_removed, "num_forget_missed": self.num_missed}

    def to_json(self) -> list[list[Any]]:
        """Return rows of hash (hexadecimal) and digests (as text), in order of hash.

        A request with places in logs also has the last offset in each.
        """
        return [
            [name.hex(), [str(digest) for digest in sorted(digests)], *self._reach_of(name)]
            for name, digests in sorted(self._removed.items())
        ]

    def restore(self, rows: list[list[Any]]) -> None:
        """Restore what `to_json` returned; the object must be empty."""
        for hexadecimal, digests, *reach in rows:
            name = bytes.fromhex(hexadecimal)
            self._extend_reach(name, reach[0] if reach else None)
            self._add(name, [int(digest) for digest in digests])

    def _reach_of(self, name: bytes) -> list[dict[str, int]]:
        """Return the reach of a hash as the end of its row."""
        reach = self._reach.get(name)
        return [] if reach is None else [dict(sorted(reach.items()))]

    def _extend_reach(self, name: bytes, reach: dict[str, int] | None) -> None:
        """Extend the reach of a hash to that of another request; None: everywhere."""
        known = self._reach.get(name)
        if reach is None or (name in self._removed and known is None):
            self._reach.pop(name, None)
            return
        known = known or {}
        self._reach[name] = {
            log: max(end, known.get(log, end)) for log, end in {**known, **reach}.items()
        }

    def _add(self, name: bytes, digests: Sequence[int]) -> None:
        """Record digests of removed samples for a hash, perhaps none."""
        known = self._removed.get(name)
        self.num_missed += (not digests) if known is None else -(not known and bool(digests))
        self.num_removed += len(digests)
        self._removed[name] = [*(known or ()), *digests]


def _crossed_off(member: Member, removed: dict[bytes, list[int]]) -> bool:
    """Cross a sample off the removed ones; False if it is not among them."""
    digests = removed[id_digest(member.id)]
    digest = int(member.tie[2])
    if digest not in digests:
        return False
    digests.remove(digest)
    return True
