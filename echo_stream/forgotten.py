"""The ids that were asked to be forgotten, as hashes: the names themselves are gone."""

import hashlib
from typing import Any

HASH_BYTES = 16


class Forgotten:
    """How many samples of each forgotten id have been taken out of the sums.

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
    >>> forgotten.add("a", 1)
    >>> forgotten.add("b", 0)
    >>> forgotten.num_removed, forgotten.num_missed, "a" in forgotten, "c" in forgotten
    (1, 1, True, False)
    """

    def __init__(self) -> None:
        self._removed: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._removed)

    def __contains__(self, sample_id: object) -> bool:
        """Tell whether an id has been forgotten."""
        return _hashed(sample_id) in self._removed

    @property
    def num_removed(self) -> int:
        """Samples taken out of the sums."""
        return sum(self._removed.values())

    @property
    def num_missed(self) -> int:
        """Ids that no sample was taken out for."""
        return sum(not removed for removed in self._removed.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the hashes and counts."""
        return (HASH_BYTES + 8) * len(self)

    def add(self, sample_id: object, removed: int) -> None:
        """Note that so many samples of an id have been taken out, perhaps none."""
        name = _hashed(sample_id)
        self._removed[name] = self._removed.get(name, 0) + removed

    def removed(self, sample_id: object) -> int:
        """Return how many samples of a forgotten id have been taken out."""
        return self._removed[_hashed(sample_id)]

    def merge(self, other: "Forgotten") -> None:
        """Take over what other has forgotten; other is left unchanged."""
        for name, removed in other._removed.items():
            self._removed[name] = self._removed.get(name, 0) + removed

    def to_json(self) -> list[list[Any]]:
        """Return rows of hash (hexadecimal) and number, in order of hash."""
        return [[name.hex(), removed] for name, removed in sorted(self._removed.items())]

    def restore(self, rows: list[list[Any]]) -> None:
        """Take over what `to_json` returned."""
        self._removed = {bytes.fromhex(name): removed for name, removed in rows}


def _hashed(sample_id: object) -> bytes:
    """Return 128 bits of BLAKE2b of an id as text: 7 and "7" are the same."""
    return hashlib.blake2b(str(sample_id).encode(), digest_size=HASH_BYTES).digest()
