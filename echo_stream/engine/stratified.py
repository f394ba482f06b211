"""Stratified weights: how many counted samples each held sample represents."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from echo_stream._common.typing import Array, IntArray
from echo_stream.samples.members import Member
from echo_stream.sketch import sketch as sketches
from echo_stream.sketch.fixed_sketch import FixedSketch

Item = TypeVar("Item")


def stratified_weights(
    sketch: FixedSketch, members: Sequence[Member]
) -> tuple[list[Member], IntArray]:
    """Return the members with a weight, and the weights, which sum to N.

    Parameters
    ----------
    sketch : FixedSketch
        Flushed.
    members : sequence of Member
        All held samples.

    Notes
    -----
    A stratified estimate: the cells are strata with known counts. Samples held for their
    distance, nearest a cell's centre or farthest from its mean, have weight 1. The others are
    held for their hash: they are a uniform sample of the rest of the cell, and share its
    count. This needs pools that have seen every sample of their cell. Where counts are
    estimates already, only the reservoir has weights, in equal shares. O(held D).
    """
    if sketch.is_approximate:
        kept = sketch.reservoir.members
        return kept, shares(sketch.n, len(kept))
    slots = np.concatenate(
        [
            sketch.table.find(sketch.embedder.placed(part).keys).cpu().numpy()
            for _, part in chunks(members)
        ]
    )
    times = np.zeros(len(members), dtype=np.int64)
    rows = np.flatnonzero(slots >= 0)
    times[rows] = _allocated(_counts(sketch), slots[rows], _are_chosen(sketch, members)[rows])
    # The counts of cells without a held sample.
    times += shares(sketch.n - int(times.sum()), len(members))
    weighted = np.flatnonzero(times)
    return [members[row] for row in weighted.tolist()], times[weighted]


def shares(n: int, number: int) -> IntArray:
    """Return how often each of number samples counts, so that all sum to n.

    Examples
    --------
    >>> shares(11, 4)
    array([3, 3, 3, 2])
    """
    each, left = divmod(n, number)
    return each + (np.arange(number) < left)


def chunks(items: Sequence[Item]) -> Iterator[tuple[int, Sequence[Item]]]:
    """Yield parts of a block's size, each with the number of its first item."""
    for start in range(0, len(items), sketches.BLOCK_SIZE):
        yield start, items[start : start + sketches.BLOCK_SIZE]


def _counts(sketch: FixedSketch) -> IntArray:
    """Return the count of each slot."""
    statistics = sketch.statistics()
    counts = np.zeros(len(sketch.table), dtype=np.int64)
    counts[statistics.slots] = statistics.counts
    return counts


def _are_chosen(sketch: FixedSketch, members: Sequence[Member]) -> Array:
    """Tell which members are held for their distance, and so are not a uniform sample."""
    ordered = sketch.pools.ordered.values()
    chosen = {member.tie for side in ordered for pool in side.pools for member in pool}
    return np.array([member.tie in chosen for member in members], dtype=bool)


def _allocated(counts: IntArray, slots: IntArray, are_chosen: Array) -> IntArray:
    """Return the weight of each member in its slot.

    Where all are held for their distance, or an estimated count is below the number of
    held samples, all share the count.
    """
    held = np.bincount(slots, minlength=len(counts))
    chosen = np.bincount(slots[are_chosen], minlength=len(counts))
    is_split = (chosen < held) & (held <= counts)
    shared = counts - np.where(is_split, chosen, 0)
    sharers = held - np.where(is_split, chosen, 0)
    is_sharer = ~are_chosen | ~is_split[slots]
    times = np.ones(len(slots), dtype=np.int64)
    mine = slots[is_sharer]
    each, left = np.divmod(shared[mine], sharers[mine])
    times[is_sharer] = each + (_ranks(mine) < left)
    return times


def _ranks(slots: IntArray) -> IntArray:
    """Return how many entries before each one are equal to it.

    Examples
    --------
    >>> _ranks(np.array([3, 5, 3, 3]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(slots, kind="stable")
    _, firsts, sizes = np.unique(slots[order], return_index=True, return_counts=True)
    ranks = np.empty_like(slots)
    ranks[order] = np.arange(len(slots)) - np.repeat(firsts, sizes)
    return ranks
