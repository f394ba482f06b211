"""Facility location: choose samples so that everything counted is similar to one of them.

The cells are the demand: the mean of each stands for all its samples, however many. What is
held is the supply. Source: Mirchandani & Francis (1990), "Discrete location theory"; greedily,
Nemhauser, Wolsey & Fisher (1978); lazily, Minoux (1978).
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from echo_stream._common.device import single_threaded
from echo_stream._common.lazy_greedy import lazy_greedy
from echo_stream._common.typing import Array, FloatArray, IntArray

_PAIRED = 1_000  # points of which each two are measured for the width of the kernel
BLOCK_NUMBERS = 2**18  # similarities that are made at a time, in the cache: 2 MiB
KEPT_NUMBERS = 2**25  # similarities that are kept: 256 MiB at most, and hardly ever as many
_LEAST_LOG = -104.0  # below it a similarity is 0 in float32
# Of the logarithm: what gains less than a millionth is left out, as it may be by rounding alone.
_MARGIN = 1e-6


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
    covered: FloatArray | None = None,
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
    covered : ndarray of shape (M,), float64, optional
        How similar each point of the demand is to one that has been chosen before, which counts
        like a pick; see `similarity_to`. In what is returned, `nearest` is -1 where it stays so.

    Notes
    -----
    O(M n d), twice or a few times more. A gain only falls, so that most need not be computed
    again; and only similarities above those to the picks so far are of any use, so that these
    alone are kept after the first pick: 2^25 at most, or fewer picks later. Blocks of the others
    are made in turn, so memory beside that is linear in M + n. One thread: the number of cores
    must not decide between nearly equal gains.

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> locate_facilities(line, np.ones(4), line, 2, width=1.0).rows.tolist()
    [1, 3]
    """
    with single_threaded():
        if preference is None:
            preference = np.ones(len(supply))
        if covered is None:
            covered = np.zeros(len(mass))
        similarities = _Similarities(demand, supply, width)
        return _chosen(similarities, mass, preference, number, min_distance, covered.copy())


def similarity_to(demand: FloatArray, points: FloatArray, *, width: float) -> FloatArray:
    """Return how similar each point of a demand is to the nearest of some points, (M,), float64.

    The similarity is that of `locate_facilities`; 0 where there are no points. O(M n d).

    Examples
    --------
    >>> similarity_to(np.array([[0.0], [3.0]]), np.array([[0.0], [1.0]]), width=1.0).round(3)
    array([1.   , 0.135])
    """
    with single_threaded():
        return _Similarities(demand, points, width).largest()


def _chosen(
    similarities: "_Similarities",
    mass: FloatArray,
    preference: FloatArray,
    number: int,
    min_distance: float,
    covered: FloatArray,
) -> Picks:
    """Return the lazy greedy choice."""
    rows, gains = list[int](), list[float]()
    nearest = np.where(covered > 0, -1, 0)
    refused = np.zeros(len(preference), dtype=bool)

    def gain_now(row: int) -> float | None:
        """Return what a row would gain beside those chosen, if it is not too near to one."""
        if refused[row]:
            return None
        cells, similar = similarities.of(row)
        more = np.maximum(similar - covered[cells], 0)
        return float(more @ mass[cells]) * float(preference[row])

    first = preference * similarities.totals(mass, covered)
    for row, gain in islice(lazy_greedy(first.tolist(), gain_now), number):
        cells, similar = similarities.of(row)
        is_nearer = similar > covered[cells]
        nearest[cells] = np.where(is_nearer, len(rows), nearest[cells])
        covered[cells] = np.maximum(covered[cells], similar)
        rows.append(row)
        gains.append(gain / float(preference[row]))
        if min_distance > 0:
            refused |= similarities.are_near(row, min_distance)
        # After 1, 2, 4, ... picks, until they are kept: each time fewer are of use.
        if len(rows) < number and len(rows).bit_count() == 1:
            similarities.keep(covered)
    return Picks(np.array(rows, dtype=np.int64), np.array(gains), nearest, covered)


class _Similarities:
    """Similarities of the demand to each row of the supply."""

    def __init__(self, demand: FloatArray, supply: FloatArray, width: float) -> None:
        # Distances of far points from the origin would lose their digits to it.
        centre = demand.mean(axis=0) if len(demand) else np.zeros(supply.shape[1])
        a, b = (supply - centre) / width, (demand - centre) / width
        # -|a - b|^2 / 2 as one product, in float64: near to each other and far from the rest,
        # points would lose their digits.
        self._supply = np.column_stack([a, -np.square(a).sum(axis=1) / 2, np.ones(len(a))])
        self._demand = np.column_stack([b, np.ones(len(b)), -np.square(b).sum(axis=1) / 2])
        self._points = supply
        self._kept: tuple[IntArray, Array, Array] | None = None

    def totals(self, mass: FloatArray, covered: FloatArray) -> FloatArray:
        """Return the gain of each row of the supply before any has been chosen, (n,)."""
        parts = [np.zeros(0)]
        for logs in self._logs():
            more = _similar(logs).astype(np.float64)
            more -= covered
            parts.append(np.maximum(more, 0, out=more) @ mass)
        return np.concatenate(parts)

    def largest(self) -> FloatArray:
        """Return the similarity of each point of the demand to the nearest row, (M,)."""
        found = np.zeros(len(self._demand))
        for logs in self._logs():
            np.maximum(found, _similar(logs).max(axis=0, initial=0), out=found)
        return found

    def of(self, row: int) -> tuple[Array | slice, FloatArray]:
        """Return places of the demand, and their similarities to one row, (m,), float64.

        Of all the demand; once similarities are kept, of what the row may still gain.
        """
        if self._kept is None:
            logs = self._supply[row] @ self._demand.T
            return slice(None), _similar(logs).astype(np.float64)
        starts, places, similar = self._kept
        own = slice(starts[row], starts[row + 1])
        return places[own], similar[own].astype(np.float64)

    def keep(self, covered: FloatArray) -> None:
        """Keep the similarities above those that there are already: others gain nothing later.

        None if there are too many, O(M n d); once they are kept, nothing happens.
        """
        if self._kept is not None:
            return
        with np.errstate(divide="ignore"):
            least = np.maximum(np.log(covered) + _MARGIN, _LEAST_LOG)
        counts, places, similar, number = list[IntArray](), list[Array](), list[Array](), 0
        for logs in self._logs():
            is_kept = logs > least
            counts.append(is_kept.sum(axis=1))
            places.append(np.nonzero(is_kept)[1].astype(np.int32))
            similar.append(_similar(logs[is_kept]))
            number += len(places[-1])
            if number > KEPT_NUMBERS:
                return
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        self._kept = starts, np.concatenate(places), np.concatenate(similar)

    def are_near(self, row: int, distance: float) -> Array:
        """Tell which rows of the supply lie nearer to one of them than a distance."""
        squares = np.square(self._points - self._points[row]).sum(axis=1)
        return np.asarray(squares < distance**2)

    def _logs(self) -> Iterator[FloatArray]:
        """Yield the logarithms of similarities, of some rows of the supply at a time."""
        step = max(BLOCK_NUMBERS // max(len(self._demand), 1), 1)
        for start in range(0, len(self._supply), step):
            yield self._supply[start : start + step] @ self._demand.T


def _similar(logs: FloatArray) -> Array:
    """Return similarities, float32, of their logarithms."""
    similar = np.minimum(logs, 0).astype(np.float32)
    return np.asarray(np.exp(similar, out=similar))
