"""The best members of a cell's pools, with what is proven of each."""

import math
from itertools import islice
from typing import Any, NamedTuple

from echo_stream._common.typing import FloatArray
from echo_stream.coreset.ranking import Ranking
from echo_stream.samples.members import Member, copies, cross_off
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.certificates import Standing, drop_bound, is_certified
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.pools import Pools
from echo_stream.sketch.pools.ranks import distance_of


class Pick(NamedTuple):
    """A chosen sample: position of its cell, 1-based rank and distance in it, the proof."""

    cell: int
    rank: int
    distance: float
    member: Member
    is_certified: bool


class Picker:
    """Picks the best members of a cell's pools, with what is proven of each.

    Parameters
    ----------
    pools : Pools
    statistics : CellStatistics
        Of the same samples.

    Notes
    -----
    See `echo_stream.coreset.ranking.Ranking`: to ask cell by cell, ascending, is cheapest.
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

    def core(self, cell: int, number: int) -> list[Pick]:
        """Return the first core members of a cell, by the rank rule that its pools follow.

        `center`: nearest the centroid first (eq. 5-6). `uniform`: smallest hash first, which
        is proven as it stands. `mixed`: the nearest, then the others by hash, proven if the
        nearest is.
        """
        statistics, first = self._statistics, list[Pick]()
        by_distance = number if self._hashed is None else min(number, 1)
        if self._nearest is None:
            by_distance = 0
        else:
            first = _first(self._nearest, cell, by_distance)
        if self._hashed is None:
            return first
        # Where all that could be nearest are forgotten, nobody knows who is.
        is_known = len(first) == by_distance and all(pick.is_certified for pick in first)
        is_proven = statistics.is_exact and is_known
        taken = copies(pick.member for pick in first)
        held = self._hashed.pools[int(statistics.slots[cell])]
        others = (member for member in held if not cross_off(member, taken))
        centre = statistics.latent_sums[cell] / int(statistics.counts[cell])
        rest = [
            Pick(cell, rank, math.dist(member.latent, centre), member, is_proven)
            for rank, member in enumerate(islice(others, number - len(first)), start=len(first) + 1)
        ]
        return first + rest

    def farthest(self, cell: int, number: int) -> list[Pick]:
        """Return the first members of a cell that are farthest from its mean (eq. 8)."""
        assert self._farthest is not None
        return _first(self._farthest, cell, number)

    def support(self, cell: int, number: int, core: list[Pick], dealt: int) -> list[Pick]:
        """Return the members of a cell farthest from its mean that are not in the core.

        A rank is proven where the order of the farthest is, and the cell's core, too: all the
        slots that it was dealt, since what should fill one and is not held may be farthest.
        """
        taken = copies(pick.member for pick in core)
        is_core_proven = len(core) == dealt and all(pick.is_certified for pick in core)
        ranked = self.farthest(cell, number + len(core))
        others = [pick for pick in ranked if not cross_off(pick.member, taken)][:number]
        return [
            pick._replace(rank=rank, is_certified=pick.is_certified and is_core_proven)
            for rank, pick in enumerate(others, start=1)
        ]


def _first(ranking: Ranking, cell: int, number: int) -> list[Pick]:
    """Return the first members of a cell's pool, in order, with what is proven of each."""
    pools, statistics = ranking.pools, ranking.statistics
    count, slot = int(statistics.counts[cell]), int(statistics.slots[cell])
    drops, assured = pools.drops(slot), pools.assured[slot]
    centre = ranking.sums[cell] / count

    def pick(rank: int, key: float, member: Member) -> Pick:
        distance, standing = distance_of(key, count), Standing(key, member.tie, count)
        is_first = is_certified(distance, standing, drops, centre, farthest=pools.farthest)
        is_proven = statistics.is_exact and rank <= assured and is_first
        return Pick(cell, rank, distance, member, bool(is_proven))

    return [pick(rank, *entry) for rank, entry in enumerate(ranking.first(cell, number), start=1)]


MOVED = "the centre has moved: samples that were dropped may lie as near, or as far"


def explain(
    picks: list[Pick], bound: float | None, *, held: int, dropped: int, doubt: str | None
) -> dict[str, Any]:
    """Return which of a cell's first members are proven, which in doubt, and why.

    bound is on the distance of what was dropped; doubt says why nothing at all is proven.
    """
    is_doubtful = not all(pick.is_certified for pick in picks)
    return {
        "held": held,
        "dropped": dropped,
        "bound": None if bound is None else max(bound, 0.0),
        "why": (doubt or MOVED) if is_doubtful else None,
        "certified": [pick.member.id for pick in picks if pick.is_certified],
        "in_doubt": [
            {"id": pick.member.id, "rank": pick.rank, "distance": pick.distance}
            for pick in picks
            if not pick.is_certified
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
