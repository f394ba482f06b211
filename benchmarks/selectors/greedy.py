"""Greedy choices by distance: k-center and herding."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.spaces import vectors
from echo_stream._common.typing import Array, FloatArray, IntArray


def k_center(data: DataSet, budget: int, seed: int, _: dict[str, Any]) -> Chosen:
    """Choose a random sample, then always the one farthest from all chosen.

    The largest distance of a sample to its nearest chosen one is at most twice the least
    possible. O(n B d). Source: Gonzalez (1985), "Clustering to minimize the maximum
    intercluster distance"; as active learning, Sener & Savarese (2018), ICLR.
    """
    x = vectors(data)
    first = int(np.random.default_rng(seed).integers(len(x)))
    return Chosen(farthest_first(x, min(budget, len(x)), first))


def farthest_first(x: Array, number: int, first: int) -> IntArray:
    """Return rows of x (n, d), the first one given and then always the farthest."""
    norms = np.einsum("nd,nd->n", x, x, dtype=np.float64)
    nearest = np.full(len(x), np.inf)
    chosen = np.empty(number, np.int64)
    for place in range(number):
        chosen[place] = row = first if place == 0 else int(nearest.argmax())
        np.minimum(nearest, norms - 2.0 * (x @ x[row]) + norms[row], out=nearest)
        nearest[row] = -np.inf  # never again, were it only for rounding
    return chosen


def herding(data: DataSet, budget: int, _: int, __: dict[str, Any]) -> Chosen:
    """Choose so that the mean of the chosen comes as near to the mean of all as it can.

    Each step takes the sample nearest to the residual mean (t + 1) mean - sum of the chosen,
    without taking one twice. O(n B d). Source: Welling (2009), "Herding dynamical weights to
    learn", ICML; as in iCaRL, Rebuffi et al. (2017), CVPR, but not class by class. Deterministic.
    """
    x = vectors(data)
    return Chosen(herd(x, min(budget, len(x))))


def herd(x: Array, number: int) -> IntArray:
    """Return rows of x (n, d) whose running mean follows that of x."""
    norms: FloatArray = np.einsum("nd,nd->n", x, x, dtype=np.float64)
    mean = x.mean(axis=0, dtype=np.float64)
    total = np.zeros_like(mean)
    chosen = np.empty(number, np.int64)
    for place in range(number):
        target = (place + 1) * mean - total
        distances = norms - 2.0 * (x @ target.astype(x.dtype))
        distances[chosen[:place]] = np.inf
        chosen[place] = row = int(distances.argmin())
        total += x[row]
    return chosen
