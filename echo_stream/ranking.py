"""The order of the members of distance pools, cell by cell."""

from itertools import chain

import numpy as np

from echo_stream.cells import CellStatistics
from echo_stream.distance_pools import DistancePools
from echo_stream.members import Member
from echo_stream.selection import in_order, rank_keys
from echo_stream.typing import FloatArray

VALUES = 2**18  # of points whose keys are computed at a time, unless one cell has more


class Ranking:
    """Rank the members that a cell's pool holds, by distance and tie.

    Keys are computed for cells that follow, too: to ask cell by cell, ascending, is cheapest.

    Parameters
    ----------
    pools : DistancePools
    statistics : CellStatistics
    sums : ndarray of shape (M, k), float64
        Of the points by which pools are ordered, of all samples of each cell.
    """

    def __init__(self, pools: DistancePools, statistics: CellStatistics, sums: FloatArray) -> None:
        self.pools, self.statistics, self.sums = pools, statistics, sums
        self._cells = range(0)
        self._members: list[list[Member]] = []
        self._keys: list[FloatArray] = []

    def first(self, cell: int, number: int) -> list[tuple[float, Member]]:
        """Return (key, member) of the first members of a cell, at most so many."""
        if cell not in self._cells:
            self._look_ahead(cell)
        place = cell - self._cells.start
        return in_order(self._members[place], self._keys[place], number)

    def _look_ahead(self, cell: int) -> None:
        """Compute the keys of a cell's members, and of those that follow."""
        self._members, num_members = [], 0
        limit = VALUES // self.sums.shape[1]
        for slot in self.statistics.slots[cell:].tolist():
            held = list(self.pools.pools[slot])
            num_members += len(held)
            if self._members and num_members > limit:
                break
            self._members.append(held)
        lengths = [len(held) for held in self._members]
        self._cells = range(cell, cell + len(lengths))
        cells = np.repeat(np.array(self._cells), lengths)
        keys = rank_keys(
            self.pools.points_of(list(chain.from_iterable(self._members))),
            self.statistics.counts[cells, None],
            self.sums[cells],
            farthest=self.pools.farthest,
        )
        self._keys = np.split(keys, np.cumsum(lengths)[:-1])
