"""Targets of a model: one logit a class, or one number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from echo_stream._common.typing import Array, Label
from echo_stream.errors import DataError
from echo_stream.samples.samples import label_of, sorted_labels
from echo_stream.training.config import Task
from echo_stream.training.losses import TaskLoss, classification_loss, regression_loss


@dataclass(frozen=True, slots=True)
class Targets:
    """The mapping between labels and a model's outputs.

    Attributes
    ----------
    task : {"classification", "regression"}
    classes : tuple of int, float or str
        Label of each logit, sorted; empty for regression.
    mean, scale : float
        For regression: the model gives (label - mean) / scale. 0 and 1 for classification.

    Examples
    --------
    >>> Targets.of(["b", "a", "b"], "classification").encode(["b"])
    tensor([1])
    >>> Targets.of([1.0, 3.0], "regression").encode([3.0])
    tensor([1.])
    """

    task: Task
    classes: tuple[Label, ...]
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, labels: Iterable[Label], task: Task) -> Self:
        """Return the targets for known labels, of which there is one at least.

        Raises
        ------
        DataError
            If they are to be numbers, and one is text.
        """
        if task == "classification":
            return cls(task, sorted_labels(set(labels)))
        numbers = _as_numbers(list(labels))
        # One label, or equal ones, have no spread to scale by.
        return cls(task, (), float(numbers.mean()), float(numbers.std()) or 1.0)

    @property
    def num_outputs(self) -> int:
        """Numbers that the model gives for a sample."""
        return len(self.classes) if self.task == "classification" else 1

    @property
    def loss(self) -> TaskLoss:
        """The loss of the task."""
        return classification_loss if self.task == "classification" else regression_loss

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Return labels as the loss takes them: positions, int64, or scaled numbers, float32."""
        if self.task == "regression":
            return torch.from_numpy((_as_numbers(labels) - self.mean) / self.scale).float()
        position = {label: index for index, label in enumerate(self.classes)}
        return torch.tensor([position[label] for label in labels])

    def numbers(self, outputs: Tensor) -> Array:
        """Return the numbers that a regression's outputs (n, 1) stand for: (n,), float64."""
        scaled: Array = outputs[:, 0].double().numpy()
        return np.asarray(scaled * self.scale + self.mean)


def known_labels(y: Iterable[object]) -> list[Label]:
    """Return the labels of rows that are all labelled, as plain int, float or str."""
    return [label_of(value) for value in y]


def _as_numbers(labels: Sequence[Label]) -> Array:
    """Return labels as float64, or raise a DataError that shows one that is not a number."""
    text = next((label for label in labels if isinstance(label, str)), None)
    if text is not None:
        msg = f"regression needs labels that are numbers; got {text!r}; or use classification"
        raise DataError(msg)
    numbers = np.array(labels, dtype=np.float64)
    if not np.isfinite(numbers).all():
        msg = "regression needs labels that are finite; got an infinite one"
        raise DataError(msg)
    return numbers
