"""Evaluate models: accuracy, errors, and whether confidence is calibrated.

Source: Guo, Pleiss, Sun & Weinberger (2017), "On Calibration of Modern Neural Networks",
ICML, equation 3.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from echo_stream._common.typing import Array, Label
from echo_stream.samples.samples import label_of, sorted_labels
from echo_stream.samples.tensors import Shape, model_shape, to_input
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


BINS = 15  # as in the source


def calibration(confidences: Array, is_right: Array) -> dict[str, Any]:
    """Return the expected calibration error, and what it is the mean of. O(n).

    Parameters
    ----------
    confidences : ndarray of shape (n,), float
        Largest probability of each sample, from 0 to 1; NaN where a model has diverged.
    is_right : ndarray of shape (n,), bool

    Returns
    -------
    dict
        `ece`, the mean over samples of |accuracy - confidence| of their bin, from 0 to 1;
        None without samples, or with a confidence that is not a number. `calibration`, by bin
        of confidence (15 of equal width, empty ones left out): `confidence`, `accuracy`
        and `samples`.

    Examples
    --------
    >>> calibration(np.array([0.75, 0.75, 1.0]), np.array([True, False, True]))["ece"]
    0.16666666666666666
    """
    if len(confidences) == 0 or not np.isfinite(confidences).all():
        return {"ece": None, "calibration": []}
    # Bins are open below and closed above, as in the source: ((b - 1) / 15, b / 15].
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    samples = np.bincount(bins, minlength=BINS)
    occupied = samples > 0
    confidence = np.bincount(bins, confidences, minlength=BINS)[occupied] / samples[occupied]
    accuracy = np.bincount(bins, is_right, minlength=BINS)[occupied] / samples[occupied]
    gaps = np.abs(accuracy - confidence)
    return {
        "ece": float((gaps * samples[occupied]).sum() / len(confidences)),
        "calibration": [
            {"confidence": sure, "accuracy": right, "samples": count}
            for sure, right, count in zip(
                confidence.tolist(), accuracy.tolist(), samples[occupied].tolist(), strict=True
            )
        ],
    }
