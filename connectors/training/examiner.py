"""The current model, tested on each labelled sample before the stream learns from it."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from echo_stream._common.typing import Array, Label
from echo_stream.connectors.training.current_model import current_unit
from echo_stream.connectors.training.model_files import read_fitted
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import EchoStreamError
from echo_stream.run.monitoring import DistanceMonitor, Prequential, RiseDetector
from echo_stream.samples.samples import Samples, is_same_label, label_of
from echo_stream.training.fitted import Fitted

logger = logging.getLogger(__name__)


class CurrentModelExaminer:
    """Test samples on a state's current model, and detect drift of the stream.

    Drift is detected by the error of the model on labelled samples, and by the distance of other
    samples to the centre of their cell.

    Parameters
    ----------
    models : Path
        The state's folder of models.
    spec : str
        The model's name, or factory, that the user has given: no other is imported.
    on_drift : bool
        Whether to detect drift.

    Attributes
    ----------
    record : Prequential or None
        Scores so far; None before there was a model.
    """

    def __init__(self, models: Path, spec: str, *, on_drift: bool) -> None:
        self.record: Prequential | None = None
        self._models, self._spec, self._on_drift = models, spec, on_drift
        self._errors = RiseDetector()
        self._distances = DistanceMonitor()
        self._model: Fitted | None = None
        self.reload()

    def reload(self) -> None:
        """Load the model that is current now. One that cannot be read is skipped with a warning."""
        try:
            unit = current_unit(self._models)
            found = None if unit is None else read_fitted(unit, factory=self._spec)
        except EchoStreamError as err:
            logger.warning("the current model is not tested: %s", err)
            found = None
        if found is not None and (self._model is None or found.id != self._model.id):
            self._errors = RiseDetector()
        self._model = found

    def examine(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Test samples that the engine has not counted yet; tell whether they have drifted."""
        labels = _labels(samples)
        known = self._testable(labels)
        has_drifted, rest = False, samples
        if self._model is not None and len(known):
            has_drifted = self._test(self._model, samples[known], [labels[row] for row in known])
            rest = samples[np.setdiff1d(np.arange(len(samples)), known)]
        if self._on_drift:
            has_drifted |= self._distances.update(engine, rest)
        return has_drifted and self._on_drift

    def to_json(self) -> dict[str, Any] | None:
        """Return the scores so far; None before there was a model."""
        return None if self.record is None else self.record.to_json()

    def _testable(self, labels: list[Label]) -> Array:
        """Return the rows whose label the model could have predicted."""
        kinds: tuple[type, ...] = (int, float, str)
        if self._model is not None and self._model.targets.task == "regression":
            kinds = (int, float)
        return np.array([row for row, y in enumerate(labels) if isinstance(y, kinds)], np.int64)

    def _test(self, model: Fitted, samples: Samples, labels: list[Label]) -> bool:
        """Score predictions of labelled samples; tell whether errors have risen."""
        try:
            predictions = model.predict(samples.x)
        except Exception as err:
            logger.warning("model %s fails, and is no longer tested: %s", model.id, err)
            self._model = None
            return False
        task = model.targets.task
        if self.record is None:
            self.record = Prequential(task)
        self.record.update(labels, predictions)
        if not self._on_drift:
            return False
        if task == "classification":
            pairs = zip(labels, predictions, strict=True)
            return self._errors.update([float(not is_same_label(a, b)) for a, b in pairs])
        errors = np.abs(np.array(labels, float) - np.array(predictions, float))
        return self._errors.update((errors / (errors + model.targets.scale)).tolist())


def _labels(samples: Samples) -> list[Label]:
    """Return the labels of samples, None where unknown."""
    if samples.labels is None:
        return [None] * len(samples)
    return [label_of(value) for value in samples.labels.tolist()]
