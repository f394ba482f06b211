"""Forget a sample in a state folder, and say what still holds it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_stream.connectors.app.stored_engine import stored_engine
from echo_stream.connectors.group.segments import versions
from echo_stream.connectors.storage.snapshot_files import roles_of
from echo_stream.connectors.storage.snapshots import each_snapshot
from echo_stream.connectors.storage.units import list_units, read_manifest
from echo_stream.connectors.training.model_files import METRICS_FILE
from echo_stream.errors import SnapshotError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What became of a sample.

    Attributes
    ----------
    id : str
    removed : int
        Samples taken out; 0 where none was held.
    n : int
        Samples that are counted now.
    snapshots, checkpoints, models : list of str
        What was written before and still holds the sample, or was trained on it; snapshots
        too that are damaged, and may hold it.
    """

    id: str
    removed: int
    n: int
    snapshots: list[str]
    checkpoints: list[str]
    models: list[str]


def forget_sample(
    state: Path, sample_id: str, *, features: str | None = None, device: str = "auto"
) -> ForgetReport:
    """Take a sample out of the newest checkpoint, and write the next one without it.

    Where a group shares the state: out of all its segments, which become one.

    Parameters
    ----------
    state : Path
    sample_id : str
    features : str, optional
        As the state was begun with.
    device : str

    Raises
    ------
    StateError
        If there is no state, no checkpoint in it, or it is in use.
    """
    with stored_engine(state, features=features, device=device) as engine:
        removed = engine.forget(sample_id)
        n = engine.n_seen_
    snapshots = [unit.name for unit, _ in each_snapshot(state) if _may_hold(unit, sample_id)]
    return ForgetReport(
        id=sample_id,
        removed=removed,
        n=n,
        snapshots=snapshots,
        checkpoints=_checkpoints_with(state, sample_id),
        models=_models_of(state, snapshots),
    )


def _may_hold(unit: Path, sample_id: str) -> bool:
    """Return whether a snapshot has a sample; one that is damaged may."""
    try:
        return bool(roles_of(unit, sample_id))
    except SnapshotError as err:
        logger.warning("cannot tell, so the snapshot is listed as one with the sample: %s", err)
        return True


def _checkpoints_with(state: Path, sample_id: str) -> list[str]:
    """Return the checkpoints, and versions of a group's segments, that hold a sample."""
    units = list_units(state / "checkpoints")
    found = [(unit.name, read_manifest(unit)) for unit in units] + versions(state / "segments")
    return [name for name, manifest in found if _holds(manifest["engine"], sample_id)]


def _holds(part: Mapping[str, Any], sample_id: str) -> bool:
    """Return whether a description of samples, or one within it, has an id."""
    if sample_id in part.get("ids", ()):
        return True
    return any(_holds(inner, sample_id) for inner in part.values() if isinstance(inner, dict))


def _models_of(state: Path, snapshots: list[str]) -> list[str]:
    """Return the models that were trained on one of the snapshots."""
    units = list_units(state / "models", manifest_name=METRICS_FILE)
    trained = [(unit.name, read_manifest(unit, manifest_name=METRICS_FILE)) for unit in units]
    return [name for name, metrics in trained if metrics["snapshot"] in snapshots]
