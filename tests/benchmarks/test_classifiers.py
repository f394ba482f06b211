"""Models trained on what was chosen."""

import numpy as np
import pytest

from benchmarks.data import DataSet
from benchmarks.evaluation import choosing
from benchmarks.evaluation.running import run_trial
from benchmarks.evaluation.trial import Trial
from benchmarks.selectors import Chosen


def noisy(n: int = 400) -> DataSet:
    """Return vectors of which a penalty decides what is made."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=n) > 0).astype(np.int64)
    return DataSet("noisy", x, y, x[100:], y[100:], "logistic", True)


@pytest.mark.parametrize("part", ["weights", "roots"])
def test_equal_weights_are_as_none(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """What each sample stands for grows with the stream; the penalty of the model must not."""

    def select(*_: object) -> Chosen:
        return Chosen(np.arange(40), weights=np.full(40, 1e6))

    monkeypatch.setattr(choosing, "select", select)
    monkeypatch.setattr(choosing, "load", lambda *_: noisy())
    choosing.loaded.cache_clear()
    choosing._selected.cache_clear()
    recipes = ("ce", f"ce+{part}")
    plain, weighed = (run_trial(Trial("a", 40, "s", recipe=recipe), []) for recipe in recipes)
    assert weighed["accuracy"] == plain["accuracy"]
