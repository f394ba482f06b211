"""The calibration error is its formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.training.evaluation import BINS, calibration
from tests.support import naive

# Multiples of 1/64 lie on no edge of a bin but 0 and 1, where rounding cannot decide.
confidences = st.integers(0, 64).map(lambda part: part / 64)


@given(st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=30))
def test_calibration_error_equals_the_loop(samples: list[tuple[float, bool]]) -> None:
    """And the bins hold every sample once."""
    sure, right = [c for c, _ in samples], [hit for _, hit in samples]
    measured = calibration(np.array(sure), np.array(right))
    assert measured["ece"] == pytest.approx(naive.calibration_error(sure, right, BINS), abs=1e-12)
    assert sum(row["samples"] for row in measured["calibration"]) == len(samples)


def test_who_is_sure_and_wrong_is_not_calibrated() -> None:
    """The worst there is: 1."""
    assert calibration(np.ones(5), np.zeros(5, dtype=bool))["ece"] == 1.0


def test_without_samples_or_numbers_there_is_no_error() -> None:
    """Nothing measured, nothing claimed."""
    nothing: dict[str, object] = {"ece": None, "calibration": []}
    assert calibration(np.zeros(0), np.zeros(0, dtype=bool)) == nothing
    assert calibration(np.array([np.nan]), np.array([True])) == nothing
