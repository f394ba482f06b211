"""Certificates that a held sample is the batch choice: bounds on all dropped samples.

Within a period of a cell, distances are taken to a fixed reference r, and every sample that
the pool drops is no nearer to r than the last member it keeps, at distance b. By the
triangle inequality everything dropped is at least b - |c - r| from the centre c of
now. A held sample that is strictly nearer than that, for every period so far, is
nearer than anything ever dropped; all that beat it are kept too, so its rank is
exact. Support is the mirror image: everything dropped is at most b + |c - r| away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.samples.members import Tie, tie_from_json, tie_to_json

MAX_CLOSED = 3  # separate periods besides the open one; older ones are merged
MARGIN = 1e-12  # relative; a thousand times the rounding of float64 distances


class RankKey(NamedTuple):
    """What ranks a sample in its cell, and the number of samples it is ranked among.

    Attributes
    ----------
    key : float
        From `echo_stream.sketch.pools.ranks.rank_keys`; ascending in the order of ranks.
    tie : tuple
    num_samples : int
        In the cell.
    """

    key: float
    tie: Tie
    num_samples: int


@dataclass(frozen=True, slots=True, eq=False)
class Drop:
    """A bound on what a pool has dropped in one period, or in several.

    Attributes
    ----------
    reference : ndarray of shape (k,), float64
        What distances were taken to.
    distance : float
        Of the pool's last member when the period ended: in a core pool nothing
        dropped is nearer, in a support pool nothing is farther.
    tie : tuple or None
        The last member's tie, where its distance is 0: among equal samples it decides.
    last : RankKey or None
        Rank key of the last member when the pool was filled by reading the source again: as
        long as the cell has not changed, it decides alone.
    """

    reference: Array
    distance: float
    tie: Tie | None = None
    last: "RankKey | None" = None


def rank_key_to_json(rank_key: RankKey) -> list[Any]:
    """Return a rank_key as JSON."""
    return [rank_key.key, tie_to_json(rank_key.tie), rank_key.num_samples]


def rank_key_from_json(stored: Sequence[Any]) -> RankKey:
    """Return the rank_key that `rank_key_to_json` described."""
    return RankKey(stored[0], tie_from_json(stored[1]), stored[2])


def collapsed(drops: Sequence[Drop], centre: Array, *, farthest: bool) -> list[Drop]:
    """Return at most `MAX_CLOSED` drops: while there are more, the two oldest become one.

    Both bounds are carried over to the current centre by the triangle inequality, so that
    nothing is lost there, and later no more than the centre will have moved: carried to
    the newer reference, which is noisier the older it is, they would lose that noise too.
    Those that follow each other at one reference become one first, which loses nothing.
    """
    left = list(drops)
    for place in range(len(left) - 1, 0, -1):
        older, newer = left[place - 1 : place + 1]
        if len(left) > MAX_CLOSED and _is_at_one_place(older, newer):
            left[place - 1 : place + 1] = [_merged(older, newer, centre, farthest=farthest)]
    while len(left) > MAX_CLOSED:
        older, newer, *rest = left
        left = [_merged(older, newer, centre, farthest=farthest), *rest]
    return left


def order_key(drop: Drop) -> tuple[Any, ...]:
    """Return a sort key of a bound, made of all its fields."""
    return drop.reference.tolist(), drop.distance, drop.tie or (), drop.last or ()


def drop_bound(drops: Sequence[Drop], centre: Array, *, farthest: bool) -> float:
    """Return a distance to centre that bounds everything dropped.

    Parameters
    ----------
    drops : sequence of Drop
    centre : ndarray of shape (k,), float64
    farthest : bool
        False: nothing dropped is nearer than the result (inf without drops).
        True: nothing dropped is farther (-inf without drops).
    """
    bounds = [_carried(drop, centre, farthest=farthest) for drop in drops]
    return max(bounds, default=-np.inf) if farthest else min(bounds, default=np.inf)


def is_certified(
    distance: float, rank_key: RankKey, drops: Sequence[Drop], centre: Array, *, farthest: bool
) -> bool:
    """Return whether a held sample certainly precedes everything dropped.

    Parameters
    ----------
    distance : float
        Of the sample to the current centre.
    rank_key : RankKey
    drops : sequence of Drop
    centre : ndarray of shape (k,), float64
    farthest : bool
        Whether the pool keeps the farthest.

    Notes
    -----
    A sample that sits exactly on a centre which has not moved, as in a cell of equal
    samples, is compared by tie with the last member, if that sits there too: what was
    dropped lies there with a later tie, or farther off.
    """
    open_drops = [
        drop
        for drop in drops
        if not _is_settled_by_rank(rank_key, drop)
        and not _is_settled_by_tie(distance, rank_key.tie, drop, centre)
    ]
    bound = drop_bound(open_drops, centre, farthest=farthest)
    # An infinite bound means that nothing was dropped, or all that was is settled.
    slack = 0.0 if np.isinf(bound) else MARGIN * (abs(bound) + distance + _length(centre))
    return bool(distance > bound + slack if farthest else distance < bound - slack)


def _merged(older: Drop, newer: Drop, centre: Array, *, farthest: bool) -> Drop:
    """Return one bound, at centre, on what either bounds; where both are alike, at theirs."""
    if _is_at_one_place(older, newer):
        strictest = (max if farthest else min)(older.distance, newer.distance)
        bounds = [drop for drop in (older, newer) if drop.distance == strictest]
        # Among equal samples the earlier tie is the bound; without one, none is settled by tie.
        ties = [drop.tie for drop in bounds if drop.tie is not None]
        return Drop(newer.reference, strictest, min(ties) if len(ties) == len(bounds) else None)
    carried = [_carried(drop, centre, farthest=farthest) for drop in (older, newer)]
    # A bound below 0 says nothing, and a distance is none.
    return Drop(centre, max(carried) if farthest else max(min(carried), 0.0))


def _is_at_one_place(older: Drop, newer: Drop) -> bool:
    """Return whether two bounds are on the distance to one reference."""
    return np.array_equal(older.reference, newer.reference)


def _carried(drop: Drop, centre: Array, *, farthest: bool) -> float:
    """Return one drop's bound, carried over to centre, weakened by its rounding."""
    moved = _length(centre - drop.reference)
    slack = MARGIN * (drop.distance + moved + _length(centre))
    return drop.distance + moved + slack if farthest else drop.distance - moved - slack


def _is_settled_by_rank(rank_key: RankKey, drop: Drop) -> bool:
    """Return whether a sample precedes the last one kept of a cell that is as it was."""
    last = drop.last
    return last is not None and last.num_samples == rank_key.num_samples and rank_key[:2] < last[:2]


def _is_settled_by_tie(distance: float, tie: Tie, drop: Drop, centre: Array) -> bool:
    """Return whether tie alone proves a sample to precede what a period has dropped."""
    return (
        distance == 0.0
        and drop.distance == 0.0
        and drop.tie is not None
        and tie < drop.tie
        and np.array_equal(drop.reference, centre)
    )


def _length(vector: Array) -> float:
    """Return the Euclidean length of a vector, in float64."""
    return float(np.sqrt(np.square(vector.astype(np.float64)).sum()))
