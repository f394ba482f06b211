"""The handwritten digits that scikit-learn brings: a data set for whom has no files."""

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder

TEST_ROWS = 360  # the last fifth, as they come
MAX_VALUE = 16


def load_digits(name: str, _: Finder) -> DataSet:
    """Return 1,797 images of 8 × 8 pixels as vectors from 0 to 1."""
    from sklearn.datasets import load_digits as load_bundled  # noqa: PLC0415 - slow to import

    bundled = load_bundled()
    x, y = (bundled.data / MAX_VALUE).astype(np.float32), bundled.target.astype(np.int64)
    return DataSet(
        name, x[:-TEST_ROWS], y[:-TEST_ROWS], x[-TEST_ROWS:], y[-TEST_ROWS:], "logistic", True
    )
