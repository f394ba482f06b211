"""Rank the members of each cell, as core and as support, with their certificates."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from echo_stream._common.device import rows_on_host
from echo_stream._common.typing import FloatArray
from echo_stream.samples.members import Member, copies, cross_off
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.certificates import MARGIN, RankKey, drop_bound, is_certified
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.pools import Pools
from echo_stream.sketch.pools.ranks import distance_of, first_by_key, rank_keys

_VALUES = 2**18  # of points whose keys are computed at a time, unless one cell has more


class Ranking:
    """Rank the members that a cell's pool holds, by distance and tie.

    Keys are computed for following cells too: ascending access, cell by cell, is cheapest.
    They are computed only for members that can be among the first `number`, or twice as many.

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
        if number > self._number:  # cells are allocated one more or one less than others
            self._cells, self._number = range(0), max(number, 2 * self._number)
        if cell not in self._cells:
            self._look_ahead(cell)
        place = cell - self._cells.start
        return first_by_key(self._members[place], self._keys[place], number)

    def _look_ahead(self, cell: int) -> None:
        """Compute the keys of a cell's members, and of those that follow."""
        self._members, num_members = [], 0
        limit = max(_VALUES // self.sums.shape[1], 1)
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
        """Yield the members of each cell that can rank among the first.

        Pools are ordered by distance to a reference. Where the centre is at distance s from the
        reference, distances differ by at most s: a member that is more than 2 s behind the last
        of the first, by the reference, is behind all of them. Centres have shape (n, k).
        """
        references = rows_on_host(self.pools.references, slots).astype(np.float64)
        moved, lengths = (
            np.sqrt(np.square(side).sum(axis=1)) for side in (centres - references, centres)
        )
        behind = 2 * moved + MARGIN * (moved + lengths)
        for slot, distance in zip(slots, behind.tolist(), strict=True):
            yield self._within(self.pools.pools[slot], distance)

    def _within(self, pool: BoundedPool, behind: float) -> list[Member]:
        """Return the members that are at most `behind` farther than the last of the first."""
        if len(pool) <= self._number:
            return list(pool)
        last = math.sqrt(abs(pool.key_at(self._number - 1)))
        if self.pools.farthest:
            return pool.up_to(-(max(last * (1 - MARGIN) - behind, 0.0) ** 2))
        return pool.up_to((last * (1 + MARGIN) + behind) ** 2)


class SelectedRow(NamedTuple):
    """A selected sample: position of its cell, 1-based rank and distance in it, certificate.

    The certificate is None where none was sought.
    """

    cell: int
    rank: int
    distance: float
    member: Member
    is_certified: bool | None


class RowSelector:
    """Select the best members of a cell's pools, and say which are certified.

    Parameters
    ----------
    pools : Pools
    statistics : CellStatistics
        Of the same samples.

    Notes
    -----
    Ascending access, cell by cell, is cheapest; see `Ranking`.
    """

    def __init__(self, pools: Pools, statistics: CellStatistics) -> None:
        self._hashed, self._statistics = pools.hashed, statistics
        self._nearest, self._farthest = (
            None if side is None else Ranking(side, statistics, sums)
            for side, sums in (
                (pools.nearest, statistics.latent_sums),
                (pools.support, statistics.input_sums),
            )
        )

    def core(self, cell: int, number: int) -> list[SelectedRow]:
        """Return the first core members of a cell, by the rank rule that its pools follow.

        `center`: nearest the centroid first (eq. 5-6). `uniform`: smallest hash first, which
        is certified as it stands. `mixed`: the nearest, then the others by hash, certified if
        the nearest is.
        """
        statistics, first = self._statistics, list[SelectedRow]()
        by_distance = number if self._hashed is None else min(number, 1)
        if self._nearest is None:
            by_distance = 0
        else:
            first = _first(self._nearest, cell, by_distance)
        if self._hashed is None:
            return first
        # Where all candidates for the nearest were forgotten, the nearest is unknown.
        is_known = len(first) == by_distance and all(row.is_certified for row in first)
        is_assured = statistics.is_exact and is_known
        taken = copies(row.member for row in first)
        held = self._hashed.pools[int(statistics.slots[cell])]
        others = (member for member in held if not cross_off(member, taken))
        centre = statistics.latent_sums[cell] / int(statistics.counts[cell])
        rest = [
            SelectedRow(cell, rank, math.dist(member.latent, centre), member, is_assured)
            for rank, member in enumerate(islice(others, number - len(first)), start=len(first) + 1)
        ]
        return first + rest

    def farthest(self, cell: int, number: int) -> list[SelectedRow]:
        """Return the first members of a cell that are farthest from its mean (eq. 8)."""
        assert self._farthest is not None
        return _first(self._farthest, cell, number)

    def support(
        self, cell: int, number: int, core: list[SelectedRow], allocated: int
    ) -> list[SelectedRow]:
        """Return the members of a cell farthest from its mean that are not in the core.

        A rank is certified where the order of the farthest is, and the cell's core, too: all the
        slots that it was allocated, since what should fill one and is not held may be farthest.
        """
        taken = copies(row.member for row in core)
        is_core_certified = len(core) == allocated and all(row.is_certified for row in core)
        ranked = self.farthest(cell, number + len(core))
        others = [row for row in ranked if not cross_off(row.member, taken)][:number]
        return [
            row._replace(rank=rank, is_certified=row.is_certified and is_core_certified)
            for rank, row in enumerate(others, start=1)
        ]


def _first(ranking: Ranking, cell: int, number: int) -> list[SelectedRow]:
    """Return the first members of a cell's pool, in order, with their certificates."""
    pools, statistics = ranking.pools, ranking.statistics
    count, slot = int(statistics.counts[cell]), int(statistics.slots[cell])
    drops, assured = pools.drops(slot), pools.assured[slot]
    centre = ranking.sums[cell] / count

    def row(rank: int, key: float, member: Member) -> SelectedRow:
        distance, rank_key = distance_of(key, count), RankKey(key, member.tie, count)
        is_first = is_certified(distance, rank_key, drops, centre, farthest=pools.farthest)
        is_assured = statistics.is_exact and rank <= assured and is_first
        return SelectedRow(cell, rank, distance, member, bool(is_assured))

    return [row(rank, *entry) for rank, entry in enumerate(ranking.first(cell, number), start=1)]


MOVED = "the centre has moved: samples that were dropped may lie as near, or as far"


def explain(
    rows: list[SelectedRow], bound: float | None, *, held: int, dropped: int, doubt: str | None
) -> dict[str, Any]:
    """Return which of a cell's first members are certified, which are in doubt, and why.

    bound is on the distance of dropped samples; doubt says why no member can be certified.
    """
    is_doubtful = not all(row.is_certified for row in rows)
    return {
        "num_held": held,
        "num_dropped": dropped,
        "bound": None if bound is None else max(bound, 0.0),
        "why": (doubt or MOVED) if is_doubtful else None,
        "certified": [row.member.id for row in rows if row.is_certified],
        "in_doubt": [
            {"id": row.member.id, "rank": row.rank, "distance": row.distance}
            for row in rows
            if row.is_certified is False
        ],
    }


def bound_of(
    pools: DistancePools | None, statistics: CellStatistics, cell: int, sums: FloatArray
) -> float | None:
    """Return the distance to the centre that bounds all that a cell's pool has dropped.

    None where nothing was dropped, or where pools are not ordered by distance.
    """
    if pools is None:
        return None
    drops = pools.drops(int(statistics.slots[cell]))
    centre = sums[cell] / int(statistics.counts[cell])
    return drop_bound(drops, centre, farthest=pools.farthest) if drops else None
