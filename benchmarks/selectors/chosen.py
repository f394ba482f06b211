"""What a selector has chosen."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from echo_stream._common.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Rows of a training set.

    Attributes
    ----------
    core : ndarray of shape (B,), int64
        In the order of selection, distinct.
    support : ndarray of shape (s,), int64
        Empty for all selectors but ours.
    weights : ndarray of shape (B + s,), float64, or None
        How many samples each of the core, then of the support, stands for.
    has_proportions : bool
        See `echo_stream.training.weights.has_proportions`.
    info : dict
        What else there is to say, as JSON. `labels_seen`: the labels that the selector has
        looked at, which are more than those that are trained on.
    spent_before : tuple of (float, float)
        Seconds, by the clock and in processor time, of what was known from another choice.
    """

    core: IntArray
    support: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    weights: FloatArray | None = None
    has_proportions: bool = True
    info: dict[str, Any] = field(default_factory=dict)
    spent_before: tuple[float, float] = (0.0, 0.0)
