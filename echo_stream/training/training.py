"""Training of a downstream model on a coreset, and how it does on a test set.

Source: the ECHO paper, section IV-D, equations 11-13, and Algorithm 1, lines 11-16.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import nn

from echo_stream._common.device import reproducible, resolve_device
from echo_stream._common.typing import Label
from echo_stream.samples.tensors import Shape, check_input
from echo_stream.training.config import TrainConfig
from echo_stream.training.data import (
    Parts,
    check_same_scale,
    gather,
    input_shape,
    measured_by,
)
from echo_stream.training.evaluation import evaluate, evaluate_regression
from echo_stream.training.fitted import Fitted, adopt_weights
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.loop import Checkpoint, Measure, Progress, fit
from echo_stream.training.models import build_model, fit_scaling
from echo_stream.training.targets import Targets

_SCORES = {"classification": ("accuracy", max), "regression": ("rmse", min)}
"""The score of a model, and which of two values is better, by task."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """A trained model and how it was trained.

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode, on the device that trained it.
    targets : Targets
        What its outputs stand for.
    input_shape : tuple of int
        Of one sample, as the model takes it.
    metrics : dict
        After the last step, None or empty without a labelled test sample: `accuracy`;
        `per_class` accuracy by label; `ece`, the expected calibration error, and the
        `calibration` that it is the mean of; or for regression `rmse`, `mae` and `r2`.
        `best`, the best of these along the curve with its `steps`: chosen by looking at the
        test set, so no estimate of anything (`is_peeking`). `test_samples`, those with a
        label; `labels_used`, the *distinct* labelled samples that entered a loss;
        `pseudo_labelled`, the samples trained on with a label that is likely;
        `num_unlabelled` rows of core and support, left out; `steps` taken; `epochs` begun;
        `loss` of the last step, None when not finite; `curve`, points of steps, epochs, mean
        loss since the point before and the test's score; `structure_used`; `diverged`;
        `weight_exponent`, the power of the coreset's weights that rows had;
        `warm_start`, the id of the model that it began with; `device`; `config`. It can be
        written as JSON.
    """

    model: nn.Module
    targets: Targets
    input_shape: Shape
    metrics: dict[str, Any]

    @property
    def classes(self) -> tuple[Label, ...]:
        """Label of each of the model's logits; empty for regression."""
        return self.targets.classes


def train(
    core: LabelledSet,
    support: LabelledSet | None,
    test: LabelledSet | None,
    config: TrainConfig,
    *,
    pseudo: LabelledSet | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    before: Fitted | None = None,
) -> TrainResult:
    """Train a model on a coreset and its support, and measure it.

    Parameters
    ----------
    core, support : LabelledSet, and LabelledSet or None
        Rows without a label are left out. A row may be in both.
    test : LabelledSet or None
        Only measured on. A label that training has not seen counts as wrong.
    config : TrainConfig
    pseudo : LabelledSet, optional
        More samples to train on beside the core, with labels that are likely; their weights are
        the confidence in these, from 0 to 1. With any, the structural loss is left out.
    progress : callable, optional
        See `Progress`.
    checkpoint : Checkpoint, optional
        Where the training's state is kept, and found again when it was interrupted.
    before : Fitted, optional
        A model whose weights the training begins with, if they fit; `config.warm_start`
        names it.

    Returns
    -------
    TrainResult
        The same for the same arguments, device and number of threads, interrupted or not.
        Training stops at the first loss that is not finite, and is measured nonetheless.

    Raises
    ------
    TrainingError
        When no core sample has a label, or torch cannot compile the model.
    ConfigError, DataError
        When the model, device, samples or settings do not fit together.

    Notes
    -----
    Each epoch shuffles the core and cuts it into batches of min(batch_size, n), of which the
    last may be smaller; the paper's step takes the whole. Global random state is left alone.

    Examples
    --------
    >>> import numpy as np
    >>> x, ids = np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.arange(4)
    >>> data = LabelledSet(x, np.array(["left", "left", "right", None]), ids)
    >>> result = train(data, None, data, TrainConfig(model="mlp", steps=20, device="cpu"))
    >>> result.classes, result.metrics["labels_used"], result.metrics["accuracy"]
    (('left', 'right'), 3, 1.0)
    """
    device = resolve_device(config.device)
    others = (core[:0] if part is None else part for part in (pseudo, support, test))
    parts = Parts(core, *others)
    parts = measured_by(parts, config, device)
    shape = input_shape(parts.core, config)
    data = gather(parts, shape, config, device)
    check_input(parts.test.x, shape)  # now, not when the training is done
    check_same_scale(parts.core, parts.test)
    measure = _measure(parts.test, data.targets, shape)
    # Pairs that are right only if two guesses are cost more than they bring.
    recipe = dataclasses.replace(config, structure_weight=0.0) if data.num_pseudo else config
    is_warm = False
    with reproducible(device, seed=config.seed, threads=config.threads):
        model = build_model(config.model, shape, data.targets.num_outputs)
        if before is not None and (before.spec, before.features) == (config.model, config.features):
            is_warm = adopt_weights(model, before, data.targets, shape)
        model.to(device)
        if not is_warm:
            fit_scaling(model, data.x)
        metrics = fit(model, data, recipe, measure, progress=progress, checkpoint=checkpoint)
        metrics |= measure(model.eval())
    metrics["best"] = _best(metrics["curve"], config) if metrics["test_samples"] else None
    rows = {str(name) for part in (core, parts.support) for name in part.ids}
    num_guessed = sum(str(name) in rows for name in parts.pseudo.ids)
    num_given = len(data) - data.num_pseudo
    metrics["num_unlabelled"] = len(core) + len(parts.support) - num_given - num_guessed
    metrics["weight_exponent"] = data.weight_exponent
    metrics["warm_start"] = before.id if before is not None and is_warm else None
    metrics |= {"device": str(device), "config": dataclasses.asdict(config)}
    return TrainResult(model, data.targets, shape, metrics)


def _measure(test: LabelledSet, targets: Targets, shape: Shape) -> Measure:
    """Return what measures a model on the test set."""
    if targets.task == "regression":
        return lambda model: evaluate_regression(model, test.x, test.y, targets, input_shape=shape)
    return lambda model: evaluate(model, test.x, test.y, targets.classes, input_shape=shape)


def _best(curve: list[dict[str, Any]], config: TrainConfig) -> dict[str, Any] | None:
    """Return the first of the best points along the curve, marked as what it is."""
    score, better = _SCORES[config.task]
    points = [point for point in curve if point[score] is not None]
    if not points:
        return None
    found = better(points, key=lambda point: point[score])
    return {score: found[score], "steps": found["steps"], "is_peeking": True}
