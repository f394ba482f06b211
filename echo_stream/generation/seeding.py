"""Choose the initial centres of k-means.

k-means++ draws them at random, and can put two of them into one group and none into another,
which Lloyd's iterations do not repair.
"""

import math
from itertools import islice

import numpy as np

from echo_stream._common.lazy_greedy import lazy_greedy
from echo_stream._common.typing import Array, FloatArray, IntArray

MAX_CANDIDATES = 4_096  # 64 MiB of distances
_BLOCK = 256  # rows of distances that are made at a time


def greedy_seeds(
    points: FloatArray, number: int, *, seed: int, times: IntArray | None = None
) -> FloatArray:
    """Return points of which each leaves the least squared distance to those chosen so far.

    k-means then lowers the same sum. This is the greedy maximum of a facility-location function:
    the reduction of the sum of squares is at least 1 - 1/e of the largest that as many of the
    candidates, the first among them, could reach.

    Parameters
    ----------
    points : ndarray of shape (n, d), float64
    number : int
        Points to choose, at most the number of distinct ones, and 4,096.
    seed : int
        Chooses 4,096 distinct points as candidates, where there are more.
    times : ndarray of shape (n,), int64, optional
        How often each point counts; once where it is not given.

    Returns
    -------
    ndarray of shape (number or fewer, d), float64
        Distinct, the most central first. Between equals, but for rounding, the smaller one.

    Notes
    -----
    O(c^2 d) time and 4 c^2 bytes for c = min(n, 4,096), and O(c) for each evaluation of a
    candidate. Lazy: the gain of a point only falls, so most are not evaluated again. By distances
    that are not squared, far groups of few points get no seed, and k-means ends worse than from
    k-means++ where there are many. Source: Nemhauser, Wolsey & Fisher (1978); lazily, Minoux
    (1978).

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    >>> greedy_seeds(line, 3, seed=0).ravel().tolist()
    [2.0, 10.0, 0.0]
    """
    candidates, weights = _candidates(points, seed, times)
    squares, _ = squared_distances(candidates)
    first = int(np.argmin([_sum(row, weights) for row in squares]))
    chosen, nearest = [first], squares[first].copy()

    def gain_now(row: int) -> float:
        """Return by how much a candidate would reduce the sum of squares."""
        return _sum(np.maximum(nearest - squares[row], 0), weights)

    gains = [-math.inf if row == first else gain_now(row) for row in range(len(candidates))]
    for row, _ in islice(lazy_greedy(gains, gain_now), min(number, len(candidates)) - 1):
        chosen.append(row)
        np.minimum(nearest, squares[row], out=nearest)
    return candidates[chosen]


def _candidates(
    points: FloatArray, seed: int, times: IntArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return distinct points in their own order, 4,096 at most, and how often each counts."""
    distinct, places = np.unique(points, axis=0, return_inverse=True)
    weights = np.bincount(places.ravel(), times, len(distinct)).astype(np.float64)
    if len(distinct) > MAX_CANDIDATES:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(distinct), MAX_CANDIDATES, replace=False))
        distinct, weights = distinct[rows], weights[rows]
    return distinct, weights


def _sum(values: Array, weights: FloatArray) -> float:
    """Return the weighted sum of float32 values, in float64: all but exact in any order."""
    return float(values.astype(np.float64) @ weights)


def squared_distances(points: FloatArray) -> tuple[Array, int]:
    """Return the squared distances of all points (c, d), in units of 4^e, and e.

    Of shape (c, c), float32.
    """
    centred = points - points.mean(axis=0)
    _, exponent = np.frexp(np.abs(centred).max())
    centred = np.ldexp(centred, -exponent)  # exact; float32 ends where its inputs do
    norms, one = np.square(centred).sum(axis=1)[:, None], np.ones((len(points), 1))
    left, right = np.hstack([-2 * centred, norms, one]), np.hstack([centred, one, norms])
    found = np.empty((len(points), len(points)), np.float32)
    for start in range(0, len(points), _BLOCK):
        rows, others = slice(start, start + _BLOCK), slice(start, None)
        # |a - b|^2 as one product, in float64: the digits of near points are lost in float32.
        squares = np.maximum(left[rows] @ right[others].T, 0).astype(np.float32)
        found[rows, others] = squares
        found[others, rows] = squares.T
    return found, int(exponent)
