"""The models that are trained on what was chosen, and how they do on the test set."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.data import DataSet
from benchmarks.evaluation.choosing import Choosing
from benchmarks.evaluation.recipes import Recipe
from echo_stream._common.typing import FloatArray, IntArray
from echo_stream.errors import ConfigError
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.training import train
from echo_stream.training.weights import relative_weights, weight_exponent

INVERSE_PENALTY = 10  # the C of logistic regression
MAX_ITERATIONS = 300
CURVE_POINTS = 3  # at which the best accuracy is looked for


def fitted(
    data: DataSet, found: Choosing, recipe: Recipe, settings: dict[str, Any], seed: int, device: str
) -> dict[str, Any]:
    """Train on a selection; return `accuracy`, `per_class` and what it took.

    `best_accuracy` is None where there is no learning curve.
    """
    if found.chosen.weights is None:
        recipe = replace(recipe, sample_weights="none")
    if data.model == "logistic":
        return _fit_logistic(data, found, recipe)
    return _fit_network(data, found, recipe, settings, seed, device)


def _fit_network(
    data: DataSet, found: Choosing, recipe: Recipe, settings: dict[str, Any], seed: int, device: str
) -> dict[str, Any]:
    """Train the data's network by the paper's Algorithm 1."""
    defaults: dict[str, Any] = {
        "model": data.model,
        "evaluations": CURVE_POINTS,
        "max_grad_norm": 0.0,  # as in the paper; a plan can ask for a cut
    }
    config = TrainConfig(
        structure_weight=recipe.structure_weight,
        sample_weights=recipe.sample_weights,
        seed=seed,
        device=device,
        threads=1,
        **(defaults | settings),
    )
    weights = _weights(found)
    core, support = (
        LabelledSet(
            data.x_train[rows],
            data.y_train[rows],
            rows,
            weights=part,
            has_proportions=found.chosen.has_proportions,
        )
        for rows, part in zip(_parts(found), weights, strict=True)
    )
    test = LabelledSet(data.x_test, data.y_test, np.arange(len(data.y_test)))
    metrics = train(core, support, test, config).metrics
    return {
        "accuracy": metrics["accuracy"],
        "best_accuracy": None if metrics["best"] is None else metrics["best"]["accuracy"],
        "per_class": metrics["per_class"],
        "labels_used": metrics["labels_used"],
        "steps": metrics["steps"],
        "diverged": metrics["diverged"],
    }


def _fit_logistic(data: DataSet, found: Choosing, recipe: Recipe) -> dict[str, Any]:
    """Fit a logistic regression on core and support alike."""
    if recipe.structure_weight:
        msg = f"{data.name} is for logistic regression, which has no structural loss; use ce"
        raise ConfigError(msg)
    rows, first = np.unique(np.concatenate(_parts(found)), return_index=True)
    counts = np.concatenate(_weights(found))[first]
    num_classes = len(np.unique(data.y_train[rows]))
    exponent = weight_exponent(
        recipe.sample_weights,
        len(rows),
        num_classes,
        has_proportions=found.chosen.has_proportions,
    )
    predicted = logistic_labels(data, rows, relative_weights(counts, exponent))
    hits = predicted == data.y_test
    labels = np.unique(data.y_test)
    return {
        "accuracy": float(hits.mean()),
        "best_accuracy": None,
        "per_class": {str(label): float(hits[data.y_test == label].mean()) for label in labels},
        "labels_used": len(rows),
        "steps": None,
        "diverged": False,
    }


def logistic_labels(data: DataSet, rows: IntArray, weights: FloatArray | None = None) -> IntArray:
    """Return the test labels that logistic regression predicts from some training rows."""
    y = data.y_train[rows]
    if len(np.unique(y)) == 1:  # it needs two classes
        return np.full(len(data.y_test), y[0])
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        # Fewer than two samples a class is the point of the smallest budgets.
        warnings.filterwarnings("ignore", "The number of unique classes")
        warnings.filterwarnings("ignore", "lbfgs failed to converge")
        model.fit(data.x_train[rows], y, sample_weight=weights)
    return np.asarray(model.predict(data.x_test))


def _parts(found: Choosing) -> tuple[IntArray, IntArray]:
    """Return the rows of core and support."""
    return found.chosen.core, found.support


def _weights(found: Choosing) -> tuple[FloatArray, FloatArray]:
    """Return the weights of core and support; equal ones where the selector gives none.

    Samples of the pool weigh what the others do on average.
    """
    core, support = map(len, _parts(found))
    weights = found.chosen.weights
    given = np.ones(core + len(found.chosen.support)) if weights is None else weights
    whole = np.concatenate([given, np.full(len(found.pool), given.mean())])
    return whole[:core], whole[core : core + support]
