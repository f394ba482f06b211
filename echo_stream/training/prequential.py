"""Accuracy over time of a model that is tested on each sample before it is learnt from.

Source: Gama, Sebastiao & Rodrigues (2013), "On evaluating stream learning algorithms",
Machine Learning 90; river's metrics.
"""

from collections.abc import Sequence
from typing import Any

from river import metrics, utils

from echo_stream._common.typing import Label
from echo_stream.training.config import Task

WINDOW = 1_000  # samples that `recent` is of
CURVE_POINTS = 200  # kept at most; when there are more, every second one goes
FIRST_STEP = 100  # samples between two points at first


class Prequential:
    """Score predictions as they are made.

    Parameters
    ----------
    task : {"classification", "regression"}
        Measured by accuracy, or by the mean absolute error.

    Attributes
    ----------
    n : int
        Samples tested.

    Examples
    --------
    >>> record = Prequential("classification")
    >>> record.update(["a", "b", "b"], ["a", "b", "a"])
    >>> record.to_json()["accuracy"]
    0.6667
    """

    def __init__(self, task: Task) -> None:
        self.n = 0
        self._name = "accuracy" if task == "classification" else "mae"
        kind: Any = metrics.Accuracy if task == "classification" else metrics.MAE
        self._whole: Any = kind()
        self._recent: Any = utils.Rolling(kind, window_size=WINDOW)
        self._step = FIRST_STEP
        self._curve: list[tuple[int, float]] = []

    @property
    def recent(self) -> float | None:
        """The score of the last samples; None before the first."""
        return float(self._recent.get()) if self.n else None

    def update(self, labels: Sequence[Label], predictions: Sequence[Label]) -> None:
        """Take in labels, all known, and what was predicted of them."""
        for label, prediction in zip(labels, predictions, strict=True):
            self._whole.update(label, prediction)
            self._recent.update(label, prediction)
            self.n += 1
            if self.n % self._step == 0:
                self._add_point()

    def to_json(self) -> dict[str, Any]:
        """Return `tested`, the score over all of them, the recent one, and the curve.

        Points of the curve are samples tested, and the score of the last 1,000 then.
        """
        whole = float(self._whole.get()) if self.n else None
        return {
            "tested": self.n,
            self._name: None if whole is None else round(whole, 4),
            f"{self._name}_recent": None if self.recent is None else round(self.recent, 4),
            "curve": [list(point) for point in self._curve],
        }

    def _add_point(self) -> None:
        """Add a point to the curve, and thin it out where it has grown too long."""
        self._curve.append((self.n, round(float(self._recent.get()), 4)))
        if len(self._curve) > CURVE_POINTS:
            self._step *= 2
            self._curve = [point for point in self._curve if point[0] % self._step == 0]
