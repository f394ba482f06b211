"""Summaries of streams that others have written, as functions that take samples in."""

from typing import Any

from benchmarks.streams import Consume
from echo_stream._common.typing import Array


def kmeans(num_clusters: int, seed: int) -> Consume:
    """Return scikit-learn's MiniBatchKMeans as a consumer of samples."""
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - slow to import

    model = MiniBatchKMeans(num_clusters, random_state=seed, n_init=1)
    return lambda x, _: model.partial_fit(x)


def clustream(seed: int) -> Consume:
    """Return river's CluStream, with its own settings, as a consumer of samples: one at a time."""
    from river.cluster import CluStream  # noqa: PLC0415 - only the benchmarks need it

    model: Any = CluStream(seed=seed)  # river leaves its methods unannotated

    def consume(x: Array, _: Array) -> None:
        for row in x.tolist():
            model.learn_one(dict(enumerate(row)))

    return consume
