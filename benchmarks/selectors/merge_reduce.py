"""A weighted set that is reduced whenever it is full, and chosen from at the end."""

import warnings
from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.facility import facilities
from benchmarks.selectors.medoids import nearest_rows
from benchmarks.selectors.reservoirs import held_info, num_held
from benchmarks.selectors.spaces import held_vectors
from echo_stream._common.typing import Array, FloatArray, IntArray

ITERATIONS = 10  # of k-means, for a reduction


def merge_reduce(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep a weighted set of a stream, and choose by weighted facility location at the end.

    When as many payloads are held as may be (the options `held` and `share` are those of
    `reservoir_medoids`), weighted k-means of scikit-learn, with the option `iterations` (10) at
    most, makes half as many of them, but no fewer than the budget: of each centre the nearest
    sample stays, with the weight of all that fell to it. The options `kernel` and `width` are those
    of `facilities`. Sources: Har-Peled & Mazumdar (2004), STOC, merge-and-reduce; Feldman, Schmidt
    & Sohler (2013), SODA.
    """
    most = num_held(options, len(order), budget)
    iterations = int(options.get("iterations", ITERATIONS))
    rows, weights, arrived, payloads = order[:0], np.empty(0), 0, 0
    while True:
        # 1. As many samples come as there is room for.
        new = order[arrived : arrived + most - len(rows)]
        rows, weights = np.concatenate([rows, new]), np.concatenate([weights, np.ones(len(new))])
        arrived, payloads = arrived + len(new), max(payloads, len(rows))
        if arrived == len(order):
            break
        # 2. It is full: half of it stands for all of it.
        number = max(most // 2, budget)
        kept, weights = reduced(held_vectors(data, rows), weights, number, seed, iterations)
        rows = rows[kept]
    chosen, weights = facilities(held_vectors(data, rows), weights, budget, options)
    return Chosen(rows[chosen], weights=weights, info=held_info(payloads, len(order)))


def reduced(
    x: Array, weights: FloatArray, number: int, seed: int, iterations: int
) -> tuple[IntArray, FloatArray]:
    """Return places of rows of x (n, d) that stand for all of them, and their new weights.

    Distinct, a number of them, n at most; the sum of the weights (n,) stays the same.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - slow to import

    model = KMeans(number, n_init=1, max_iter=iterations, random_state=seed)
    with warnings.catch_warnings():
        # Fewer distinct samples than centres.
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        labels = model.fit_predict(x, sample_weight=weights)
    sums = np.bincount(labels, weights=weights, minlength=number)
    return nearest_rows(x, model.cluster_centers_), np.asarray(sums, np.float64)
