"""Which members fill the slots of a coreset, with what is proven of each."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from echo_stream._common.typing import IntArray
from echo_stream.config import EngineConfig
from echo_stream.coreset.dealing import deal_by_class, deal_slots
from echo_stream.coreset.selection import Pick, Picker
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.pools import Pools

Best: TypeAlias = Callable[[int, int], list[Pick]]
"""Returns the first members of a cell: at most so many as asked for, fewer if not held."""


class Choice(NamedTuple):
    """What has been chosen.

    Attributes
    ----------
    core, support : list of Pick
        In order of selection.
    num_substituted : int
        Slots that were dealt to a sample which is not held; another one fills them, if the
        rule allows for another.
    cells_in_doubt : set of int
        Positions of the cells of which a chosen sample is not certified, or not held.
    dealt : ndarray of shape (M,), int64
        Slots of the core that each cell was dealt.
    num_slots : int
        Slots of core and support; there are fewer rows where nothing held is left for one.
    """

    core: list[Pick]
    support: list[Pick]
    num_substituted: int
    cells_in_doubt: set[int]
    dealt: IntArray
    num_slots: int

    @classmethod
    def of(
        cls,
        core: list[Pick],
        support: list[Pick],
        missing: list[int],
        dealt: IntArray,
        support_slots: int = 0,
    ) -> "Choice":
        """Return the choice of picks; missing has the cell of each slot without its sample."""
        doubtful = {pick.cell for pick in core + support if not pick.is_certified}
        num_slots = int(dealt.sum()) + support_slots
        return cls(core, support, len(missing), doubtful | set(missing), dealt, num_slots)


def choose(
    pools: Pools, statistics: CellStatistics, order: IntArray, config: EngineConfig
) -> Choice:
    """Return the members that fill the slots of core and support (eq. 5-10).

    Parameters
    ----------
    pools : Pools
    statistics : CellStatistics
    order : ndarray of shape (M,), int64
        From `order_cells`.
    config : EngineConfig
        Support is a number per cell, or has a share of the budget.

    Notes
    -----
    Slots are dealt from counts and degrees alone, never from what the pools happen to
    hold. Only where samples were forgotten can a slot's sample be missing: its own cell's, or
    others', so that a cell is asked for more than its pools were made for. The next one held,
    in the same order, fills it then, and is not certified. The ranks that other cells are asked
    for, and what is certified of them, do not depend on it.
    """
    picker = Picker(pools, statistics)
    offered = statistics.counts - pools.absent[statistics.slots]
    classes = statistics.classes
    core, missing, dealt = _fill(picker.core, offered, order, config.core_slots, classes)
    if pools.support is None:
        return Choice.of(core, [], missing, dealt)
    if config.support_size:
        size, chosen = config.support_size, list[Pick]()
        farthest = [picker.farthest(cell, size) for cell in range(len(order))]
        for cell in order.tolist():
            missing += [cell] * (min(size, int(offered[cell])) - len(farthest[cell]))
            chosen += farthest[cell]
        return Choice.of(core, chosen, missing, dealt, int(np.minimum(offered, size).sum()))
    taken: list[list[Pick]] = [[] for _ in order]
    for pick in core:
        taken[pick.cell].append(pick)

    def others(cell: int, number: int) -> list[Pick]:
        return picker.support(cell, number, taken[cell], int(dealt[cell]))

    left = offered - dealt
    support, more_missing, more = _fill(others, left, order, config.support_slots, classes)
    return Choice.of(core, support, missing + more_missing, dealt, int(more.sum()))


def _fill(
    best: Best, counts: IntArray, order: IntArray, slots: int, classes: IntArray
) -> tuple[list[Pick], list[int], IntArray]:
    """Return the picks for slots dealt by rounds, and the cells of slots that had none.

    Also how many slots each cell was dealt, of shape (M,), int64.
    """
    cells, ranks = deal_by_class(counts, order, slots, classes)
    dealt = np.bincount(cells, minlength=len(counts))
    picks = {cell: best(cell, dealt[cell]) for cell in np.unique(cells).tolist()}
    dealt_slots = list(zip(cells.tolist(), ranks.tolist(), strict=True))
    missing = [cell for cell, rank in dealt_slots if rank > len(picks[cell])]
    others = iter(_substitutes(best, dealt, order, len(missing)) if missing else [])
    filled = [
        picks[cell][rank - 1] if rank <= len(picks[cell]) else next(others, None)
        for cell, rank in dealt_slots
    ]
    return [pick for pick in filled if pick is not None], missing, dealt


def _substitutes(best: Best, dealt: IntArray, order: IntArray, missing: int) -> list[Pick]:
    """Return the next members held, round by round, beyond those that were dealt a slot."""
    spare = [best(cell, number + missing)[number:] for cell, number in enumerate(dealt.tolist())]
    cells, ranks = deal_slots(np.array([len(picks) for picks in spare]), order, missing)
    return [
        spare[cell][rank - 1]._replace(is_certified=False)
        for cell, rank in zip(cells.tolist(), ranks.tolist(), strict=True)
    ]
