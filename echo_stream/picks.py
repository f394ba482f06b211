"""The best members of a cell's pool, with what is proven of each."""

from typing import Any, NamedTuple

from echo_stream.cells import CellStatistics
from echo_stream.certificates import drop_bound, is_certified
from echo_stream.distance_pools import DistancePools
from echo_stream.members import Member
from echo_stream.selection import rank_members
from echo_stream.typing import FloatArray


class Pick(NamedTuple):
    """A chosen sample: position of its cell, 1-based rank and distance in it, the proof."""

    cell: int
    rank: int
    distance: float
    member: Member
    is_certified: bool


def best_members(
    pools: DistancePools, statistics: CellStatistics, cell: int, number: int, sums: FloatArray
) -> list[Pick]:
    """Return the first members of a cell's pool, in order, with what is proven of each."""
    slot, count = int(statistics.slots[cell]), int(statistics.counts[cell])
    members, drops = list(pools.pools[slot]), pools.drops(slot)
    centre = sums[cell] / count
    ranked = rank_members(
        members, pools.points_of(members), count, sums[cell], farthest=pools.farthest
    )
    return [
        Pick(
            cell,
            rank,
            distance,
            member,
            statistics.is_exact
            and is_certified(distance, member.tie, drops, centre, farthest=pools.farthest),
        )
        for rank, (distance, member) in enumerate(ranked[:number], start=1)
    ]


def explain_pool(
    pools: DistancePools, statistics: CellStatistics, cell: int, number: int, sums: FloatArray
) -> dict[str, Any]:
    """Return what is proven of a cell's first members, what is in doubt, and why.

    The bound is the distance to the centre of now that nothing dropped undercuts (core)
    or exceeds (support); None when nothing has been dropped.
    """
    picks = best_members(pools, statistics, cell, number, sums)
    slot = int(statistics.slots[cell])
    drops = pools.drops(slot)
    centre = sums[cell] / int(statistics.counts[cell])
    return {
        "held": len(pools.pools[slot]),
        "dropped": int(statistics.counts[cell]) - len(pools.pools[slot]),
        "bound": drop_bound(drops, centre, farthest=pools.farthest) if drops else None,
        "certified": [pick.member.id for pick in picks if pick.is_certified],
        "in_doubt": [
            {"id": pick.member.id, "rank": pick.rank, "distance": pick.distance}
            for pick in picks
            if not pick.is_certified
        ],
    }
