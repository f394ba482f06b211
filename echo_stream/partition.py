"""Partitions of the latent space into cells.

A partition numbers its cells 0 .. max_cells - 1 (a *key*). Keys order cells as
their indices do, so a tie broken by key is a tie broken by cell index.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from echo_stream.errors import ConfigError
from echo_stream.typing import Cell, IntArray

MAX_CELLS = 65_536  # more cells than this would not be bounded memory in any useful sense


@dataclass(frozen=True, slots=True)
class Grid:
    """A uniform grid over [0, 1]^d, with one ring of outer cells around it (section III-A).

    Attributes
    ----------
    side : int
        Cells along each axis, G = 1 / w.
    dim : int
        Dimension d of the latent space.

    Examples
    --------
    >>> grid = Grid(side=10, dim=2)
    >>> key = grid.locate(torch.tensor([[0.25, 0.99]], dtype=torch.float64))
    >>> grid.cell(int(key))
    (2, 9)
    """

    side: int
    dim: int

    def __post_init__(self) -> None:
        """Refuse a grid whose number of cells is no bound."""
        if self.max_cells > MAX_CELLS:
            msg = (
                f"a grid of {self.side} cells a side in {self.dim} dimensions has "
                f"{self.max_cells:,} cells, more than {MAX_CELLS:,}; lower the latent dimension"
            )
            raise ConfigError(msg)

    @property
    def max_cells(self) -> int:
        """Number of cells, the outer ring included: (G + 2)^d."""
        return int((self.side + 2) ** self.dim)

    def locate(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the keys, of shape (n,), int64, of points of shape (n, d), float64. O(n d).

        An index is floor(z G), clamped to -1..G: what falls outside [0, 1) lands in
        the outer ring, so that the number of cells is bounded. The paper's floor(z / w)
        rounds once more.
        """
        # Clamped as float: a far outlier does not fit an int64.
        index = (latent * self.side).floor_().clamp_(-1, self.side).to(torch.int64) + 1
        return (index * self._strides().to(index.device)).sum(dim=1)

    def cell(self, key: int) -> Cell:
        """Return the index of a cell, each entry in -1..G."""
        entries = []
        for _ in range(self.dim):
            key, entry = divmod(key, self.side + 2)
            entries.append(entry - 1)
        return tuple(reversed(entries))

    def adjacent_pairs(self, keys: IntArray) -> IntArray:
        """Return pairs of positions in keys whose cells share a face. O(M d log M).

        Parameters
        ----------
        keys : ndarray of shape (M,), int64
            Occupied cells, ascending.

        Returns
        -------
        ndarray of shape (E, 2), int64
            Each pair once, smaller position first, in lexicographic order.
        """
        width = self.side + 2
        found = []
        for stride in self._strides().tolist():
            inside = np.flatnonzero((keys // stride) % width < width - 1)
            target = np.searchsorted(keys, keys[inside] + stride)
            hit = (target < len(keys)) & (keys.take(target, mode="clip") == keys[inside] + stride)
            found.append(np.stack([inside[hit], target[hit]], axis=1))
        pairs = np.concatenate(found)
        return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int64)

    def _strides(self) -> torch.Tensor:
        """Return the row-major strides that turn an index into a key, int64."""
        powers = itertools.accumulate([1] + [self.side + 2] * (self.dim - 1), lambda a, b: a * b)
        return torch.tensor(list(powers)[::-1], dtype=torch.int64)


def grid_side(num_samples: int) -> int:
    """Return the paper's number of cells a side, ceil(2 ln(1 + N)) (section III-A).

    Examples
    --------
    >>> grid_side(60_000)
    23
    """
    return math.ceil(2 * math.log1p(num_samples))
