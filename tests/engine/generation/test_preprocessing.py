"""Vectors of samples, and the spacing of the numbers that they are rounded to."""

import numpy as np
import pytest
import torch

from echo_stream import EchoCoreset
from echo_stream._common.fixed_point import spacing_for
from echo_stream._common.typing import Array
from echo_stream.config import Preset
from echo_stream.errors import DataError
from echo_stream.generation.preprocessing import fit_preprocessing

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
    snapshot = EchoCoreset(40, warmup=1_000, seed=0, preset="fixed").partial_fit(x).snapshot()
    rows = np.asarray(snapshot.rows.samples.x).astype(np.float64)
    usual = rows[np.abs(rows).max(axis=1) < 100]
    nearest = np.square(usual[:, None] - CENTRES).sum(axis=2).argmin(axis=1)
    assert len(np.unique(nearest)) == len(CENTRES)
    assert snapshot.certified_fraction == 1.0


def test_the_spacing_is_that_of_the_largest_value_unless_it_is_absurd() -> None:
    """4,096 times what 99 of 100 samples do not exceed is large, more an outlier."""
    x = np.ones((1_000, 2), dtype=np.float32)
    x[:10, 1] = 4_096
    assert spacing_of(x) == spacing_for(4_096)
    x[:10, 0] = -4_097
    assert spacing_of(x) == spacing_for(1)
    x[10] = -4_097  # eleven of a thousand are no exception
    assert spacing_of(x) == spacing_for(4_097)


@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize("exponent", [-132, -60, 60, 120])
def test_the_choice_does_not_depend_on_the_unit_of_the_features(
    preset: Preset, exponent: int
) -> None:
    """Values of 1e-40 or 1e36 are measured as those of a usual size are."""
    # Of 10 bits: they are left whole where float32 has no more.
    x = np.round(clusters(400) * 16)
    chosen = [
        EchoCoreset(30, preset=preset, epochs=2).fit(scaled).indices_.tolist()
        for scaled in (x * 2.0**20, np.ldexp(x, exponent))
    ]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("offset", [0, 1e5, 1.7e9])
def test_standardising_keeps_what_is_small_beside_an_offset(offset: float) -> None:
    """Times in seconds are spread as far as they would be from zero on."""
    x = clusters(1_500).astype(np.float64) + offset
    fitted = fit_preprocessing(x, standardise=True, device=CPU)
    spread = fitted(x).numpy().std(axis=0)
    np.testing.assert_allclose(spread, 1.0, rtol=1e-4)


def test_a_fill_value_has_no_part_in_standardising() -> None:
    """One sample of 1,500 with an absurd value leaves the others their scale."""
    x = clusters(1_500)
    x[37, 3] = 1e30
    fitted = fit_preprocessing(x, standardise=True, device=CPU)
    spread = np.delete(fitted(x).numpy(), 37, axis=0).std(axis=0)
    np.testing.assert_allclose(spread, 1.0, rtol=1e-3)


def test_values_that_float32_cannot_tell_from_zero_are_refused() -> None:
    """They would all fall into one cell, and everything would be certified."""
    x = clusters(400).astype(np.float64) * 1e-60
    with pytest.raises(DataError, match=r"the largest value of x is 1\.\d+e-59, too small"):
        EchoCoreset(30, preset="fixed").fit(x)


def test_cell_means_are_those_of_the_samples_whatever_their_unit() -> None:
    """A snapshot tells them in the unit of the samples."""
    x = np.ldexp(clusters(400), 60)
    snapshot = EchoCoreset(30, preset="paper", epochs=2).fit(x).snapshot()
    weights = snapshot.cells.counts / 400
    np.testing.assert_allclose(weights @ snapshot.cells.means, x.mean(axis=0), rtol=1e-3)


def test_of_few_samples_and_of_zeros_nothing_is_an_outlier() -> None:
    """99 samples say nothing of what is usual, and zeros nothing of how large values are."""
    x = np.ones((99, 1), dtype=np.float32)
    x[0] = 1e4
    assert spacing_of(x) == spacing_for(1e4)
    x = np.zeros((1_000, 1), dtype=np.float32)
    assert spacing_of(x) == spacing_for(0.0, torch.float32)
    x[:5] = 1e4
    assert spacing_of(x) == spacing_for(1e4)


def spacing_of(x: Array) -> float:
    """Return the spacing that training samples fix."""
    return fit_preprocessing(x, standardise=False, device=CPU).spacing


def test_rows_taken_backwards_are_counted() -> None:
    """Also where only one is left of them, which looks contiguous."""
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    preprocess = fit_preprocessing(x, standardise=False, device=torch.device("cpu"))
    for rows in (x[::-1], x[::-2], x[:1][::-1]):
        assert preprocess(rows).tolist() == rows.tolist()
