"""The space in which every selector that needs one measures distances."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.data import DataSet
from echo_stream._common.typing import Array, IntArray

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

COMPONENTS = 64  # as many as the default preset's latent has
WARMUP_SHARE = 10  # a stream may learn from one in so many of its samples, its first


def vectors(data: DataSet) -> Array:
    """Return the training samples as vectors (n, d), float32.

    Embeddings as they are, images as their first 64 principal components.
    """
    return _vectors(data, None)


def stream_vectors(data: DataSet, order: IntArray, most: int | None = None) -> Array:
    """Return the same, with components that are learnt from a stream's warm-up alone.

    From its first `most` samples, where a selector holds no more.
    """
    return _vectors(data, order[: warmup_size(len(order))][:most].tobytes())


def held_vectors(data: DataSet, rows: IntArray) -> Array:
    """Return the same of some rows, (k, d), with components that are learnt from these alone."""
    if data.is_embedding:
        return data.x_train[rows]
    part = _pixels(data.x_train[rows])
    with threadpool_limits(1):
        return np.asarray(_components(part).transform(part), np.float32)


def learnt_share(data: DataSet, order: IntArray) -> float:
    """Return the share of a stream that `stream_vectors` learns from."""
    return 0.0 if data.is_embedding else warmup_size(len(order)) / len(order)


def forget_vectors() -> None:
    """Let the next caller compute its components again, so that they count in its time."""
    _vectors.cache_clear()


def warmup_size(n: int) -> int:
    """Return how many samples of a stream of n may be held back to learn from."""
    return max(n // WARMUP_SHARE, 1)


@lru_cache(maxsize=1)  # one data set is measured by many selectors in a row
def _vectors(data: DataSet, learnt_from: bytes | None) -> Array:
    """Return the samples, by the components of some rows, or of all."""
    if data.is_embedding:
        return data.x_train
    x = _pixels(data.x_train)
    part = x if learnt_from is None else x[np.frombuffer(learnt_from, np.int64)]
    with threadpool_limits(1):  # the number of cores must not decide the components
        return np.asarray(_components(part).transform(x), np.float32)


def _pixels(images: Array) -> Array:
    """Return images (n, ...) as vectors (n, D) between 0 and 1, float32."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _components(part: Array) -> "PCA":
    """Return the principal components of vectors."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import

    return PCA(min(COMPONENTS, *part.shape), random_state=0).fit(part)
