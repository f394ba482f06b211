"""What every selector must do, whatever it chooses by."""

import numpy as np
import pytest

from benchmarks.data import DataSet
from benchmarks.selectors import BATCH, STREAM, Chosen, select, stream_select
from benchmarks.selectors.spaces import stream_vectors, vectors
from echo_stream.errors import ConfigError
from tests.support.benchmarks.toy_data import clusters

OPTIONS: dict[str, dict[str, object]] = {
    name: {"epochs": 2}
    for name in (
        "echo-paper",
        "least-confidence",
        "entropy",
        "margin",
        "el2n",
        "grand",
        "forgetting",
    )
}
ALL = [("batch", name) for name in BATCH] + [("stream", name) for name in STREAM]


def choose(kind: str, name: str, data: DataSet, budget: int, seed: int = 0) -> Chosen:
    """Choose by a selector, of a stream in a random order."""
    options = dict(OPTIONS.get(name, {}))
    if kind == "batch":
        return select(name, data, budget, seed, options)
    order = np.random.default_rng(1).permutation(len(data.x_train))
    return stream_select(name, data, order, budget, seed, options)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_selector_fills_its_budget_with_distinct_rows(kind: str, name: str) -> None:
    """The core has as many rows as asked for; all there are where that is less."""
    data = clusters()
    for budget in (1, 7, 50):
        core = choose(kind, name, data, budget).core
        assert core.dtype == np.int64
        assert len(np.unique(core)) == len(core) == budget
    assert sorted(choose(kind, name, data, 1_000).core) == list(range(160))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_selector_is_fixed_by_its_seed(kind: str, name: str) -> None:
    """Twice the same."""
    first, second = (choose(kind, name, clusters(), 9, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.core, second.core)
    np.testing.assert_array_equal(first.support, second.support)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_weights_are_of_core_and_support(kind: str, name: str) -> None:
    """One for each row, which sum to the samples that they stand for."""
    chosen = choose(kind, name, clusters(), 20)
    if chosen.weights is not None:
        assert len(chosen.weights) == len(chosen.core) + len(chosen.support)
        assert chosen.weights.sum() == pytest.approx(160)


@pytest.mark.parametrize("name", STREAM)
def test_a_stream_may_be_of_some_rows_only(name: str) -> None:
    """Rows that do not come are not chosen."""
    data = clusters()
    order = np.arange(160)[::-2].copy()
    chosen = stream_select(name, data, order, 9, 0, dict(OPTIONS.get(name, {})))
    assert set(chosen.core) <= set(order)


@pytest.mark.parametrize(("budget", "name"), [(0, "random"), (5, "oracle")])
def test_what_cannot_be_chosen_by_is_refused(budget: int, name: str) -> None:
    """No such selector, or no budget."""
    with pytest.raises(ConfigError):
        select(name, clusters(), budget, 0, {})
    with pytest.raises(ConfigError):
        stream_select(name, clusters(), np.arange(9), budget, 0, {})


def test_images_are_measured_by_their_components() -> None:
    """At most 64, and on a stream those of its first tenth."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 9, 9), dtype=np.uint8)
    y = np.zeros(200, np.int64)
    data = DataSet("images", x, y, x, y, "lenet", False)
    assert vectors(data).shape == (200, 64)
    order = np.arange(200)[::-1].copy()
    assert stream_vectors(data, order).shape == (200, 20)
    np.testing.assert_allclose(stream_vectors(data, order)[180:].mean(axis=0), 0, atol=1e-5)
    assert vectors(clusters()).shape == (160, 3)
