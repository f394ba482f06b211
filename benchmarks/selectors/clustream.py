"""The samples of a stream that are nearest to the micro-clusters of CluStream."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.nearest import NearestCache
from benchmarks.selectors.spaces import learnt_share, stream_vectors
from echo_stream._common.typing import FloatArray, IntArray

BATCH = 250
MAX_ROWS = 2_000  # river takes about a millisecond for each, and 20 for one that fits nowhere
MICRO_CLUSTERS = 50


def clustream_nearest(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Keep the samples nearest to the micro-clusters of river's CluStream.

    One a sample of the budget, but no more than the option `micro_clusters` (50); then several
    samples each. It learns one sample at a time in Python: of the stream, only every so many
    of its samples, the option `max_rows` (2,000) in all, are looked at; `info` has the number.
    A weight is a part of the number of samples in its micro-cluster.
    Source: Aggarwal et al. (2003), "A framework for clustering evolving data streams", VLDB.
    """
    from river.cluster import CluStream  # noqa: PLC0415 - only this selector needs it

    x = stream_vectors(data, order)
    most = max(int(options.get("max_rows", MAX_ROWS)), budget)
    looked_at = order[np.linspace(0, len(order) - 1, min(most, len(order))).astype(np.int64)]
    number = min(budget, len(looked_at), int(options.get("micro_clusters", MICRO_CLUSTERS)))
    model: Any = CluStream(
        max_micro_clusters=number,
        time_window=len(looked_at),  # nothing is forgotten for its age
        time_gap=len(looked_at) + 1,  # macro-clusters are not asked for
        seed=seed,
    )
    cache = NearestCache(x, budget, number, seed)
    for start in range(0, len(looked_at), BATCH):
        rows = looked_at[start : start + BATCH]
        for sample in x[rows].tolist():
            model.learn_one(dict(enumerate(sample)))
        cache.offer(rows, _centres(model, x.shape[1]))
    core, num_filled = cache.choose()
    counts = np.array([cluster.weight for cluster in model.micro_clusters.values()])
    weights = cache.weights(core, _centres(model, x.shape[1]), counts)
    info = {
        "num_filled": num_filled,
        "rows": len(looked_at),
        "warmup_share": learnt_share(data, order),
        "held_share": cache.held_share,
    }
    return Chosen(core, weights=weights, info=info)


def _centres(model: Any, dim: int) -> FloatArray:
    """Return the centres of the micro-clusters, (k, d)."""
    centres = [cluster.center for cluster in model.micro_clusters.values()]
    return np.array([[centre[axis] for axis in range(dim)] for centre in centres])
