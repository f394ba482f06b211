"""How often a downstream model is right, how sure it is, or how far off."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from echo_stream._common.typing import Array, Label
from echo_stream.samples.samples import label_of, sorted_labels
from echo_stream.samples.tensors import Shape, model_shape, to_input
from echo_stream.training.calibration import calibration
from echo_stream.training.targets import Targets

EVALUATION_ROWS = 256  # rows a forward pass: bounds its memory, and fits a core's caches


def evaluate(
    model: nn.Module,
    x: Array,
    y: Array,
    classes: Sequence[Label],
    *,
    input_shape: Shape | None = None,
) -> dict[str, Any]:
    """Measure a classifier on labelled samples, in batches of 1,024.

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
        `accuracy`, `per_class`, `ece`, `calibration` and `test_samples`, as in
        `echo_stream.training.training.TrainResult`.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]]), np.array(["a", "b", "c"])
    >>> evaluate(nn.Identity(), x, y, ["a", "b"])["per_class"]
    {'a': 1.0, 'b': 1.0, 'c': 0.0}
    """
    labels, outputs = _measured(model, x, y, input_shape)
    predicted = outputs.argmax(dim=1).tolist() if labels else []
    hits = [classes[position] == label for position, label in zip(predicted, labels, strict=True)]
    totals = Counter(labels)
    right = Counter(label for label, hit in zip(labels, hits, strict=True) if hit)
    confidences = outputs.double().softmax(dim=1).amax(dim=1).numpy() if labels else np.zeros(0)
    return {
        "accuracy": sum(hits) / len(hits) if hits else None,
        "per_class": {str(label): right[label] / totals[label] for label in sorted_labels(totals)},
        **calibration(confidences, np.array(hits, dtype=bool)),
        "test_samples": len(labels),
    }


def evaluate_regression(
    model: nn.Module, x: Array, y: Array, targets: Targets, *, input_shape: Shape | None = None
) -> dict[str, Any]:
    """Measure a regression on labelled samples; the parameters are those of `evaluate`.

    Returns
    -------
    dict
        `rmse` and `mae` in the unit of the labels, `r2`, and `test_samples`; all but the
        last None without a labelled sample, r2 also where the labels do not differ, and
        each where it is not finite.
    """
    labels, outputs = _measured(model, x, y, input_shape)
    if not labels:
        return {"rmse": None, "mae": None, "r2": None, "test_samples": 0}
    expected = np.array(labels, dtype=np.float64)
    errors = targets.numbers(outputs) - expected
    spread = float(np.square(expected - expected.mean()).sum())
    measured = {
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "mae": float(np.abs(errors).mean()),
        "r2": 1 - float(np.square(errors).sum()) / spread if spread else None,
    }
    return {
        name: value if value is not None and np.isfinite(value) else None
        for name, value in measured.items()
    } | {"test_samples": len(labels)}


def _measured(
    model: nn.Module, x: Array, y: Array, input_shape: Shape | None
) -> tuple[list[Label], Tensor]:
    """Return the known labels, and the outputs for their samples, on the host."""
    labels = [label_of(value) for value in y]
    known = [row for row, label in enumerate(labels) if label is not None]
    shape = model_shape(x.shape[1:]) if input_shape is None else input_shape
    parts = [
        outputs_of(model, to_input(x[known[start : start + EVALUATION_ROWS]], shape))
        for start in range(0, len(known), EVALUATION_ROWS)
    ]
    return [labels[row] for row in known], torch.cat(parts) if parts else torch.empty(0, 1)


def outputs_of(model: nn.Module, x: Tensor) -> Tensor:
    """Return the model's outputs in evaluation mode, on the host."""
    parameter = next(model.parameters(), x)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs: Tensor = model(x.to(parameter.device)).float().cpu()
    model.train(was_training)
    return outputs
