"""Whether a stream has drifted since a model was trained: ADWIN over what is seen of it.

Source: Bifet & Gavalda (2007), "Learning from time-changing data with adaptive windowing",
SDM; river's implementation.
"""

from collections.abc import Iterable

import numpy as np
from river.drift import ADWIN

from echo_stream._common.typing import FloatArray
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.samples.samples import Samples
from echo_stream.sketch.drift import squared_distances

REFERENCE = 500  # distances whose median is the unit of those that follow


class Rise:
    """Tell when the mean of numbers from 0 to 1 has risen. O(log n) each.

    Examples
    --------
    >>> rise = Rise()
    >>> rise.update([0.1] * 500), rise.update([0.9] * 500), rise.update([0.1] * 500)
    (False, True, False)
    """

    def __init__(self) -> None:
        self._window = ADWIN()  # type: ignore[no-untyped-call]  # river leaves it so

    def update(self, values: Iterable[float]) -> bool:
        """Take numbers in; tell whether the mean has risen among them."""
        has_risen = False
        for value in values:
            before = self._window.estimation
            self._window.update(value)  # type: ignore[no-untyped-call]  # river leaves it so
            has_risen |= self._window.drift_detected and self._window.estimation > before
        return bool(has_risen)


class DistanceWatch:
    """Tell when samples come to lie farther from the centres of their cells.

    The unit of distance is the median of the first samples of a generation, so that what
    ADWIN sees is d / (d + unit), from 0 to 1.
    """

    def __init__(self) -> None:
        self._begin(None)

    def update(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Take samples in that the engine has not counted yet; tell whether they are farther.

        Nothing is told while the engine warms up. O(n M d).
        """
        if engine.is_warming_up or not len(samples):
            return False
        generation = engine.generation_
        if generation.id != self._generation:
            self._begin(generation.id)  # distances of two cannot be compared
        latent = generation.latent(generation.vectors(samples.x))
        return self._take(np.sqrt(squared_distances(generation.partition, latent)))

    def _begin(self, generation: str | None) -> None:
        """Begin with the cells of a generation."""
        self._generation = generation
        self._first: list[float] = []
        self._unit = 0.0
        self._rise = Rise()

    def _take(self, distances: FloatArray) -> bool:
        """Take distances in; the first ones give the unit."""
        missing = REFERENCE - len(self._first)
        self._first += distances[:missing].tolist()
        rest = distances[max(missing, 0) :]
        if not len(rest):
            return False
        if not self._unit:
            self._unit = max(float(np.median(self._first)), np.finfo(np.float64).tiny)
        return self._rise.update((rest / (rest + self._unit)).tolist())
