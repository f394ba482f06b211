"""Facility location and graph cut against their definitions."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.selectors import select, submodular
from benchmarks.selectors.submodular import similarities
from echo_stream.errors import ConfigError
from tests.support.benchmarks.toy_data import clusters


def greedily(gain: Callable[[list[int], int], float], n: int, number: int) -> list[int]:
    """Return what has the largest gain at each step, of all n samples."""
    chosen: list[int] = []
    for _ in range(number):
        gains = [-np.inf if row in chosen else gain(chosen, row) for row in range(n)]
        chosen.append(int(np.argmax(gains)))
    return chosen


def test_similarities_of_many_rows_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are multiplied; each is as similar to itself as can be."""
    x = clusters((30, 20)).x_train
    known = similarities(x)
    monkeypatch.setattr(submodular, "SYMMETRIC_ROWS", 10)
    found = similarities(x)
    np.testing.assert_allclose(found, known, atol=1e-6)  # a distance of 0 is one of rounding
    assert (np.diag(found) == found.max()).all()


def test_facility_location_is_the_greedy_choice() -> None:
    """As the definition, with no laziness."""
    data = clusters((10, 8, 9))
    similar = similarities(data.x_train)

    def gain(chosen: list[int], row: int) -> float:
        best = similar[chosen].max(axis=0) if chosen else np.zeros(len(similar))
        return float(np.maximum(similar[row] - best, 0).sum())

    chosen = select("facility-location", data, 6, 0, {})
    assert chosen.core.tolist() == greedily(gain, 27, 6)
    assert set(data.y_train[chosen.core[:4]]) == {0, 1, 2}


@pytest.mark.parametrize(("is_balanced", "alpha"), [(False, 1), (True, 2 * 6 / 27)])
def test_graph_cut_is_the_greedy_choice(is_balanced: bool, alpha: float) -> None:
    """As the definition: similar to all, less what the chosen are to each other."""
    data = clusters((10, 8, 9))
    similar = similarities(data.x_train)

    def gain(chosen: list[int], row: int) -> float:
        to_chosen = 2 * similar[row, chosen].sum() + similar[row, row]
        return float(alpha * similar[row].sum() - to_chosen)

    core = select("graph-cut", data, 6, 0, {"is_balanced": is_balanced}).core
    assert core.tolist() == greedily(gain, 27, 6)


def test_a_balanced_graph_cut_takes_of_every_cluster() -> None:
    """One that is not stays where samples are densest."""
    data = clusters((100, 20, 20, 20))
    plain, balanced = (
        select("graph-cut", data, 12, 0, {"is_balanced": value}).core for value in (False, True)
    )
    assert set(data.y_train[plain]) == {0}
    assert set(data.y_train[balanced]) == {0, 1, 2, 3}


def test_facility_location_weighs_by_what_is_nearest() -> None:
    """Scaled up to the training set, where not all of it was looked at."""
    data = clusters((100, 50))
    chosen = select("facility-location", data, 2, 0, {"max_rows": 60})
    assert chosen.info["rows"] == 60
    assert chosen.weights is not None
    assert chosen.weights.sum() == pytest.approx(150)
    assert chosen.weights.max() == pytest.approx(100, abs=20)


@pytest.mark.parametrize("name", ["facility-location", "graph-cut"])
def test_submodular_choices_can_be_made_class_by_class(name: str) -> None:
    """Each has its share, and all labels have been looked at."""
    data = clusters((30, 10, 4))
    chosen = select(name, data, 15, 0, {"per_class": True})
    assert np.bincount(data.y_train[chosen.core]).tolist() in [[6, 5, 4], [5, 6, 4]]
    assert chosen.info["labels_seen"] == 44


@pytest.mark.parametrize("name", ["facility-location", "graph-cut"])
def test_a_budget_of_all_that_is_looked_at_is_refused(name: str) -> None:
    """It would be a uniform sample under another name."""
    data = clusters((100, 50))
    with pytest.raises(ConfigError, match="more than the budget of 60, for a choice; got 60"):
        select(name, data, 60, 0, {"max_rows": 60})
    assert len(select(name, data, 150, 0, {"max_rows": 60}).core) == 150
