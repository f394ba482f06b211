"""The samples of a stream that are nearest to the centres of a clustering that goes along."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.reservoirs import held_info, num_held
from benchmarks.selectors.spaces import stream_vectors, warmup_size
from echo_stream._common.typing import Array, FloatArray, IntArray

BATCH = 1_024
MAX_CENTRES = 4_096  # as many as ours


def kmeans_nearest(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep the samples nearest to the centres of scikit-learn's MiniBatchKMeans.

    One centre a sample of the budget, but no more than warm-up samples or the option
    `max_centres` (4,096); then several samples a centre. The first batch, from which the
    centres begin, is the warm-up. A weight is a part of the number of samples to which its
    centre was the nearest when they came. With the option `held` no more payloads are held at any
    time, a batch that waits for its step included: a quarter at most is the batch, and the rest
    are the nearest of each centre, then the second nearest of each, and so on.
    """
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - slow to import

    warmup, batch, room = warmup_size(len(order)), BATCH, None
    if "held" in options:
        held = num_held(options, len(order), budget)
        batch = min(BATCH, max(held // 4, 1), held - budget)
        warmup, room = min(warmup, held), held - batch
    x = stream_vectors(data, order, warmup)
    number = min(budget, warmup, int(options.get("max_centres", MAX_CENTRES)))
    model = MiniBatchKMeans(number, random_state=seed, n_init=1)
    cache, counts = NearestCache(x, budget, number, seed, room), np.zeros(number)
    for start, stop in _cuts(len(order), warmup, batch):
        rows = order[start:stop]
        model.partial_fit(x[rows])
        owners = cache.offer(rows, model.cluster_centers_)
        counts += np.bincount(owners, minlength=number)
    core, num_filled = cache.choose()
    info = {
        "num_filled": num_filled,
        "warmup_share": warmup / len(order),
        "held_share": cache.held_share,
    }
    if room is not None:
        info |= held_info(cache.payloads_held, len(order))
    return Chosen(core, weights=cache.weights(core, model.cluster_centers_, counts), info=info)


def _cuts(n: int, first: int, batch: int) -> list[tuple[int, int]]:
    """Return where batches begin and end: the warm-up, then others of a size."""
    starts = [0, *range(first, n, batch)]
    return list(zip(starts, [*starts[1:], n], strict=True))


SPARE = 2  # samples held a centre, in multiples of those wanted: centres move
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
    room : int or None
        Rows that are kept in all, however many are of one centre, and no uniform sample; None:
        twice as many of each centre as are wanted, and a uniform sample.

    Attributes
    ----------
    payloads_held : int
        The most rows that were held at any time, those that had just come included.
    """

    def __init__(
        self, x: Array, budget: int, num_centres: int, seed: int, room: int | None = None
    ) -> None:
        self._x = x
        self._budget = budget
        self._each = SPARE * -(-budget // num_centres)
        self._rng = np.random.default_rng(seed)
        self._kept = np.empty(0, np.int64)
        self._ranks = np.empty(0, np.int64)
        self._uniform = np.empty(0, np.int64)
        self._keys = np.empty(0)
        self._room = room
        self.payloads_held = 0

    @property
    def held_share(self) -> float:
        """Share of the stream that is kept, the uniform sample included."""
        return len(np.union1d(self._kept, self._uniform)) / len(self._x)

    def offer(self, rows: IntArray, centres: Array) -> IntArray:
        """Look at some rows, given where the centres are now; return the centre of each row."""
        candidates = np.concatenate([self._kept, rows])
        held = np.union1d(candidates, self._uniform)
        self.payloads_held = max(self.payloads_held, len(held))
        owners, distances = nearest_centres(self._x[candidates], centres.astype(np.float32))
        # Rank within each centre, by distance.
        order = np.lexsort((distances, owners))
        starts = np.searchsorted(owners[order], owners[order])
        ranks = np.arange(len(order)) - starts
        if self._room is None:
            stay = np.flatnonzero(ranks < self._each)
        else:
            stay = np.lexsort((distances[order], ranks))[: self._room]
        found = owners[len(self._kept) :]
        self._kept, self._ranks = candidates[order[stay]], ranks[stay]
        if self._room is None:
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
