"""What a state's newest model was trained on, so that a restart does not train again."""

from pathlib import Path

import pyarrow.parquet as pq

from echo_stream.connectors.model_files import METRICS_FILE
from echo_stream.connectors.units import list_units, read_manifest
from echo_stream.errors import StateError
from echo_stream.retraining import Retraining
from echo_stream.run_config import RunConfig


def retraining_of(state: Path, config: RunConfig) -> Retraining:
    """Return what decides on trainings of a run over a state, from where the last run left off."""
    return Retraining(config.retrain_on_turnover, config.retrain_debounce, trained_ids(state))


def trained_ids(state: Path) -> frozenset[str] | None:
    """Return the samples that the newest model was trained on.

    None where there is no model, or its snapshot has been pruned.
    """
    for unit in reversed(list_units(state / "models", manifest_name=METRICS_FILE)):
        try:
            name = read_manifest(unit, manifest_name=METRICS_FILE)["snapshot"]
        except StateError:  # a damaged one says nothing of when to train
            continue
        path = state / "snapshots" / str(name) / "coreset.parquet"
        if not path.is_file():
            return None
        return frozenset(pq.read_table(path, columns=["id"])["id"].to_pylist())
    return None
