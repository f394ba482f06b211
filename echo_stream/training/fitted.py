"""A trained model that can be asked: what it takes, and what its outputs stand for."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from echo_stream._common.device import resolve_device
from echo_stream._common.typing import Array, Label
from echo_stream.generation.features import Features
from echo_stream.samples.tensors import Shape, to_input
from echo_stream.training.evaluation import (
    EVALUATION_ROWS,
    evaluate,
    evaluate_regression,
    outputs_of,
)
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.targets import Targets


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained model.

    Attributes
    ----------
    id : str
    model : torch.nn.Module
    targets : Targets
        What its outputs stand for.
    input_shape : tuple of int
        Of one sample, as the model takes it.
    spec : str
        Name of the model, or its factory, as `echo_stream.training.models.build_model` takes it.
    features : str or None
        What makes the vectors that it takes of samples.

    Examples
    --------
    >>> targets = Targets("classification", ("left", "right"))
    >>> Fitted("m", nn.Identity(), targets, (2,), "mlp").predict(np.array([[1.0, 0.0]]))
    ['left']
    """

    id: str
    model: nn.Module
    targets: Targets
    input_shape: Shape
    spec: str
    features: str | None = None

    def predict(self, x: Array) -> list[Label]:
        """Return the label, or number, that the model gives to samples x (n, ...)."""
        outputs = self._outputs(self._vectors(x))
        if self.targets.task == "regression":
            return list(map(float, self.targets.numbers(outputs)))
        return [self.targets.classes[place] for place in outputs.argmax(dim=1).tolist()]

    def score(self, data: LabelledSet) -> float | None:
        """Return how the model does on samples: accuracy, or for regression -RMSE.

        More is better. None without a labelled sample, or where it is not finite.
        """
        if len(data) == 0:
            return None
        x = self._vectors(data.x)
        if self.targets.task == "regression":
            measured = evaluate_regression(
                self.model, x, data.y, self.targets, input_shape=self.input_shape
            )
            return None if measured["rmse"] is None else -float(measured["rmse"])
        measured = evaluate(
            self.model, x, data.y, self.targets.classes, input_shape=self.input_shape
        )
        return None if measured["accuracy"] is None else float(measured["accuracy"])

    def _vectors(self, x: Array) -> Array:
        """Return samples as the model takes them."""
        if self.features is None or not len(x):
            return x
        return np.asarray(Features.fit(self.features, x, resolve_device("auto"))(x))

    def _outputs(self, x: Array) -> torch.Tensor:
        """Return the model's outputs for n >= 1 samples, on the host."""
        starts = range(0, len(x), EVALUATION_ROWS)
        parts = [to_input(x[at : at + EVALUATION_ROWS], self.input_shape) for at in starts]
        return torch.cat([outputs_of(self.model, part) for part in parts])
