"""Weights of rows in a training, from the weights of the coreset."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from echo_stream._common.typing import Array, FloatArray
from echo_stream.errors import DataError, SettingName
from echo_stream.training.config import SampleWeights

_HALFWAY = 10
"""Rows a class at which `auto` is the square root."""

_EXPONENTS: dict[SampleWeights, float] = {"none": 0.0, "sqrt": 0.5, "full": 1.0}


def has_proportions(config: Mapping[str, Any]) -> bool:
    """Return whether weights are to give a coreset the proportions of what was counted.

    Not where its classes were to have equal parts, nor in the paper's method.

    Parameters
    ----------
    config : mapping
        Of the engine, as in manifests.

    Examples
    --------
    >>> has_proportions({"preset": "fixed"}), has_proportions({"balance": "class"})
    (True, False)
    """
    return config.get("preset") != "paper" and config.get("balance", "none") == "none"


def weight_exponent(
    wanted: SampleWeights, rows: int, num_classes: int, *, has_proportions: bool = True
) -> float:
    """Return p, where a row that represents m samples weighs m to the power of p.

    Under `auto` it is r / (r + 10), of r rows a class: weights give back the proportions of
    the stream, and the more unequal they are the fewer rows decide; with few rows a class the
    second costs more than the first brings; docs/explanation/the-default.md says how it was
    chosen. It is 0 where a coreset is not to have the proportions.

    Parameters
    ----------
    wanted : {"auto", "none", "sqrt", "full"}
        See `TrainConfig`.
    rows, num_classes : int
        Those with a label, and the classes among them; 1 for a regression.
    has_proportions : bool
        See the function of this name.

    Examples
    --------
    >>> [round(weight_exponent("auto", rows, 10), 2) for rows in (10, 100, 500, 3_000)]
    [0.09, 0.5, 0.83, 0.97]
    """
    if wanted == "auto":
        return rows / (rows + _HALFWAY * num_classes) if has_proportions else 0.0
    return _EXPONENTS[wanted]


def relative_weights(counts: Array, exponent: float) -> FloatArray:
    """Return the weights of rows in a loss, with mean 1, from the samples that each represents.

    Parameters
    ----------
    counts : ndarray of shape (n,), floating point
    exponent : float

    Raises
    ------
    DataError
        If counts are negative, not finite or all 0.

    Examples
    --------
    >>> relative_weights(np.array([4.0, 16.0]), 0.5).round(2).tolist()
    [0.67, 1.33]
    """
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
        words = " needs weights that are at least 0, and one above; correct them"
        raise DataError(SettingName("sample_weights"), words)
    weights = counts**exponent
    return np.asarray(weights / weights.mean())
