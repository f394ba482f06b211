"""The samples of a stream nearest to centres that move."""

import numpy as np

from echo_stream._common.typing import Array, FloatArray, IntArray

SPARE = 2  # samples kept a centre, in multiples of those wanted: centres move
CHUNK_ROWS = 4_096  # whose distances are in memory at a time


class NearestCache:
    """For each of some centres its nearest samples, among those kept and those that come.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        All samples of the stream; only those that have been offered are read.
    budget, num_centres : int
        Rows to choose in the end, and centres to choose them for.
    seed : int
        Of the uniform sample that fills up where centres have too few.
    """

    def __init__(self, x: Array, budget: int, num_centres: int, seed: int) -> None:
        self._x = x
        self._budget = budget
        self._each = SPARE * -(-budget // num_centres)
        self._rng = np.random.default_rng(seed)
        self._kept = np.empty(0, np.int64)
        self._ranks = np.empty(0, np.int64)
        self._uniform = np.empty(0, np.int64)
        self._keys = np.empty(0)

    @property
    def retained_share(self) -> float:
        """Share of the stream that is kept, the uniform sample included."""
        return len(np.union1d(self._kept, self._uniform)) / len(self._x)

    def offer(self, rows: IntArray, centres: Array) -> IntArray:
        """Look at some rows, given where the centres are now; return the centre of each row."""
        candidates = np.concatenate([self._kept, rows])
        owners, distances = nearest_centres(self._x[candidates], centres.astype(np.float32))
        # Rank within each centre, by distance.
        order = np.lexsort((distances, owners))
        starts = np.searchsorted(owners[order], owners[order])
        ranks = np.arange(len(order)) - starts
        stay = ranks < self._each
        found = owners[len(self._kept) :]
        self._kept, self._ranks = candidates[order[stay]], ranks[stay]
        self._sample(rows)
        return found

    def choose(self) -> tuple[IntArray, int]:
        """Return the rows chosen, and how many of them fill up where centres had too few.

        The nearest of every centre, then the second nearest of every centre, and so on.
        """
        chosen = self._kept[np.argsort(self._ranks, kind="stable")][: self._budget]
        spare = self._uniform[~np.isin(self._uniform, chosen)]
        filling = spare[: self._budget - len(chosen)]
        return np.concatenate([chosen, filling]), len(filling)

    def weights(self, chosen: IntArray, centres: Array, counts: Array) -> FloatArray:
        """Return how many samples each chosen row stands for: its part of its centre's count.

        Itself at least: rows that fill up may be nearest to a centre that has none.

        Parameters
        ----------
        chosen : ndarray of shape (B,), int64
        centres : ndarray of shape (k, d)
        counts : ndarray of shape (k,)
            Samples of each centre.
        """
        owners, _ = nearest_centres(self._x[chosen], centres.astype(np.float32))
        rows = np.bincount(owners, minlength=len(counts))
        return np.maximum(counts[owners] / rows[owners], 1.0)

    def _sample(self, rows: IntArray) -> None:
        """Keep a uniform sample as large as could be needed: the smallest random keys."""
        keys = np.concatenate([self._keys, self._rng.random(len(rows))])
        first = np.argsort(keys)[: self._budget]
        self._keys, self._uniform = keys[first], np.concatenate([self._uniform, rows])[first]


def nearest_centres(x: Array, centres: Array) -> tuple[IntArray, Array]:
    """Return for each row of x its nearest centre, and the squared distance."""
    owners, distances = np.empty(len(x), np.int64), np.empty(len(x))
    norms = np.einsum("kd,kd->k", centres, centres)
    for start in range(0, len(x), CHUNK_ROWS):
        part = x[start : start + CHUNK_ROWS]
        squares = norms - 2 * (part @ centres.T)
        here = squares.argmin(axis=1)
        owners[start : start + CHUNK_ROWS] = here
        own = np.einsum("nd,nd->n", part, part)
        distances[start : start + CHUNK_ROWS] = squares[np.arange(len(part)), here] + own
    return owners, distances
