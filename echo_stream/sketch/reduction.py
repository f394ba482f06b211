"""Merge weighted points pair by pair until few are left: Ward's method, for cells that adapt.

Merging two cells of m and n samples at a distance r adds m n / (m + n) r^2 to the sum of squared
distances of samples to the mean of their cell. The pair that adds the least is merged first.
Two that are nearest to each other merge sooner or later, whatever else does: so all such pairs
are merged together, and the groups are the same.
Source: Ward (1963), "Hierarchical grouping to optimize an objective function"; the update of
distances, Lance & Williams (1967); pairs that are nearest to each other, Murtagh (1983).
"""

from typing import NamedTuple

import numpy as np

from echo_stream._common.device import single_threaded
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.generation.seeding import squared_distances

MOST_TOGETHER = 2_048  # points whose pairs are all compared: 16 MiB of costs


class Reduction(NamedTuple):
    """Which points have become one.

    Attributes
    ----------
    labels : ndarray of shape (n,), int64
        Number of each point's group; groups are numbered by their first point.
    cost : float
        Of the last merge: by how much it raised the sum of squares. 0 where there was none.
    """

    labels: IntArray
    cost: float


class _Merges(NamedTuple):
    """Merges in one part of the points, in order of cost: the second joins the first."""

    costs: FloatArray
    first: IntArray
    second: IntArray


def reduce_points(points: FloatArray, counts: IntArray, number: int) -> Reduction:
    """Merge points pair by pair until number groups are left.

    Parameters
    ----------
    points : ndarray of shape (n, d), float64
        Means.
    counts : ndarray of shape (n,), int64
        Samples of each, at least 1.
    number : int
        Groups to leave, at least 1.

    Notes
    -----
    Between equal costs the earlier point is merged first. Up to 2,048 points all pairs are
    compared: O(n^2 d) and 8 n^2 bytes. More are first cut into parts by planes, and pairs of one
    part alone are compared: O(n d log n) more, and as many bytes as one part takes.

    Examples
    --------
    >>> line = np.array([[0.0], [5.0], [0.5], [9.0]])
    >>> reduce_points(line, np.ones(4, dtype=np.int64), 2)
    Reduction(labels=array([0, 1, 0, 1]), cost=8.0)
    """
    wanted = len(points) - number
    if wanted <= 0:
        return Reduction(np.arange(len(points)), 0.0)
    with single_threaded():  # the number of cores must not decide between nearly equal costs
        parts = _parts(points)
        merges = [_merges(points, counts, rows, wanted, len(points)) for rows in parts]
    costs = np.concatenate([part.costs for part in merges])
    # In each part costs rise, so that the smallest of all are the first of each.
    chosen = np.sort(np.argsort(costs, kind="stable")[:wanted])
    first, second = (np.concatenate([part[side] for part in merges])[chosen] for side in (1, 2))
    reduction = Reduction(_labels(len(points), first, second), float(costs[chosen].max()))
    # Where few are to be left, points of different parts must merge too.
    return reduction if len(chosen) == wanted else _reduced(points, counts, reduction, number)


def _reduced(points: FloatArray, counts: IntArray, reduction: Reduction, number: int) -> Reduction:
    """Return a reduction whose groups have been merged further, until number are left."""
    labels = reduction.labels
    masses = np.zeros(labels.max() + 1, dtype=np.int64)
    sums = np.zeros((len(masses), points.shape[1]))
    np.add.at(masses, labels, counts)
    np.add.at(sums, labels, points * counts[:, None])
    further = reduce_points(sums / masses[:, None], masses, number)
    return Reduction(further.labels[labels], max(reduction.cost, further.cost))


def _parts(points: FloatArray) -> list[IntArray]:
    """Cut points into parts of at most `MOST_TOGETHER`, by the median of their widest axis."""
    waiting, parts = [np.arange(len(points))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= MOST_TOGETHER:
            parts.append(rows)
            continue
        along = points[rows, points[rows].var(axis=0).argmax()]
        order = rows[np.argsort(along, kind="stable")]
        waiting += [np.sort(half) for half in np.array_split(order, 2)]
    return parts


def _merges(
    points: FloatArray, counts: IntArray, rows: IntArray, wanted: int, total: int
) -> _Merges:
    """Return the first merges of one part: all that can be among those wanted of the whole.

    A part of many is merged down to half of its share at least, so that there are enough.
    """
    left = max(len(rows) - wanted, 1)
    if len(rows) < total:
        left = max(left, (total - wanted) * len(rows) // (2 * total), 1)
    costs, exponent = _pair_costs(points[rows], counts[rows])
    mass = counts[rows].astype(np.float32)
    own, highest = np.arange(len(rows)), np.zeros(len(rows), dtype=np.float32)
    nearest = costs.argmin(axis=1)
    least = costs[own, nearest]
    done = list[tuple[Array, IntArray, IntArray]]()
    missing = len(rows) - left
    while missing:
        # 1. Of two points that are nearest to each other neither has a cheaper merge to come. So
        #    few points lie below this limit that all merges there can be are among those wanted.
        limit = np.partition(least, missing)[missing]
        near = np.flatnonzero((least < limit) | (least == least.min()))
        _pair_equals(costs, nearest, least, near)
        first = near[(nearest[nearest[near]] == near) & (near < nearest[near])]
        if not len(first):  # between costs that differ by their rounding alone
            first = least.argmin(keepdims=True)
        first = first[np.argsort(least[first], kind="stable")[:missing]]
        i, j = np.sort([first, nearest[first]], axis=0)
        cost = costs[i, j]
        merge_costs(costs, mass, i, j, cost)
        highest[i] = np.maximum(cost, np.maximum(highest[i], highest[j]))
        done.append((highest[i], i, j))
        missing -= len(i)
        # 2. A cost only rises, so only points whose nearest has been merged have another one.
        is_merged = np.zeros(len(rows), dtype=bool)
        is_merged[i] = is_merged[j] = True
        stale = np.flatnonzero((is_merged | is_merged[nearest]) & (least < np.inf))
        its_costs = costs[stale]
        nearest[stale] = its_costs.argmin(axis=1)
        least[stale] = its_costs[np.arange(len(stale)), nearest[stale]]
    found, i, j = map(np.concatenate, zip(*done, strict=True))
    order = np.argsort(found, kind="stable")
    return _Merges(
        np.ldexp(found[order].astype(np.float64), 2 * exponent), rows[i[order]], rows[j[order]]
    )


def _pair_equals(costs: Array, nearest: IntArray, least: Array, rows: IntArray) -> None:
    """Choose among equally near points so that more of some rows are nearest to each other.

    Otherwise equal points, which all have the first one as their nearest, would merge one by one.
    """
    is_mutual = nearest[nearest[rows]] == rows
    is_free = np.zeros(len(least), dtype=bool)
    is_free[rows[~is_mutual]] = True
    for i in rows[~is_mutual & (least[nearest[rows]] == least[rows])].tolist():
        if is_free[i]:
            others = np.flatnonzero(is_free & (costs[i] == least[i]) & (least == least[i]))
            if len(others):
                j = others[0]
                nearest[i], nearest[j] = j, i
                is_free[i] = is_free[j] = False


def _pair_costs(points: FloatArray, counts: IntArray) -> tuple[Array, int]:
    """Return what merging each two of n points costs, in units of 4^e, and e.

    Of shape (n, n), float32; inf for one with itself.
    """
    shares = (1 / counts).astype(np.float32)
    costs, exponent = squared_distances(points)
    costs /= shares[:, None] + shares
    np.fill_diagonal(costs, np.inf)
    return costs, exponent


def merge_costs(costs: Array, mass: Array, i: IntArray, j: IntArray, cost: Array) -> None:
    """Let points i be their unions with points j, which are gone, in costs (n, n) and mass."""
    m, n = mass[i], mass[j]
    rows = _united(costs[i], costs[j], m[:, None], n[:, None], mass, cost[:, None])
    mass[i] = m + n
    rows[:, i] = _united(rows[:, i], rows[:, j], m, n, mass[i, None], cost)
    rows[:, j] = np.inf
    costs[i], costs[:, i] = rows, rows.T
    costs[j], costs[:, j] = np.inf, np.inf


def _united(to_i: Array, to_j: Array, m: Array, n: Array, mass: Array, cost: Array) -> Array:
    """Return what merging unions of i and j, of m and n samples, with others of a mass costs.

    to_i and to_j, what it costs with i and j alone, are overwritten.
    """
    to_i *= m + mass
    to_j *= n + mass
    to_i += to_j
    to_i -= mass * cost
    to_i /= m + n + mass
    return to_i


def _labels(n: int, first: IntArray, second: IntArray) -> IntArray:
    """Return the group of each of n points, after merges in their order."""
    owner = np.arange(n)
    owner[second] = first
    while True:
        further = owner[owner]
        if np.array_equal(further, owner):
            return np.unique(owner, return_inverse=True)[1].astype(np.int64)
        owner = further
