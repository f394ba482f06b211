"""Small data sets of clusters."""

import numpy as np

from benchmarks.data import DataSet

CENTRES = 4


def clusters(counts: tuple[int, ...] = (40, 40, 40, 40), dim: int = 3, seed: int = 0) -> DataSet:
    """Return well separated clusters, one a class, of which each sample is in the test set too."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = (10 * np.eye(len(counts), dim)[y] + rng.normal(size=(len(y), dim))).astype(np.float32)
    return DataSet("toy", x, y, x, y, "logistic", True)
