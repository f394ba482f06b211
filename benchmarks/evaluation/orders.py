"""Orders in which a training set arrives as a stream."""

from collections.abc import Callable

import numpy as np

from echo_stream._common.typing import Array, IntArray

BURST = (20, 200)  # samples of one class on end, least and most
Arrange = Callable[[Array, np.random.Generator], IntArray]


def arranged(order: str, y: Array, seed: int) -> IntArray:
    """Return the rows, of labels y (n,), in the order of the stream; the same for one seed."""
    return ORDERS[order](y, np.random.default_rng([seed, 1]))


def shuffled(y: Array, rng: np.random.Generator) -> IntArray:
    """Return the rows in a random order."""
    return rng.permutation(len(y))


def sorted_by_class(y: Array, rng: np.random.Generator) -> IntArray:
    """Return one class after another, the classes in a random order."""
    rows = shuffled(y, rng)
    classes, positions = np.unique(y, return_inverse=True)
    return rows[np.argsort(rng.permutation(len(classes))[positions][rows], kind="stable")]


def bursts(y: Array, rng: np.random.Generator) -> IntArray:
    """Return runs of 20 to 200 samples of one class, the runs in a random order."""
    rows = sorted_by_class(y, rng)
    cuts = np.cumsum(rng.integers(BURST[0], BURST[1] + 1, len(y) // BURST[0] + 1))
    ends = np.flatnonzero(np.diff(y[rows])) + 1
    runs = np.split(rows, np.union1d(cuts[cuts < len(y)], ends))
    return np.concatenate([runs[run] for run in rng.permutation(len(runs))])


ORDERS: dict[str, Arrange] = {
    "shuffled": shuffled,
    "sorted": sorted_by_class,
    "bursts": bursts,
}
