"""Merge weighted points pair by pair until few are left: Ward's method, for cells that adapt.

Merging two cells of m and n samples at a distance r adds m n / (m + n) r^2 to the sum of squared
distances of samples to the mean of their cell. The pair that adds the least is merged first.
Source: Ward (1963), "Hierarchical grouping to optimize an objective function"; the update of
distances, Lance & Williams (1967).
"""

import heapq
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
    # The least cost of each point with another, which only rises: what waits is a lower bound.
    nearest = costs.argmin(axis=1)
    least = costs.min(axis=1).tolist()
    waiting = list(zip(least, range(len(rows)), nearest.tolist(), strict=True))
    heapq.heapify(waiting)
    is_left, done = np.ones(len(rows), dtype=bool), list[tuple[float, int, int]]()
    while len(rows) - len(done) > left:
        cost, i, j = heapq.heappop(waiting)
        if not is_left[i] or cost != least[i]:
            continue
        if costs[i, j] != cost:  # one of the two has been merged with another since
            j = int(costs[i].argmin())
            least[i] = float(costs[i, j])
            heapq.heappush(waiting, (least[i], i, j))
            continue
        i, j = min(i, j), max(i, j)
        merged = _merged_costs(costs, mass, i, j, np.float32(cost))
        is_left[j] = False
        merged[~is_left] = np.inf
        costs[i], costs[:, i] = merged, merged
        costs[j], costs[:, j] = np.inf, np.inf
        costs[i, i] = np.inf
        mass[i] += mass[j]
        done.append((cost, i, j))
        j = int(merged.argmin())
        least[i] = float(merged[j])
        heapq.heappush(waiting, (least[i], i, j))
    found = np.ldexp(np.array([cost for cost, _, _ in done]), 2 * exponent)
    pairs = np.array([pair for _, *pair in done], dtype=np.int64).reshape(-1, 2)
    return _Merges(np.maximum.accumulate(found), rows[pairs[:, 0]], rows[pairs[:, 1]])


def _pair_costs(points: FloatArray, counts: IntArray) -> tuple[Array, int]:
    """Return what merging each two of n points costs, in units of 4^e, and e.

    Of shape (n, n), float32; inf for one with itself.
    """
    shares = 1 / counts.astype(np.float32)
    costs, exponent = squared_distances(points)
    costs /= shares[:, None] + shares
    np.fill_diagonal(costs, np.inf)
    return costs, exponent


def _merged_costs(costs: Array, mass: Array, i: int, j: int, cost: np.float32) -> Array:
    """Return what merging the union of i and j with each other point costs, (n,)."""
    summed = (mass[i] + mass) * costs[i] + (mass[j] + mass) * costs[j] - mass * cost
    return np.asarray(summed / (mass[i] + mass[j] + mass))


def _labels(n: int, first: IntArray, second: IntArray) -> IntArray:
    """Return the group of each of n points, after merges in their order."""
    owner = np.arange(n)
    owner[second] = first
    while True:
        further = owner[owner]
        if np.array_equal(further, owner):
            return np.unique(owner, return_inverse=True)[1].astype(np.int64)
        owner = further
