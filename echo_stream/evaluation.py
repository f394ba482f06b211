"""How often a downstream model is right."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from echo_stream.models import Shape, model_shape, to_input
from echo_stream.samples import label_of, sorted_labels
from echo_stream.typing import Array, Label

EVALUATION_ROWS = 1_024  # rows a forward pass: bounds the memory of an evaluation


def evaluate(
    model: nn.Module,
    x: Array,
    y: Array,
    classes: Sequence[Label],
    *,
    input_shape: Shape | None = None,
) -> dict[str, Any]:
    """Measure a model on labelled samples, in batches of 1,024.

    Parameters
    ----------
    model : torch.nn.Module
        Stays in the mode and on the device that it is in.
    x : ndarray of shape (n, ...)
    y : ndarray of shape (n,), any dtype
        Labels; rows without one are left out.
    classes : sequence of int, float or str
        Label of each of the model's logits. A sample of another label counts as wrong.
    input_shape : tuple of int, optional
        Shape in which the model takes a sample; by default that of x.

    Returns
    -------
    dict
        `accuracy`, `per_class` and `test_samples`, as in `echo_stream.training.TrainResult`.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]]), np.array(["a", "b", "c"])
    >>> evaluate(nn.Identity(), x, y, ["a", "b"])["per_class"]
    {'a': 1.0, 'b': 1.0, 'c': 0.0}
    """
    labels = [label_of(value) for value in y]
    known = [row for row, label in enumerate(labels) if label is not None]
    shape = model_shape(x.shape[1:]) if input_shape is None else input_shape
    totals, hits = Counter[Label](), Counter[Label]()
    for start in range(0, len(known), EVALUATION_ROWS):
        rows = known[start : start + EVALUATION_ROWS]
        for row, predicted in zip(rows, _predict(model, to_input(x[rows], shape)), strict=True):
            totals[labels[row]] += 1
            hits[labels[row]] += classes[predicted] == labels[row]
    return {
        "accuracy": hits.total() / len(known) if known else None,
        "per_class": {str(label): hits[label] / totals[label] for label in sorted_labels(totals)},
        "test_samples": len(known),
    }


def _predict(model: nn.Module, x: Tensor) -> list[int]:
    """Return the position of the largest logit of each sample, in evaluation mode."""
    parameter = next(model.parameters(), x)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        predicted: list[int] = model(x.to(parameter.device)).argmax(dim=1).tolist()
    model.train(was_training)
    return predicted
