"""Monitor a model during a stream: accuracy over time, and drift.

Source: Gama, Sebastiao & Rodrigues (2013), "On evaluating stream learning algorithms",
Machine Learning 90; river's metrics.

Source: Bifet & Gavalda (2007), "Learning from time-changing data with adaptive windowing",
SDM; river's implementation.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from river import metrics, utils
from river.drift import ADWIN

from echo_stream._common.typing import FloatArray, Label
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.samples.samples import Samples
from echo_stream.training.config import Task

_WINDOW = 1_000  # samples of `recent`
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
        self._recent: Any = utils.Rolling(kind, window_size=_WINDOW)
        self._step = FIRST_STEP
        self._curve: list[tuple[int, float]] = []

    @property
    def recent(self) -> float | None:
        """The score of the last samples; None before the first."""
        return float(self._recent.get()) if self.n else None

    def update(self, labels: Sequence[Label], predictions: Sequence[Label]) -> None:
        """Add known labels, and their predictions."""
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


_REFERENCE = 500  # distances whose median is the unit of those that follow


class RiseDetector:
    """Detect that the mean of numbers from 0 to 1 has risen. O(log n) each.

    Examples
    --------
    >>> rise = RiseDetector()
    >>> rise.update([0.1] * 500), rise.update([0.9] * 500), rise.update([0.1] * 500)
    (False, True, False)
    """

    def __init__(self) -> None:
        self._window = ADWIN()  # type: ignore[no-untyped-call]  # river leaves it so

    def update(self, values: Iterable[float]) -> bool:
        """Add numbers; tell whether the mean has risen among them."""
        has_risen = False
        for value in values:
            before = self._window.estimation
            self._window.update(value)  # type: ignore[no-untyped-call]  # river leaves it so
            has_risen |= self._window.drift_detected and self._window.estimation > before
        return bool(has_risen)


class DistanceMonitor:
    """Detect that samples lie farther from the centres of their cells than before.

    The unit of distance is the median of the first samples of a generation, so that what
    ADWIN sees is d / (d + unit), from 0 to 1.
    """

    def __init__(self) -> None:
        self._begin(None)

    def update(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Add samples that the engine has not counted yet; tell whether they are farther.

        Always False while the engine warms up. O(n M d).
        """
        if engine.is_warming_up or not len(samples):
            return False
        generation = engine.generation_
        if generation.id != self._generation:
            self._begin(generation.id)  # distances of two cannot be compared
        return self._take(engine.centre_distances(samples))

    def _begin(self, generation: str | None) -> None:
        """Begin with the cells of a generation."""
        self._generation = generation
        self._first: list[float] = []
        self._unit = 0.0
        self._rise = RiseDetector()

    def _take(self, distances: FloatArray) -> bool:
        """Add distances; the first ones set the unit."""
        missing = _REFERENCE - len(self._first)
        self._first += distances[:missing].tolist()
        rest = distances[max(missing, 0) :]
        if not len(rest):
            return False
        if not self._unit:
            self._unit = max(float(np.median(self._first)), np.finfo(np.float64).tiny)
        return self._rise.update((rest / (rest + self._unit)).tolist())
