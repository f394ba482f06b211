"""Vectors of samples, and the unit in which they are rounded."""

import numpy as np
import pytest
import torch

from echo_stream import EchoCoreset
from echo_stream.fixed_point import unit_for
from echo_stream.preprocessing import fit_preprocessing
from echo_stream.typing import Array

CPU = torch.device("cpu")
CENTRES = np.random.default_rng(7).normal(scale=3, size=(20, 16))


def clusters(n: int) -> Array:
    """Return samples of shape (n, 16), float32, of 20 clusters."""
    rng = np.random.default_rng(0)
    near = CENTRES[rng.integers(0, len(CENTRES), n)]
    return (near + 0.3 * rng.normal(size=near.shape)).astype(np.float32)


@pytest.mark.parametrize("fill", [1e8, -9.97e36, 3e38])
def test_a_fill_value_in_the_warmup_costs_the_others_nothing(fill: float) -> None:
    """One sample of a thousand with an absurd value: each cluster still has its rows."""
    x = clusters(3_000)
    x[37, 3] = fill
    snapshot = EchoCoreset(40, warmup=1_000, seed=0).partial_fit(x).snapshot()
    rows = np.asarray(snapshot.rows.samples.x).astype(np.float64)
    usual = rows[np.abs(rows).max(axis=1) < 100]
    nearest = np.square(usual[:, None] - CENTRES).sum(axis=2).argmin(axis=1)
    assert len(np.unique(nearest)) == len(CENTRES)
    assert snapshot.certified_fraction == 1.0


def test_the_unit_is_that_of_the_largest_value_unless_it_is_absurd() -> None:
    """4,096 times what 99 of 100 samples do not exceed is large, more an outlier."""
    x = np.ones((1_000, 2), dtype=np.float32)
    x[:10, 1] = 4_096
    assert unit_of(x) == unit_for(4_096)
    x[:10, 0] = -4_097
    assert unit_of(x) == unit_for(1)
    x[10] = -4_097  # eleven of a thousand are no exception
    assert unit_of(x) == unit_for(4_097)


def test_of_few_samples_and_of_zeros_nothing_is_an_outlier() -> None:
    """99 samples say nothing of what is usual, and zeros nothing of how large values are."""
    x = np.ones((99, 1), dtype=np.float32)
    x[0] = 1e6
    assert unit_of(x) == unit_for(1e6)
    x = np.zeros((1_000, 1), dtype=np.float32)
    assert unit_of(x) == unit_for(0.0, torch.float32)
    x[:5] = 1e6
    assert unit_of(x) == unit_for(1e6)


def unit_of(x: Array) -> float:
    """Return the unit that training samples fix."""
    return fit_preprocessing(x, standardise=False, device=CPU).unit
