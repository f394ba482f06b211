"""The ids that were asked to be forgotten, as hashes: the names themselves are gone."""

import hashlib
from collections.abc import Sequence
from typing import Any

from echo_stream.members import Member

HASH_BYTES = 16


class Forgotten:
    """Which samples of each forgotten id have been taken out of the sums, as digests.

    None means that the call missed: a sample that no pool holds cannot be told from one
    never seen. It is still in the sums, until the source is read again.

    Attributes
    ----------
    num_removed : int
        Samples taken out.
    num_missed : int
        Ids of which none could be.

    Examples
    --------
    >>> forgotten = Forgotten()
    >>> forgotten.add("a", [])
    >>> forgotten.num_removed, forgotten.num_missed, "a" in forgotten, "b" in forgotten
    (0, 1, True, False)
    """

    def __init__(self) -> None:
        self._removed: dict[bytes, list[int]] = {}
        self.num_removed = self.num_missed = 0

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._removed)

    def __contains__(self, sample_id: object) -> bool:
        """Tell whether an id has been forgotten."""
        return _hashed(sample_id) in self._removed

    @property
    def size_bytes(self) -> int:
        """Bytes of the hashes and digests."""
        return HASH_BYTES * len(self) + 8 * self.num_removed

    def add(self, sample_id: object, removed: Sequence[Member]) -> None:
        """Note which samples of an id have been taken out, perhaps none."""
        self._add(_hashed(sample_id), [int(member.tie[2]) for member in removed])

    def pending(self, members: Sequence[Member]) -> list[Member]:
        """Return those of forgotten ids, all read again, that are still in the sums."""
        removed = {name: list(digests) for name, digests in self._removed.items()}
        return [member for member in members if not _crossed_off(member, removed)]

    def merge(self, other: "Forgotten") -> None:
        """Take over what other has forgotten; other is left unchanged."""
        for name, digests in other._removed.items():
            self._add(name, digests)

    def same_ids(self) -> "Forgotten":
        """Return the same ids with no sample taken out yet, for a source that is read again."""
        again = Forgotten()
        for name in self._removed:
            again._add(name, [])
        return again

    def counts(self) -> dict[str, int]:
        """Return the two counts, named as in a snapshot's manifest."""
        return {"num_forgotten": self.num_removed, "num_forget_missed": self.num_missed}

    def to_json(self) -> list[list[Any]]:
        """Return rows of hash (hexadecimal) and digests (as text), in order of hash."""
        return [
            [name.hex(), [str(digest) for digest in sorted(digests)]]
            for name, digests in sorted(self._removed.items())
        ]

    def restore(self, rows: list[list[Any]]) -> None:
        """Take over what `to_json` returned, being empty."""
        for name, digests in rows:
            self._add(bytes.fromhex(name), [int(digest) for digest in digests])

    def _add(self, name: bytes, digests: Sequence[int]) -> None:
        """Note digests of samples that have been taken out for a hash, perhaps none."""
        known = self._removed.get(name)
        self.num_missed += (not digests) if known is None else -(not known and bool(digests))
        self.num_removed += len(digests)
        self._removed[name] = [*(known or ()), *digests]


def _crossed_off(member: Member, removed: dict[bytes, list[int]]) -> bool:
    """Cross a sample off those that have been taken out; False if it is none of them."""
    digests = removed[_hashed(member.id)]
    digest = int(member.tie[2])
    if digest not in digests:
        return False
    digests.remove(digest)
    return True


def _hashed(sample_id: object) -> bytes:
    """Return 128 bits of BLAKE2b of an id as text: 7 and "7" are the same."""
    return hashlib.blake2b(str(sample_id).encode(), digest_size=HASH_BYTES).digest()
