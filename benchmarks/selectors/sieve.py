"""Sieve-streaming++: a submodular choice in one pass."""

from typing import Any, NamedTuple

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.spaces import learnt_share, stream_vectors, warmup_size
from echo_stream._common.typing import Array, FloatArray, IntArray

EPSILON = 0.1
REFERENCE_ROWS = 1_000


class Sieved(NamedTuple):
    """What a sieve has let through.

    Attributes
    ----------
    rows : ndarray of shape (at most B,), int64
    value : float
        What has been maximised, of these rows.
    held : ndarray, int64
        What all thresholds hold at the end, in order of the row number.
    """

    rows: IntArray
    value: float
    held: IntArray


def sieve_streaming(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Choose B samples near which all are, in one pass.

    Maximises by how much the mean squared distance to the nearest chosen sample is below that
    to the mean, over the first `reference_rows` (1,000, within the warm-up) of the stream,
    which stand for all. With the option `epsilon` (0.1) the value is at least 1/2 - epsilon
    of the largest possible. What is missing to B comes from a uniform sample. Source: Kazemi
    et al. (2019), "Submodular streaming in all its glory", ICML, Algorithm 1; the function,
    Badanidiyuru et al. (2014), KDD, section 3.
    """
    x = stream_vectors(data, order)
    most = min(int(options.get("reference_rows", REFERENCE_ROWS)), warmup_size(len(order)))
    sieved = sieve(x, order, order[:most], budget, float(options.get("epsilon", EPSILON)))
    uniform = np.random.default_rng(seed).permutation(order)[:budget]  # what a reservoir keeps
    filling = uniform[~np.isin(uniform, sieved.rows)][: budget - len(sieved.rows)]
    kept = np.unique(np.concatenate([sieved.held, order[:most], uniform]))
    info = {
        "value": sieved.value,
        "num_filled": len(filling),
        "warmup_share": max(most / len(order), learnt_share(data, order)),
        "held_share": len(kept) / len(order),
    }
    return Chosen(np.concatenate([sieved.rows, filling]), info=info)


def sieve(x: Array, order: IntArray, reference: IntArray, budget: int, epsilon: float) -> Sieved:
    """Return what the best of all thresholds lets through. O(n log(B) / epsilon) gains.

    Parameters
    ----------
    x : ndarray of shape (n, d)
    order, reference : ndarray, int64
        Rows as they come, and those that stand for all of them.
    """
    targets = x[reference].astype(np.float64)
    base = np.square(targets - targets.mean(axis=0)).sum(axis=1)
    state = _Thresholds(base, budget, epsilon)
    for row in order.tolist():
        state.offer(row, np.square(targets - x[row]).sum(axis=1))
    return state.best()


class _Thresholds:
    """Sets of rows, one for each threshold that may still be the right one.

    Attributes
    ----------
    exponents : list of int
        Threshold i is (1 + epsilon)^i.
    distances : ndarray of shape (t, m), float64
        Squared, of each of m targets to the nearest row of each set, or to the mean.
    """

    def __init__(self, base: FloatArray, budget: int, epsilon: float) -> None:
        self._base = base
        self._budget = budget
        self._step = np.log1p(epsilon)
        self._largest = 0.0  # value of the best single row
        self._rows: list[list[int]] = []
        self._values = np.empty(0)
        self._lower = 0.0  # of the largest value that can be had
        self.exponents: list[int] = []
        self.distances = np.empty((0, len(base)))

    def offer(self, row: int, squares: FloatArray) -> None:
        """Put a row into the sets whose threshold its gain reaches."""
        alone = float(np.maximum(self._base - squares, 0).mean())
        self._largest = max(self._largest, alone)
        if alone <= 0:  # it adds nothing to any set
            return
        self._keep_thresholds()
        gains = np.maximum(self.distances - squares, 0).mean(axis=1)
        for place in np.flatnonzero(gains >= np.exp(self._step * np.array(self.exponents))):
            if len(self._rows[place]) < self._budget:
                self._rows[place].append(row)
                self._values[place] += gains[place]
                np.minimum(self.distances[place], squares, out=self.distances[place])
        self._lower = max(self._lower, self._values.max(initial=0.0))

    def best(self) -> Sieved:
        """Return the set of the largest value, and what all hold."""
        if not self._rows:
            empty = np.empty(0, np.int64)
            return Sieved(empty, 0.0, empty)
        place = int(self._values.argmax())
        held = set().union(*self._rows)
        return Sieved(
            np.array(self._rows[place], np.int64),
            float(self._values[place]),
            np.array(sorted(held), np.int64),
        )

    def _keep_thresholds(self) -> None:
        """Drop the sets of thresholds that are too low by now, and begin those that are not."""
        lower = max(self._lower, self._largest) / (2 * self._budget)
        # tau_min / (1 + epsilon) <= (1 + epsilon)^i <= largest
        first = int(np.ceil(np.log(lower) / self._step)) - 1
        last = int(np.floor(np.log(self._largest) / self._step))
        if self.exponents == list(range(first, last + 1)):
            return
        old = {exponent: place for place, exponent in enumerate(self.exponents)}
        kept = list(range(first, last + 1))
        self.distances = np.array(
            [self.distances[old[i]] if i in old else self._base for i in kept]
        ).reshape(len(kept), len(self._base))
        self._rows = [self._rows[old[i]] if i in old else [] for i in kept]
        self._values = np.array([self._values[old[i]] if i in old else 0.0 for i in kept])
        self.exponents = kept
