"""How many slots each cell gets, in which order, and the weights of its rows.

Everything here is a pure function of counts, centroids, degrees and pool members.
Source: the ECHO paper, sections III-A and IV-B, equations 4-10.
"""

import numpy as np

from echo_stream._common.typing import FloatArray, IntArray


def order_cells(degrees: IntArray, counts: IntArray) -> IntArray:
    """Return positions of cells in the order in which rounds visit them (eq. 4).

    By degree, descending. The paper leaves ties open, and in two dimensions almost
    all cells tie at degree 4: ties go by count, descending, then by cell index.

    Examples
    --------
    >>> order_cells(np.array([1, 2, 2, 2]), np.array([9, 1, 5, 5])).tolist()
    [2, 3, 1, 0]
    """
    return np.lexsort((np.arange(len(counts)), -counts, -degrees))


def allocate_slots(counts: IntArray, order: IntArray, budget: int) -> tuple[IntArray, IntArray]:
    """Return cell and rank of every core slot, in the order of the coreset (eq. 7).

    Round r visits the cells in order and gives a slot to each that has at least r
    samples, until budget slots are allocated. Counts and degrees alone decide.

    Parameters
    ----------
    counts : ndarray of shape (M,), int64
    order : ndarray of shape (M,), int64
        From `order_cells`.
    budget : int

    Returns
    -------
    cells, ranks : ndarray of shape (min(budget, N),), int64
        Position of the cell; 1-based rank in it.

    Examples
    --------
    >>> cells, ranks = allocate_slots(np.array([1, 3]), np.array([1, 0]), 3)
    >>> cells.tolist(), ranks.tolist()
    ([1, 0, 1], [1, 1, 2])
    """
    rounds: list[IntArray] = []
    missing, rank = budget, 1
    while missing > 0:
        visited = order[counts[order] >= rank][:missing]
        if len(visited) == 0:
            break
        rounds.append(visited)
        missing -= len(visited)
        rank += 1
    cells = np.concatenate(rounds) if rounds else np.zeros(0, dtype=np.int64)
    ranks = np.repeat(np.arange(1, len(rounds) + 1), [len(visited) for visited in rounds])
    return cells, ranks.astype(np.int64)


def allocate_by_class(
    counts: IntArray, order: IntArray, budget: int, classes: IntArray
) -> tuple[IntArray, IntArray]:
    """Return cell and rank of every slot, as many for each class as it has samples for.

    The budget is allocated to classes in rounds, as `allocate_slots` allocates it to cells: the
    classes with the fewest samples keep all, the others get equal shares, and the largest get
    one more where a round is cut short. Then the share of each class is allocated to its cells.
    With a single class this is `allocate_slots`.

    Parameters
    ----------
    counts, order, budget
        As `allocate_slots` takes them.
    classes : ndarray of shape (M,), int64
        Number of each cell's class.

    Examples
    --------
    >>> counts, order, classes = np.array([9, 1, 5]), np.array([0, 2, 1]), np.array([4, 6, 4])
    >>> cells, ranks = allocate_by_class(counts, order, 4, classes)
    >>> cells.tolist(), ranks.tolist()
    ([0, 2, 1, 0], [1, 1, 1, 2])
    """
    numbers, places = np.unique(classes, return_inverse=True)
    totals = np.bincount(places, weights=counts, minlength=len(numbers)).astype(np.int64)
    largest_first = np.lexsort((numbers, -totals))
    shares = np.bincount(allocate_slots(totals, largest_first, budget)[0], minlength=len(numbers))
    allocated = [
        allocate_slots(counts, order[places[order] == place], share)
        for place, share in enumerate(shares.tolist())
    ]
    if not allocated:
        return allocate_slots(counts, order, budget)
    cells = np.concatenate([cells for cells, _ in allocated])
    ranks = np.concatenate([ranks for _, ranks in allocated])
    visited = np.empty(len(counts), dtype=np.int64)
    visited[order] = np.arange(len(order))
    merged = np.lexsort((visited[cells], ranks))
    return cells[merged], ranks[merged]


def row_weights(
    counts: IntArray, rows_per_cell: IntArray, centroids: FloatArray, classes: IntArray
) -> FloatArray:
    """Return the weight of one row of each cell: its count over its rows.

    A cell without a row gives its count to the cell with rows whose centroid is
    nearest, ties by cell index; to one of its own class, where that has rows. Weights of
    all rows sum to N.

    Parameters
    ----------
    counts, rows_per_cell, classes : ndarray of shape (M,), int64
    centroids : ndarray of shape (M, d), float64

    Returns
    -------
    ndarray of shape (M,), float64
        0 for a cell without rows, and for all where there is no row at all.

    Examples
    --------
    >>> counts, rows, centroids = np.array([4, 3]), np.array([2, 0]), np.array([[0.0], [1.0]])
    >>> row_weights(counts, rows, centroids, np.zeros(2, dtype=np.int64)).tolist()
    [3.5, 0.0]
    """
    taken = np.flatnonzero(rows_per_cell)
    represented = counts.astype(np.float64) * (rows_per_cell > 0)
    if len(taken) == 0:
        return np.zeros(len(counts))
    for cell in np.flatnonzero(rows_per_cell == 0):
        own = taken[classes[taken] == classes[cell]]
        among = own if len(own) else taken
        represented[_nearest(centroids[cell], centroids, among)] += counts[cell]
    return np.divide(represented, rows_per_cell, out=np.zeros(len(counts)), where=rows_per_cell > 0)


def _nearest(point: FloatArray, centroids: FloatArray, among: IntArray) -> int:
    """Return which of the cells in `among`, ascending, has the centroid nearest to point."""
    distances = np.square(centroids[among] - point).sum(axis=1)
    return int(among[distances.argmin()])
