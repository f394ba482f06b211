"""Samples that are kept by class, as replay memories do."""

import numpy as np

from echo_stream._common.typing import IntArray


class ClassMemory:
    """Rows by class, of which random ones of the largest class give way.

    Examples
    --------
    >>> memory = ClassMemory()
    >>> for row, label in enumerate("aab"):
    ...     memory.add(row, ord(label))
    >>> memory.evict(np.random.default_rng(0))
    >>> len(memory), memory.count(ord("a")), memory.rows().tolist()[-1]
    (2, 1, 2)
    """

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of rows kept."""
        return self._size

    @property
    def num_classes(self) -> int:
        """Classes of which there has been a row."""
        return len(self._rows)

    def count(self, label: int) -> int:
        """Return the rows kept of a class."""
        return len(self._rows.get(label, ()))

    def largest(self) -> set[int]:
        """Return the classes with the most rows."""
        most = max(map(len, self._rows.values()))
        return {label for label, rows in self._rows.items() if len(rows) == most}

    def rows(self) -> IntArray:
        """Return the rows kept, class by class."""
        return np.array([row for rows in self._rows.values() for row in rows], np.int64)

    def add(self, row: int, label: int) -> None:
        """Keep a row."""
        self._rows.setdefault(label, []).append(row)
        self._size += 1

    def replace(self, row: int, label: int, rng: np.random.Generator) -> None:
        """Put a row in the place of a random one of its class."""
        kept = self._rows[label]
        kept[int(rng.integers(len(kept)))] = row

    def evict(self, rng: np.random.Generator) -> None:
        """Let go a random row of a random one of the largest classes."""
        label = int(rng.choice(sorted(self.largest())))
        kept = self._rows[label]
        kept.pop(int(rng.integers(len(kept))))
        self._size -= 1
