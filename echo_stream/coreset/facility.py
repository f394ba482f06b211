"""Facility location: choose samples so that everything counted is similar to one of them.

The cells are the demand: the mean of each stands for all its samples, however many. What is
held is the supply. Source: Mirchandani & Francis (1990), "Discrete location theory"; greedily,
Nemhauser, Wolsey & Fisher (1978); lazily, Minoux (1978).
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from echo_stream._common.device import single_threaded
from echo_stream._common.lazy_greedy import lazy_greedy
from echo_stream._common.typing import Array, FloatArray, IntArray

_PAIRED = 1_000  # points of which each two are measured for the width of the kernel
BLOCK_NUMBERS = 2**22  # similarities that are made at a time: 48 MiB
KEPT_NUMBERS = 2**26  # similarities that are kept; of more, each row is made when it is asked for


class Picks(NamedTuple):
    """What was chosen.

    Attributes
    ----------
    rows : ndarray of shape (k,), int64
        Rows of the supply, in the order of selection.
    gains : ndarray of shape (k,), float64
        By how much each has raised the coverage.
    nearest : ndarray of shape (M,), int64
        For each point of the demand the place in `rows` of the nearest pick.
    similarities : ndarray of shape (M,), float64
        Similarity of each to that pick, from 0 to 1.
    """

    rows: IntArray
    gains: FloatArray
    nearest: IntArray
    similarities: FloatArray


def kernel_width(points: FloatArray) -> float:
    """Return the width of the kernel for a demand at points (n, d), n >= 1.

    The median distance between two that differ, of 1,000 at most, evenly spaced; 1 where all are
    equal. Each counts once, however many samples it stands for, so that rare ones far away are
    not out of reach of all others. O(d).

    Examples
    --------
    >>> kernel_width(np.array([[0.0], [2.0]]))
    2.0
    """
    rows = np.linspace(0, len(points) - 1, min(len(points), _PAIRED)).astype(np.int64)
    distances = pdist(points[rows])
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0


def locate_facilities(
    demand: FloatArray,
    mass: FloatArray,
    supply: FloatArray,
    number: int,
    *,
    width: float,
    preference: FloatArray | None = None,
    min_distance: float = 0.0,
) -> Picks:
    """Choose rows of the supply for which sum_c mass_c max_j k(demand_c, supply_j) is large.

    k is exp(-|a - b|^2 / (2 width^2)). The greedy choice has at least 1 - e^(-1/p) of the
    largest sum there is, with p the largest preference, 1 where none is given.

    Parameters
    ----------
    demand : ndarray of shape (M, d), float64
    mass : ndarray of shape (M,), float64
        How much each point of the demand counts, 0 or more.
    supply : ndarray of shape (n, d), float64
        Of equal gains the earlier row is chosen.
    number : int
        Rows to choose, at most n.
    width : float
        Of the kernel, more than 0.
    preference : ndarray of shape (n,), float64, optional
        Factors, at least 1, of the gains of the supply where they are compared.
    min_distance : float
        Rows that lie nearer than this to a chosen one are refused; there may be fewer rows then.

    Notes
    -----
    O(M n d), and O(M) for each gain that is computed again: a gain only falls, so that most need
    not be. Memory is linear in M + n where there are more than 2^26 similarities. One thread:
    the number of cores must not decide between nearly equal gains.

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> locate_facilities(line, np.ones(4), line, 2, width=1.0).rows.tolist()
    [1, 3]
    """
    with single_threaded():
        if preference is None:
            preference = np.ones(len(supply))
        return _chosen(_Similarities(demand, supply, width), mass, preference, number, min_distance)


def _chosen(
    similarities: "_Similarities",
    mass: FloatArray,
    preference: FloatArray,
    number: int,
    min_distance: float,
) -> Picks:
    """Return the lazy greedy choice."""
    rows, gains = list[int](), list[float]()
    covered = np.zeros(len(mass))
    nearest = np.zeros(len(mass), dtype=np.int64)
    refused = np.zeros(len(preference), dtype=bool)

    def gain_now(row: int) -> float | None:
        """Return what a row would gain beside those chosen, if it is not too near to one."""
        if refused[row]:
            return None
        return float(np.maximum(similarities.of(row) - covered, 0) @ mass) * float(preference[row])

    first = preference * similarities.totals(mass)
    for row, gain in islice(lazy_greedy(first.tolist(), gain_now), number):
        similar = similarities.of(row)
        is_nearer = similar > covered
        nearest[is_nearer] = len(rows)
        np.maximum(covered, similar, out=covered)
        rows.append(row)
        gains.append(gain / float(preference[row]))
        if min_distance > 0:
            refused |= similarities.are_near(row, min_distance)
    return Picks(np.array(rows, dtype=np.int64), np.array(gains), nearest, covered)


class _Similarities:
    """Similarities of the demand to each row of the supply."""

    def __init__(self, demand: FloatArray, supply: FloatArray, width: float) -> None:
        # Distances of far points from the origin would lose their digits to it.
        centre = demand.mean(axis=0) if len(demand) else np.zeros(supply.shape[1])
        self._demand = (demand - centre) / width
        self._supply = (supply - centre) / width
        self._halves = np.square(self._demand).sum(axis=1) / 2
        self._points = supply
        self._kept: Array | None = None
        if len(demand) * len(supply) <= KEPT_NUMBERS:
            self._kept = np.empty((len(supply), len(demand)), dtype=np.float32)

    def totals(self, mass: FloatArray) -> FloatArray:
        """Return the gain of each row of the supply before any has been chosen, (n,)."""
        totals = np.empty(len(self._supply))
        step = max(BLOCK_NUMBERS // max(len(self._demand), 1), 1)
        for start in range(0, len(self._supply), step):
            rows = slice(start, start + step)
            block = self._made(rows)
            totals[rows] = block.astype(np.float64) @ mass
            if self._kept is not None:
                self._kept[rows] = block
        return totals

    def of(self, row: int) -> FloatArray:
        """Return the similarities of the demand to one row of the supply, (M,), float64."""
        made = self._made(slice(row, row + 1))[0] if self._kept is None else self._kept[row]
        return np.asarray(made, dtype=np.float64)

    def are_near(self, row: int, distance: float) -> Array:
        """Tell which rows of the supply lie nearer to one of them than a distance."""
        squares = np.square(self._points - self._points[row]).sum(axis=1)
        return np.asarray(squares < distance**2)

    def _made(self, rows: slice) -> Array:
        """Return the similarities of some rows of the supply, one row for each, float32."""
        # In float64: near to each other and far from the rest, points would lose their digits.
        a, b = self._supply[rows], self._demand
        halves = a @ b.T
        halves -= np.square(a).sum(axis=1)[:, None] / 2
        halves -= self._halves
        similar = np.minimum(halves, 0, out=halves).astype(np.float32)
        return np.asarray(np.exp(similar, out=similar))
