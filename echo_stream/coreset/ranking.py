"""The order of the members of distance pools, cell by cell."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from echo_stream._common.device import rows_on_host
from echo_stream._common.typing import FloatArray
from echo_stream.samples.members import Member
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.certificates import MARGIN
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.ranks import in_order, rank_keys

VALUES = 2**18  # of points whose keys are computed at a time, unless one cell has more


class Ranking:
    """Rank the members that a cell's pool holds, by distance and tie.

    Keys are computed for cells that follow, too: to ask cell by cell, ascending, is cheapest.
    They are computed for members that can be among so many as are asked for, or twice as many.

    Parameters
    ----------
    pools : DistancePools
    statistics : CellStatistics
    sums : ndarray of shape (M, k), float64
        Of the points by which pools are ordered, of all samples of each cell.
    """

    def __init__(self, pools: DistancePools, statistics: CellStatistics, sums: FloatArray) -> None:
        self.pools, self.statistics, self.sums = pools, statistics, sums
        self._cells, self._number = range(0), 1
        self._members: list[list[Member]] = []
        self._keys: list[FloatArray] = []

    def first(self, cell: int, number: int) -> list[tuple[float, Member]]:
        """Return (key, member) of the first members of a cell, at most so many."""
        if number > self._number:  # cells are dealt one more or one less than others
            self._cells, self._number = range(0), max(number, 2 * self._number)
        if cell not in self._cells:
            self._look_ahead(cell)
        place = cell - self._cells.start
        return in_order(self._members[place], self._keys[place], number)

    def _look_ahead(self, cell: int) -> None:
        """Compute the keys of a cell's members, and of those that follow."""
        self._members, num_members = [], 0
        limit = max(VALUES // self.sums.shape[1], 1)
        ahead = slice(cell, cell + limit)
        slots, counts = self.statistics.slots[ahead].tolist(), self.statistics.counts[ahead]
        centres = self.sums[ahead] / counts[:, None]
        for held in self._candidates(slots, centres):
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

    def _candidates(self, slots: Sequence[int], centres: FloatArray) -> Iterator[list[Member]]:
        """Yield the members of each cell that can be among the first at its centre.

        Pools are in order of distance to a reference. Where a centre is off it by s, no
        member's distance to it is off by more: what is over 2 s behind the last of the first
        by the reference is behind them all. Centres have shape (n, k).
        """
        references = rows_on_host(self.pools.references, slots).astype(np.float64)
        moved, lengths = (
            np.sqrt(np.square(side).sum(axis=1)) for side in (centres - references, centres)
        )
        behind = 2 * moved + MARGIN * (moved + lengths)
        for slot, distance in zip(slots, behind.tolist(), strict=True):
            yield self._within(self.pools.pools[slot], distance)

    def _within(self, pool: BoundedPool, behind: float) -> list[Member]:
        """Return the members that are no farther behind the last of the first."""
        if len(pool) <= self._number:
            return list(pool)
        last = math.sqrt(abs(pool.key_at(self._number - 1)))
        if self.pools.farthest:
            return pool.up_to(-(max(last * (1 - MARGIN) - behind, 0.0) ** 2))
        return pool.up_to((last * (1 + MARGIN) + behind) ** 2)
