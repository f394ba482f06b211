"""The paper's quantiser: a uniform grid over the latent space.

Source: the ECHO paper, sections III-A and III-B.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.errors import ConfigError
from echo_stream.generation.quantiser import MAX_CELLS, Located


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
    >>> located = grid.locate(torch.tensor([[0.25, 0.99]], dtype=torch.float64))
    >>> grid.cell(int(located.keys))
    (2, 9)
    """

    side: int
    dim: int

    def __post_init__(self) -> None:
        """Refuse a grid with too many cells."""
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

    @property
    def kind(self) -> str:
        """Name of the quantiser."""
        return "grid"

    def to(self, device: torch.device) -> "Grid":  # noqa: ARG002 - a grid holds no tensors
        """Return the grid."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return side and dimension as JSON."""
        return {"kind": self.kind, "side": self.side, "dim": self.dim}

    def to_arrays(self) -> dict[str, Array]:
        """Return no arrays: `describe` says all."""
        return {}

    def locate(self, latent: torch.Tensor) -> Located:
        """Return the cells of points of shape (n, d), float64. O(n d).

        An index is floor(z G), clamped to -1..G: what falls outside [0, 1) lands in
        the outer ring, so that the number of cells is bounded. The paper's floor(z / w)
        rounds once more.
        """
        # Clamped as float: a far outlier does not fit an int64.
        index = (latent * self.side).floor_().clamp_(-1, self.side).to(torch.int64) + 1
        return Located((index * self._strides().to(index.device)).sum(dim=1))

    def cell(self, key: int) -> Cell:
        """Return the index of a cell, each entry in -1..G."""
        entries = []
        for _ in range(self.dim):
            key, entry = divmod(key, self.side + 2)
            entries.append(entry - 1)
        return tuple(reversed(entries))

    def centres(self, keys: IntArray) -> FloatArray:
        """Return the middles of cells; one of the outer ring is as wide as the others."""
        cells = np.array([self.cell(key) for key in keys.tolist()]).reshape(-1, self.dim)
        return np.asarray((cells + 0.5) / self.side)

    def unseen_distances(self, latent: torch.Tensor, *, seed: int) -> FloatArray:  # noqa: ARG002
        """Return the squared distances of points to the middles of their cells.

        No cell was fitted to the points: their own distances are those of unseen ones.
        """
        points = latent.cpu()
        centres = self.centres(self.locate(points).keys.numpy())
        return np.asarray(np.square(points.numpy() - centres).sum(axis=1))

    def face_pairs(self, keys: IntArray, among: IntArray) -> IntArray:
        """Return pairs of keys whose cells share a face, one in keys. O(keys d log among)."""
        width = self.side + 2
        found = [np.zeros((0, 2), dtype=np.int64)]
        for stride in self._strides().tolist():
            entries = (keys // stride) % width
            lower, upper = keys[entries > 0], keys[entries < width - 1]
            pairs = np.concatenate(
                [np.stack([lower - stride, lower], 1), np.stack([upper, upper + stride], 1)]
            )
            found.append(pairs[np.isin(pairs, among).all(axis=1)])
        return np.unique(np.concatenate(found), axis=0)

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


def budget_aware_side(latent: torch.Tensor, num_samples: int, budget: int) -> int:
    """Return the largest number of cells a side that leaves each occupied cell a core sample.

    Parameters
    ----------
    latent : tensor of shape (n, d), float64
        Training samples.
    num_samples : int
        N; no more than the paper's number of cells a side is tried.
    budget : int
        Most cells that the training samples may occupy; all sides are tried.
    """
    for side in range(grid_side(num_samples), 1, -1):
        keys = Grid(side=side, dim=latent.shape[1]).locate(latent).keys
        if len(torch.unique(keys)) <= budget:
            return side
    return 1
