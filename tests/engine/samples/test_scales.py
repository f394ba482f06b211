"""Features of very different scales are told; what is not a matter of scale is not."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.errors import ScaleWarning
from echo_stream.samples.scales import ScaleDifference, find_scales

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(500, 8))
FEW: dict[str, Any] = {"budget": 10, "warmup": 100, "epochs": 0}


@pytest.mark.parametrize(
    "x",
    [
        NORMAL,
        NORMAL * [1, 1, 1, 1, 1, 1, 1, 90],
        NORMAL * [0, 1, 1, 1, 1, 1, 1, 1] + 1e6,  # a constant feature
        RNG.integers(0, 256, (500, 64)).astype(np.uint8) * np.array([0, 1] * 32, np.uint8),
        NORMAL.reshape(500, 2, 4) * [[[1, 1, 1, 1_000]]],  # no table
        load_digits().data,
        load_digits().data / 16,
        load_digits().data[:50],
        load_iris().data,
        np.where(RNG.random((500, 8)) < 0.002, 1e-4, 0) + NORMAL * [1] * 8,
        np.concatenate([NORMAL] * 3 + [NORMAL[:, :1] * 1e-9], axis=1),  # one axis of 25 is dead
        NORMAL[:9] * [1, 1, 1, 1, 1, 1, 1, 1_000],  # too few to tell
        np.where(np.arange(4_000).reshape(500, 8) % 1_000 == 3, 9e36, NORMAL),  # fill values
        NORMAL[:, :1],
        NORMAL > 0,
    ],
)
def test_nothing_to_tell(x: Array) -> None:
    """Images, digits, embeddings and features of one scale are passed without a word."""
    assert find_scales(x) is None


@pytest.mark.parametrize(
    ("x", "largest"),
    [
        (NORMAL * [1, 1, 1, 1, 1, 1, 1, 1_000], 7),
        (NORMAL * [1, 1e30, 1, 1, 1, 1, 1, 1], 1),
        (np.stack([NORMAL[:, 0] > 1, NORMAL[:, 1] * 50_000], axis=1), 1),  # a flag, an amount
        (np.stack([np.exp(9 * NORMAL[:, 0]) * (NORMAL[:, 1] > 1.5), NORMAL[:, 2]], axis=1), 0),
        ((NORMAL * [1, 1, 1, 1, 1, 1, 1, 1_000]).astype(np.int64), 7),
        (load_wine().data, 12),
        (load_breast_cancer().data, 23),
    ],
)
def test_very_different_scales(x: Array, largest: int) -> None:
    """The largest is named, whether it is an amount or a count that is mostly zero."""
    found = find_scales(x)
    assert isinstance(found, ScaleDifference)
    assert found.largest == largest
    assert found.factor > 100


def test_fit_warns() -> None:
    """With the names of a data frame's columns, and the setting that helps."""
    frame = pd.DataFrame({"age": NORMAL[:, 0], "income": NORMAL[:, 1] * 1_000})
    with pytest.warns(ScaleWarning, match=r"of income, .* of age\), .*; set standardise=True$"):
        EchoCoreset(preset="fixed", **FEW).fit(frame)


def fitted(x: Array, **settings: Any) -> None:
    """Fit an engine, and one that sees batches."""
    EchoCoreset(preset="fixed", **FEW, **settings).fit(x)
    engine = EchoCoreset(preset="fixed", **FEW, **settings)
    for start in range(0, 300, 60):
        engine.partial_fit(x[start : start + 60])


def test_partial_fit_warns_once_of_the_warm_up() -> None:
    """When the generation has been trained on it."""
    x = NORMAL * [1, 1, 1, 1, 1, 1, 1, 1_000]
    engine = EchoCoreset(preset="fixed", **FEW)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for start in range(0, 300, 60):
            engine.partial_fit(x[start : start + 60])
            assert len(told) == (start >= 60)
    assert told[0].category is ScaleWarning
    assert "that of number 7" in str(told[0].message)


@pytest.mark.parametrize("settings", [{"standardise": True}, {"features": np.tanh}])
def test_what_has_been_seen_to_is_not_warned_of(settings: dict[str, Any]) -> None:
    """Standardised features, and those that a function makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScaleWarning)
        fitted(NORMAL * [1, 1, 1, 1, 1, 1, 1, 1_000], **settings)


def test_standardising_helps_where_it_is_advised() -> None:
    """The coreset's mean distance, each feature in its own unit, is far smaller with it."""
    units = np.array([1, 1, 1, 1, 1, 1, 1, 1_000])
    x = (NORMAL * units).astype(np.float32)
    with pytest.warns(ScaleWarning):
        plain = EchoCoreset(20, warmup=500, preset="fixed").fit(x).indices_
    advised = EchoCoreset(20, warmup=500, standardise=True, preset="fixed").fit(x).indices_

    def distance(rows: Array) -> float:
        return float(
            np.linalg.norm(NORMAL[:, None] - NORMAL[rows][None], axis=2).min(axis=1).mean()
        )

    assert distance(advised) < distance(plain)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_values_that_float32_cannot_tell_apart(dtype: type) -> None:
    """Times in seconds differ by less than its steps at 1.7e9; float32 itself has lost that."""
    x = np.random.default_rng(0).normal(size=(500, 4)) * 50
    x[:, 2] += 1.7e9
    found = find_scales(x.astype(dtype))
    assert found is not None
    assert found.words(("a", "b", "time", "d")).startswith(
        "the values of feature time are about 1.7e+09 and differ by some 5"
    )
    with pytest.warns(ScaleWarning, match="feature number 2 .*; set standardise=True"):
        EchoCoreset(10, preset="fixed").fit(x.astype(dtype))
