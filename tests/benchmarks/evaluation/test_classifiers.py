"""Models trained on what was chosen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.data import DataSet
from benchmarks.evaluation import choosing
from benchmarks.evaluation.running import run_family, run_trial
from benchmarks.evaluation.trial import Trial
from benchmarks.selectors import Chosen
from echo_stream._common.typing import FloatArray
from echo_stream.errors import ConfigError
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.training import train


def noisy(n: int = 400) -> DataSet:
    """Return vectors of which a penalty decides what is made."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=n) > 0).astype(np.int64)
    return DataSet("noisy", x, y, x[100:], y[100:], "logistic", True)


def lend(
    monkeypatch: pytest.MonkeyPatch, weights: FloatArray | None, *, has_proportions: bool = True
) -> None:
    """Have every trial choose the first rows of those vectors."""

    def select(*_: object) -> Chosen:
        return Chosen(np.arange(40), weights=weights, has_proportions=has_proportions)

    monkeypatch.setattr(choosing, "select", select)
    monkeypatch.setattr(choosing, "load", lambda *_: noisy())
    choosing.loaded.cache_clear()
    choosing.selected.cache_clear()


@pytest.mark.parametrize("part", ["auto", "weights", "roots"])
def test_equal_weights_are_as_none(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """What each sample stands for grows with the stream; the penalty of the model must not."""
    lend(monkeypatch, np.full(40, 1e6))
    recipes = ("ce", f"ce+{part}")
    plain, weighed = (run_trial(Trial("a", 40, "s", recipe=recipe), []) for recipe in recipes)
    assert weighed["accuracy"] == plain["accuracy"]


@pytest.mark.parametrize(("part", "is_alike"), [("auto", True), ("weights", False)])
def test_weights_of_balanced_classes_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, part: str, *, is_alike: bool
) -> None:
    """Unless they are asked for: as `echo-stream train` has it."""
    lend(monkeypatch, np.geomspace(1, 1e6, 40), has_proportions=False)
    recipes = ("ce", f"ce+{part}")
    plain, weighed = (run_trial(Trial("a", 40, "s", recipe=recipe), []) for recipe in recipes)
    assert (weighed["accuracy"] == plain["accuracy"]) is is_alike


@pytest.mark.parametrize("weights", [None, np.geomspace(1, 1e6, 40)])
def test_a_model_is_trained_once_where_weights_decide_nothing(
    monkeypatch: pytest.MonkeyPatch, weights: FloatArray | None
) -> None:
    """Each trial has its own line, and one of another seed a training of its own."""
    lend(monkeypatch, weights)
    trials = [Trial("a", 40, "s", recipe=f"ce{part}") for part in ("", "+roots", "+weights")]
    trials.append(replace(trials[0], seed=1))
    lines = run_family(trials, [], "cpu")
    assert [line["key"] for line in lines] == [trial.key for trial in trials]
    seconds = {line["training_s"] for line in lines}
    assert len(seconds) == (2 if weights is None else 4)
    alone = [run_trial(trial, []) for trial in trials]
    assert [line["accuracy"] for line in lines] == [line["accuracy"] for line in alone]
    assert len({line["accuracy"] for line in lines}) == (1 if weights is None else 3)


PLAIN: dict[str, Any] = {"structure_weight": 0.0, "sample_weights": "none", "max_grad_norm": 0.0}
STRUCTURAL: dict[str, Any] = PLAIN | {"structure_weight": 0.5}


@pytest.mark.slow
def test_a_network_is_trained_as_its_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like one that is trained by itself with these settings; and no two recipes are alike."""
    data, weights = replace(noisy(), model="mlp"), np.geomspace(1, 1e3, 40)

    def select(_: object, __: object, budget: int, *___: object) -> Chosen:
        return Chosen(np.arange(budget), weights=weights[:budget])

    monkeypatch.setattr(choosing, "select", select)
    monkeypatch.setattr(choosing, "load", lambda *_: data)
    choosing.loaded.cache_clear()
    choosing.selected.cache_clear()
    results = []
    for recipe, asked, settings in (
        ("ce", {}, PLAIN),
        ("structural", {}, STRUCTURAL),
        ("structural", {"max_grad_norm": 0.05}, STRUCTURAL | {"max_grad_norm": 0.05}),
        ("structural+weights", {}, STRUCTURAL | {"sample_weights": "full"}),
        ("structural+roots", {}, STRUCTURAL | {"sample_weights": "sqrt"}),
        ("structural+auto", {}, STRUCTURAL | {"sample_weights": "auto"}),
        ("structural+pool", {}, STRUCTURAL),
        ("structural+pool+weights", {}, STRUCTURAL | {"sample_weights": "full"}),
    ):
        options: dict[str, Any] = {"model": "mlp", "evaluations": 3, "steps": 40, "lr": 0.2}
        trial = Trial("a", 40, "s", recipe=recipe, train=options | asked)
        found = choosing.choose(trial, data, [])
        core, pool = (
            LabelledSet(data.x_train[rows], data.y_train[rows], rows, weights=given)
            for rows, given in (
                (found.chosen.core, found.chosen.weights),
                (found.pool, np.full(len(found.pool), weights[:20].mean())),
            )
        )
        test = LabelledSet(data.x_test, data.y_test, np.arange(len(data.y_test)))
        alone = train(core, pool, test, TrainConfig(**options, **settings, threads=1)).metrics
        line = run_trial(trial, [])
        measured = (line["accuracy"], line["worst_accuracy"], line["best_accuracy"])
        expected = (
            alone["accuracy"], min(alone["per_class"].values()), alone["best"]["accuracy"]
        )  # fmt: skip
        assert measured == pytest.approx(expected, abs=1e-6)
        results.append(measured)
    assert len(set(results)) == len(results)


def test_a_plan_may_name_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Than the loader of the data does: here one that could not take it."""
    lend(monkeypatch, None)
    data = noisy()
    x_train, x_test = (x.reshape(-1, 4, 5) for x in (data.x_train, data.x_test))
    images = replace(data, x_train=x_train, x_test=x_test, model="lenet")
    monkeypatch.setattr(choosing, "load", lambda *_: images)
    train = {"model": "mlp", "steps": 3, "evaluations": 1}
    assert run_trial(Trial("a", 40, "s", recipe="structural", train=train), [])["steps"] == 3
    with pytest.raises(ConfigError, match="lenet takes square images"):
        run_trial(Trial("a", 40, "s", recipe="structural", train={"steps": 3}), [])
