"""What a state's newest model was trained on, so that a restart does not train again."""

import logging
from pathlib import Path

from echo_stream.connectors.storage.snapshot_files import ids_of
from echo_stream.connectors.storage.units import list_units, read_manifest
from echo_stream.connectors.training.model_files import METRICS_FILE
from echo_stream.errors import SnapshotError, StateError
from echo_stream.run.config import RunConfig
from echo_stream.run.retraining import Retraining

logger = logging.getLogger(__name__)


def retraining_of(state: Path, config: RunConfig) -> Retraining:
    """Return what decides on trainings of a run over a state, from where the last run left off."""
    return Retraining(config.retrain_on_turnover, config.retrain_debounce, trained_ids(state))


def trained_ids(state: Path) -> frozenset[str] | None:
    """Return the samples that the newest model was trained on.

    None where there is no model, or its snapshot has been pruned or is damaged.
    """
    for model in reversed(list_units(state / "models", manifest_name=METRICS_FILE)):
        try:
            name = read_manifest(model, manifest_name=METRICS_FILE)["snapshot"]
        except StateError:  # a damaged one says nothing of when to train
            continue
        unit = state / "snapshots" / str(name)
        try:
            return ids_of(unit) if unit.exists() else None
        except SnapshotError as err:
            logger.warning("it is not known what %s was trained on: %s", model.name, err)
            return None
    return None
