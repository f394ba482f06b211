"""The samples nearest to the centres of k-means."""

import warnings
from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.reservoirs import held_info, num_held, uniform_sample
from benchmarks.selectors.spaces import held_vectors, vectors
from echo_stream._common.typing import Array, FloatArray, IntArray

CHUNK_CENTRES = 128  # whose distances to all samples are in memory at a time


def k_medoids(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose for each of B centres of scikit-learn's k-means the nearest sample.

    Every centre reads all samples, again and again: a batch method, and the one to beat. The
    option `iterations` (default 25) bounds that. A weight is the number of samples of a centre.
    """
    return _medoids(vectors(data), budget, seed, options)


def reservoir_medoids(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep a uniform sample of a stream, and choose as `k_medoids` does from it at the end.

    What a stream is worth to who keeps much of it. The option `held` is the number of samples
    kept; without it, the option `share` (default 0.1) is the part of the stream. A weight is
    scaled up to the stream.
    """
    kept = uniform_sample(order, num_held(options, len(order), budget), seed)
    chosen = _medoids(held_vectors(data, kept), budget, seed, options)
    assert chosen.weights is not None
    info = chosen.info | held_info(len(kept), len(order))
    weights = chosen.weights * (len(order) / len(kept))
    return Chosen(kept[chosen.core], weights=weights, info=info)


def _medoids(x: Array, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose rows of x (n, d)."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - slow to import

    number = min(budget, len(x))
    iterations = int(options.get("iterations", 25))
    model = KMeans(number, n_init=1, max_iter=iterations, random_state=seed)
    with warnings.catch_warnings():
        # Fewer distinct samples than centres.
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        labels = model.fit_predict(x)
    core = nearest_rows(x, model.cluster_centers_)
    weights = np.bincount(labels, minlength=number).astype(np.float64)
    return Chosen(core, weights=weights, info={"iterations": int(model.n_iter_)})


def nearest_rows(x: Array, centres: FloatArray) -> IntArray:
    """Return for each centre (k, d) the nearest row of x (n, d), n >= k, no row twice.

    Where two centres have the same, the later one takes its nearest among the rest.
    """
    centres = centres.astype(x.dtype)
    norms = np.einsum("nd,nd->n", x, x)
    is_free = np.ones(len(x), bool)
    chosen = np.empty(len(centres), np.int64)
    for start in range(0, len(centres), CHUNK_CENTRES):
        distances = norms - 2 * (centres[start : start + CHUNK_CENTRES] @ x.T)
        nearest = distances.argmin(axis=1)
        for place, row in enumerate(nearest):
            if not is_free[row]:
                nearest[place] = np.where(is_free, distances[place], np.inf).argmin()
            is_free[nearest[place]] = False
        chosen[start : start + len(nearest)] = nearest
    return chosen
