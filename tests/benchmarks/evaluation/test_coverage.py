"""The facility-location value of a selection."""

import numpy as np
import pytest

from benchmarks.evaluation.running import explained_share


def test_it_is_the_variance_that_the_nearest_explain() -> None:
    """By the formula, sample by sample."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3, 4)).astype(np.float32)
    chosen = np.array([3, 7, 20])
    flat = x.reshape(50, -1).astype(np.float64)
    nearest = [min(float(((a - flat[row]) ** 2).sum()) for row in chosen) for a in flat]
    spread = ((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert explained_share(x, chosen) == pytest.approx(1 - np.mean(nearest) / spread)


def test_more_samples_explain_no_less() -> None:
    """And all of them explain all, even where none differs."""
    x = np.random.default_rng(0).normal(size=(40, 5)) + 100
    shares = [explained_share(x, np.arange(size)) for size in (1, 5, 20, 40)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert explained_share(np.ones((5, 2)), np.array([0])) == 1
