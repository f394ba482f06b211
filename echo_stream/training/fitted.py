"""A trained model: its input, the meaning of its outputs, and initial weights for the next one."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

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
from echo_stream.training.models import build_model
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


def adopt_weights(model: nn.Module, before: Fitted, targets: Targets, shape: Shape) -> bool:
    """Copy the weights of an earlier model into a new one, in place; tell whether they fit.

    Of what belongs to the outputs, rows go to the class that they were of; rows of new
    classes stay as they are. A model of another kind, task, shape or features does not fit, and
    nothing is changed.

    Parameters
    ----------
    model : nn.Module
        Of `before.spec` if they are to fit, just built.
    before : Fitted
    targets : Targets
        Of the new model.
    shape : tuple of int
        Of the samples that the new model takes.
    """
    old, new = before.model.state_dict(), model.state_dict()
    of_outputs = _of_outputs(before.spec, shape, targets.num_outputs)
    fits = (
        before.targets.task == targets.task
        and before.input_shape == shape
        and old.keys() == new.keys()
        and of_outputs <= new.keys()
        and all(_fits(old[name], new[name], name in of_outputs) for name in new)
    )
    if not fits:
        return False
    for name, tensor in new.items():
        if name in of_outputs and targets.task == "classification":
            _adopt_rows(tensor, old[name], before.targets, targets)
        else:
            tensor.copy_(old[name])
    return True


def _of_outputs(spec: str, shape: Shape, num_outputs: int) -> set[str]:
    """Return the names of tensors whose shape depends on the number of outputs."""
    with torch.random.fork_rng(devices=[]):
        some = build_model(spec, shape, num_outputs).state_dict()
        more = build_model(spec, shape, num_outputs + 1).state_dict()
    return {name for name in some if some[name].shape != more[name].shape}


def _fits(old: Tensor, new: Tensor, is_of_outputs: bool) -> bool:
    """Return whether a tensor fits, but for the number of its rows if those are free."""
    return old.shape[1:] == new.shape[1:] if is_of_outputs else old.shape == new.shape


def _adopt_rows(tensor: Tensor, old: Tensor, before: Targets, after: Targets) -> None:
    """Copy the rows of classes that were known before, in place."""
    place = {label: row for row, label in enumerate(before.classes)}
    for row, label in enumerate(after.classes):
        if label in place:
            tensor[row] = old[place[label]]
