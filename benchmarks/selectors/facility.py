"""Weighted facility location of what a stream's selector holds at the end."""

from itertools import islice
from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.nearest import nearest_centres
from benchmarks.selectors.reservoirs import held_info, num_held, uniform_sample
from benchmarks.selectors.spaces import held_vectors
from benchmarks.selectors.submodular import distances, similarities
from echo_stream._common.lazy_greedy import lazy_greedy
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.errors import ConfigError

WIDTH = 0.55  # of the kernel, in median distances
MEDIAN_ROWS = 1_000  # or a few more, whose distances to all others the median is of


def reservoir_facility(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep a uniform sample of a stream, and choose by facility location from it at the end.

    The options `held` and `share` are those of `reservoir_medoids`, `kernel` and `width` those of
    `facilities`. A weight is scaled up to the stream.
    """
    kept = uniform_sample(order, num_held(options, len(order), budget), seed)
    demand = np.full(len(kept), len(order) / len(kept))
    chosen, weights = facilities(held_vectors(data, kept), demand, budget, options)
    return Chosen(kept[chosen], weights=weights, info=held_info(len(kept), len(order)))


def facilities(
    x: Array, demand: FloatArray, budget: int, options: dict[str, Any]
) -> tuple[IntArray, FloatArray]:
    """Choose rows of x (n, d) to which all of them are similar, each as much as it counts.

    The option `kernel` is "rbf" (the default), exp(-(distance / scale)^2 / 2) with a scale of the
    option `width` (0.55) times the median distance, or "distance", the similarity of
    `benchmarks.selectors.submodular`.

    Returns
    -------
    chosen : ndarray of shape (B,), int64
        Places of rows, distinct, in the order of selection.
    weights : ndarray of shape (B,), float64
        The demand of the rows that are nearest to each.
    """
    chosen = greedy(_similarities(x, options), demand, budget)
    owners, _ = nearest_centres(x, x[chosen])
    sums = np.bincount(owners, weights=demand, minlength=len(chosen))
    return chosen, np.asarray(sums, np.float64)


def greedy(similar: FloatArray, demand: FloatArray, budget: int) -> IntArray:
    """Return rows with a large sum of demand times the similarity to the nearest of them.

    The lazy greedy algorithm: a gain that was found earlier bounds today's. Ties go to the earlier
    row. O(n^2) at first, then O(n) for each gain that is looked at again.

    Parameters
    ----------
    similar : ndarray of shape (n, n), float64
        Symmetric, at least 0.
    demand : ndarray of shape (n,), float64
    budget : int
        All rows are returned where there are fewer.

    Examples
    --------
    >>> near = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    >>> greedy(near, np.array([1.0, 1.0, 5.0]), 2).tolist()
    [2, 0]
    """
    covered = np.zeros(len(similar))
    chosen: list[int] = []

    def gain_now(row: int) -> float:
        """Return what a row would gain beside those chosen."""
        return float(np.maximum(similar[row] - covered, 0) @ demand)

    for row, _ in islice(lazy_greedy((similar @ demand).tolist(), gain_now), budget):
        chosen.append(row)
        np.maximum(covered, similar[row], out=covered)
    return np.array(chosen, np.int64)


def _similarities(x: Array, options: dict[str, Any]) -> FloatArray:
    """Return the similarity of every two rows of x (n, d): (n, n), float64."""
    kernel = options.get("kernel", "rbf")
    if kernel == "distance":
        return similarities(x)
    if kernel != "rbf":
        msg = f"kernel must be rbf or distance; got {kernel!r}"
        raise ConfigError(msg)
    found = distances(x)
    some = found[:: max(len(x) // MEDIAN_ROWS, 1)]
    apart = some[some > 0]  # neither a row itself nor its duplicates
    scale = float(options.get("width", WIDTH)) * (np.median(apart) if len(apart) else 1.0)
    found /= scale
    np.square(found, out=found)
    found *= -0.5
    return np.exp(found, out=found)
