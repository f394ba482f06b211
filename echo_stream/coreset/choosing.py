"""Choose the members that fill the slots of a coreset, with their certificates."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from echo_stream._common.typing import IntArray
from echo_stream.config import EngineConfig
from echo_stream.coreset.allocation import allocate_by_class, allocate_slots
from echo_stream.coreset.selection import RowSelector, SelectedRow
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.pools import Pools

_Best: TypeAlias = Callable[[int, int], list[SelectedRow]]
"""Returns the first members of a cell, at most the given number."""


class Choice(NamedTuple):
    """The selected rows of a coreset, and how slots were filled.

    Attributes
    ----------
    core, support : list of SelectedRow
        In order of selection.
    num_substituted : int
        Slots whose sample is not held; another one fills them where the rule allows.
    cells_in_doubt : set of int
        Positions of the cells of which a chosen sample is not certified, or not held.
    allocated : ndarray of shape (M,), int64
        Slots of the core that each cell was allocated.
    num_slots : int
        Slots of core and support; there are fewer rows where nothing held is left for one.
    """

    core: list[SelectedRow]
    support: list[SelectedRow]
    num_substituted: int
    cells_in_doubt: set[int]
    allocated: IntArray
    num_slots: int

    @classmethod
    def of(
        cls,
        core: list[SelectedRow],
        support: list[SelectedRow],
        missing: list[int],
        allocated: IntArray,
        support_slots: int = 0,
    ) -> "Choice":
        """Return the choice of rows; missing has the cell of each slot whose sample is missing."""
        doubtful = {row.cell for row in core + support if not row.is_certified}
        num_slots = int(allocated.sum()) + support_slots
        return cls(core, support, len(missing), doubtful | set(missing), allocated, num_slots)


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
    Slots are allocated from counts and degrees alone, never from what the pools happen to
    hold. Only where samples were forgotten can a slot's sample be missing: its own cell's, or
    others', so that a cell is asked for more than its pools were made for. The next one held,
    in the same order, fills it then, and is not certified. The ranks that other cells are asked
    for, and what is certified of them, do not depend on it.
    """
    selector = RowSelector(pools, statistics)
    offered = statistics.counts - pools.unoffered[statistics.slots]
    classes = statistics.classes
    core, missing, allocated = _fill(selector.core, offered, order, config.core_slots, classes)
    if pools.support is None:
        return Choice.of(core, [], missing, allocated)
    if config.support_size:
        size, chosen = config.support_size, list[SelectedRow]()
        farthest = [selector.farthest(cell, size) for cell in range(len(order))]
        for cell in order.tolist():
            missing += [cell] * (min(size, int(offered[cell])) - len(farthest[cell]))
            chosen += farthest[cell]
        return Choice.of(core, chosen, missing, allocated, int(np.minimum(offered, size).sum()))
    taken: list[list[SelectedRow]] = [[] for _ in order]
    for row in core:
        taken[row.cell].append(row)

    def others(cell: int, number: int) -> list[SelectedRow]:
        return selector.support(cell, number, taken[cell], int(allocated[cell]))

    left = offered - allocated
    support, more_missing, more = _fill(others, left, order, config.support_slots, classes)
    return Choice.of(core, support, missing + more_missing, allocated, int(more.sum()))


def _fill(
    best: _Best, counts: IntArray, order: IntArray, slots: int, classes: IntArray
) -> tuple[list[SelectedRow], list[int], IntArray]:
    """Return the rows that fill the slots, the cells of unfilled slots, and the slots per cell."""
    cells, ranks = allocate_by_class(counts, order, slots, classes)
    allocated = np.bincount(cells, minlength=len(counts))
    rows = {cell: best(cell, allocated[cell]) for cell in np.unique(cells).tolist()}
    allocated_slots = list(zip(cells.tolist(), ranks.tolist(), strict=True))
    missing = [cell for cell, rank in allocated_slots if rank > len(rows[cell])]
    others = iter(_substitutes(best, allocated, order, len(missing)) if missing else [])
    filled = [
        rows[cell][rank - 1] if rank <= len(rows[cell]) else next(others, None)
        for cell, rank in allocated_slots
    ]
    return [row for row in filled if row is not None], missing, allocated


def _substitutes(
    best: _Best, allocated: IntArray, order: IntArray, missing: int
) -> list[SelectedRow]:
    """Return the next members held, round by round, beyond those that were allocated a slot."""
    spare = [
        best(cell, number + missing)[number:] for cell, number in enumerate(allocated.tolist())
    ]
    cells, ranks = allocate_slots(np.array([len(rows) for rows in spare]), order, missing)
    return [
        spare[cell][rank - 1]._replace(is_certified=False)
        for cell, rank in zip(cells.tolist(), ranks.tolist(), strict=True)
    ]
