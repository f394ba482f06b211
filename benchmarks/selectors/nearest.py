"""The samples of a stream that are nearest to the centres of a clustering that goes along."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.nearest_cache import NearestCache
from benchmarks.selectors.spaces import stream_vectors, warmup_size
from echo_stream._common.typing import IntArray

BATCH = 1_024
MAX_CENTRES = 4_096  # as many as ours


def kmeans_nearest(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep the samples nearest to the centres of scikit-learn's MiniBatchKMeans.

    One centre a sample of the budget, but no more than warm-up samples or the option
    `max_centres` (4,096); then several samples a centre. The first batch, from which the
    centres begin, is the warm-up. A weight is a part of the number of samples to which its
    centre was the nearest when they came.
    """
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - slow to import

    x = stream_vectors(data, order)
    warmup = warmup_size(len(order))
    number = min(budget, warmup, int(options.get("max_centres", MAX_CENTRES)))
    model = MiniBatchKMeans(number, random_state=seed, n_init=1)
    cache, counts = NearestCache(x, budget, number, seed), np.zeros(number)
    for start, stop in _cuts(len(order), warmup):
        rows = order[start:stop]
        model.partial_fit(x[rows])
        owners = cache.offer(rows, model.cluster_centers_)
        counts += np.bincount(owners, minlength=number)
    core, num_filled = cache.choose()
    info = {
        "num_filled": num_filled,
        "warmup_share": warmup / len(order),
        "retained_share": cache.retained_share,
    }
    return Chosen(core, weights=cache.weights(core, model.cluster_centers_, counts), info=info)


def _cuts(n: int, first: int) -> list[tuple[int, int]]:
    """Return where batches begin and end: the warm-up, then batches of 1,024."""
    starts = [0, *range(first, n, BATCH)]
    return list(zip(starts, [*starts[1:], n], strict=True))
