"""Witnesses: samples that show that two cells are adjacent.

Two codewords are linked when some sample has them as its two nearest. Every link
counts its witnesses, so links add, merge and delete.

Source: Martinetz & Schulten (1994), "Topology representing networks", Neural
Networks 7(3).
"""

from collections import Counter

import numpy as np
import torch

from echo_stream._common.typing import Array, IntArray

PAIR_BYTES = 150  # two numbers as objects, and their place in a table that grows by doubling


class Witnesses:
    """How many samples have each pair of cells as their two nearest.

    Where cells are those of a class, both are of the same one: keys are then beyond
    num_keys, by the same multiple of it.

    Examples
    --------
    >>> witnesses = Witnesses(num_keys=5)
    >>> witnesses.update(torch.tensor([3, 1, 4]), torch.tensor([1, 3, 0]))
    >>> witnesses.rows().tolist()
    [[0, 4, 1], [1, 3, 2]]
    """

    def __init__(self, num_keys: int) -> None:
        self._num_keys = num_keys
        self._counts: Counter[int] = Counter()

    @property
    def size_bytes(self) -> int:
        """Bytes of the pairs and their counts."""
        return PAIR_BYTES * len(self._counts)

    def update(
        self, nearest: torch.Tensor, second: torch.Tensor, times: torch.Tensor | None = None
    ) -> None:
        """Count samples by their two nearest cells, each of shape (n,), int64. O(n log n).

        times, of shape (n,), int64, says how often each counts; by default once.
        """
        low, high = torch.minimum(nearest, second), torch.maximum(nearest, second)
        paired = low * self._num_keys + high % self._num_keys
        pairs, places = torch.unique(paired, return_inverse=True)
        addends = torch.ones_like(places) if times is None else times
        counts = torch.zeros_like(pairs).index_add_(0, places, addends)
        self._counts.update(dict(zip(pairs.tolist(), counts.tolist(), strict=True)))

    def subtract(self, nearest: torch.Tensor, second: torch.Tensor) -> None:
        """Subtract witnesses that have been counted; a link without any is removed. O(n)."""
        gone = Witnesses(self._num_keys)
        gone.update(nearest, second)
        for pair, count in gone._counts.items():
            self._counts[pair] -= count
            if not self._counts[pair]:
                del self._counts[pair]

    def merge(self, other: "Witnesses") -> None:
        """Add the counts of other, which is left unchanged."""
        self._counts.update(other._counts)

    def pairs_among(self, keys: IntArray) -> IntArray:
        """Return the links of which both ends are in keys, of shape (E, 2), int64, in order.

        The second nearest cell of a witness need not be occupied itself.
        """
        ends = self.rows()[:, :2]
        return ends[np.isin(ends, keys).all(axis=1)]

    def rows(self) -> Array:
        """Return rows of (smaller key, larger key, count), in order, int64."""
        pairs = np.array(sorted(self._counts), dtype=np.int64)
        low, codeword = np.divmod(pairs, self._num_keys)
        high = low - low % self._num_keys + codeword
        counts = np.array([self._counts[pair] for pair in pairs.tolist()], dtype=np.int64)
        return np.stack([low, high, counts], axis=1)

    def restore(self, rows: Array) -> None:
        """Restore what `rows` returned."""
        for low, high, count in rows.tolist():
            self._counts[low * self._num_keys + high % self._num_keys] = count
