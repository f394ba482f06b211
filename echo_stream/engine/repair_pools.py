"""The first members by rank of cells whose centres are settled, collected in one pass."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.samples.members import Member, own
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.certificates import Standing
from echo_stream.sketch.pools.distance_pools import TINY
from echo_stream.sketch.pools.ranks import rank_keys


class RankedPools:
    """Members in the very order that ranks them, where count and sum of the cell are known.

    Parameters
    ----------
    counts : ndarray of shape (M,), int64
        Samples in each cell.
    totals : ndarray of shape (M, k), float64
        Sum of their points.
    capacities : ndarray of shape (M,), float64
        Members that each pool may hold.
    device : torch.device
    farthest : bool
        Whether those farthest from the centre come first.
    """

    def __init__(
        self,
        counts: IntArray,
        totals: FloatArray,
        capacities: FloatArray,
        device: torch.device,
        *,
        farthest: bool,
    ) -> None:
        self.centres = totals / counts[:, None]
        self.pools = [BoundedPool() for _ in counts]
        self._counts, self._totals = counts, totals
        self._capacities, self._farthest = capacities, farthest
        self._on_device = torch.from_numpy(self.centres).to(device)
        start = -np.inf if farthest else np.inf
        self._limits = torch.full((len(counts),), start, dtype=torch.float64, device=device)
        # k squares sum with a relative error below (k + 2) eps / 2; twice that is safe.
        self._margin = (totals.shape[1] + 8) * torch.finfo(torch.float64).eps
        # A centre is off by its rounding, which can be much of a small distance to it.
        lengths = np.sqrt(np.square(self.centres).sum(axis=1))
        self._centre_errors = lengths * torch.finfo(torch.float64).eps

    def passes(self, cells: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Tell which points may enter the pools of their cells. O(n k) on the device."""
        distances = (points - self._on_device[cells]).square_().sum(dim=1)
        limits = self._limits[cells]
        return distances >= limits if self._farthest else distances <= limits

    def offer(self, cells: IntArray, members: Sequence[Member], points: Array) -> None:
        """Offer members at points, of shape (n, k), to the pools of their cells."""
        counts, totals = self._counts[cells][:, None], self._totals[cells]
        keys = rank_keys(points, counts, totals, farthest=self._farthest).tolist()
        for cell, member, key in zip(cells.tolist(), members, keys, strict=True):
            self.pools[cell].offer(key, member, self._capacities[cell])
        for cell in np.unique(cells).tolist():
            self._limits[cell] = self._limit(cell)

    def last(self, cell: int) -> Standing:
        """Return where the last member of a cell stands: all others stand behind it."""
        key, member = self.pools[cell].last()
        return Standing(key, own(member.tie), int(self._counts[cell]))

    def _limit(self, cell: int) -> float:
        """Return the squared distance beyond which nothing can enter a cell's pool."""
        key = self.pools[cell].limit(self._capacities[cell])
        sign = -1.0 if self._farthest else 1.0
        if not math.isfinite(key):
            return sign * math.inf
        distance = math.sqrt(abs(key)) / float(self._counts[cell])
        squared = max(distance + sign * float(self._centre_errors[cell]), 0.0) ** 2
        return float(squared + sign * (squared * self._margin + TINY))
