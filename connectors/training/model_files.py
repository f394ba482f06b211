"""Trained models as units on disk: safetensors, JSON and a picture."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.storage.engine_files import read_tensors, tensors_writer
from echo_stream.connectors.storage.snapshot_files import ids_of
from echo_stream.connectors.storage.units import list_units, read_manifest, verify_unit, write_unit
from echo_stream.connectors.training.curve_plot import plot_curve
from echo_stream.errors import ConfigError, SnapshotError, StateError
from echo_stream.run.config import RunConfig
from echo_stream.run.retraining import RetrainTrigger
from echo_stream.training.fitted import Fitted
from echo_stream.training.models import BUILT_IN, build_model
from echo_stream.training.targets import Targets
from echo_stream.training.training import TrainResult

METRICS_FILE = "metrics.json"
_WEIGHTS_FILE = "model.safetensors"
_CURVE_FILE = "curve.png"
_DIGEST_BYTES = 4
_INHERITED = ("generation", "config", "n")


def write_model(
    result: TrainResult,
    parent: Path,
    *,
    snapshot: Mapping[str, Any],
    verdict: Mapping[str, Any] | None = None,
) -> Path:
    """Write weights, metrics and learning curve as parent/<time>-<digest>; return the folder.

    Parameters
    ----------
    result : TrainResult
    parent : Path
    snapshot : mapping
        Manifest of the snapshot that it was trained on. The metrics name its id, generation and
        configuration; also the classes in the order of the logits, or mean and scale of the
        target, and the shape in which the model takes a sample.
    verdict : mapping, optional
        Whether it takes the place of the current model, and why.
    """
    weights = {name: tensor.cpu().numpy() for name, tensor in result.model.state_dict().items()}
    targets = result.targets
    manifest: dict[str, Any] = {
        "time": timestamp(),
        "snapshot": snapshot["id"],
        "coreset": {name: snapshot[name] for name in _INHERITED},
        "classes": list(result.classes),
        "target_mean": targets.mean if targets.task == "regression" else None,
        "target_scale": targets.scale if targets.task == "regression" else None,
        "input_shape": list(result.input_shape),
        "verdict": None if verdict is None else dict(verdict),
        **result.metrics,
    }
    digest = hashlib.blake2b(json.dumps(manifest).encode(), digest_size=_DIGEST_BYTES).hexdigest()
    moment = "".join(character for character in manifest["time"][:19] if character.isalnum())
    destination = parent / f"{moment}-{digest}"
    files = {
        _WEIGHTS_FILE: tensors_writer(weights),
        _CURVE_FILE: lambda path: plot_curve(result.metrics, path),
    }
    write_unit(destination, files, manifest, manifest_name=METRICS_FILE)
    return destination


def read_model(unit: Path, *, factory: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Return a stored model in evaluation mode, on the host, and its metrics.

    Parameters
    ----------
    unit : Path
    factory : str, optional
        The `module:factory` that made the model, where it is none of echo-stream's own: what
        a file says is not imported.

    Raises
    ------
    StateError
        If it is not there, damaged, or its weights are those of another model.
    ConfigError
        If a factory is needed and was not given, or is another than the one stored.
    """
    metrics = verify_unit(unit, manifest_name=METRICS_FILE)
    spec = metrics["config"]["model"]
    if spec not in BUILT_IN and factory != spec:
        msg = f"{unit} was made by {spec!r}; give it as factory, to have it imported"
        raise ConfigError(msg)
    model = build_model(spec, tuple(metrics["input_shape"]), max(len(metrics["classes"]), 1))
    arrays = read_tensors(unit / _WEIGHTS_FILE)
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except RuntimeError as err:
        msg = f"{unit / _WEIGHTS_FILE} holds no weights of {spec!r}; was it changed since?"
        raise StateError(msg) from err
    return model.eval(), metrics


def read_fitted(unit: Path, *, factory: str | None = None) -> Fitted:
    """Return a stored model that can be asked; parameters and errors as `read_model`."""
    model, metrics = read_model(unit, factory=factory)
    config, is_regression = metrics["config"], metrics["config"]["task"] == "regression"
    targets = Targets(
        config["task"],
        tuple(metrics["classes"]),
        metrics["target_mean"] if is_regression else 0.0,
        metrics["target_scale"] if is_regression else 1.0,
    )
    shape = tuple(metrics["input_shape"])
    return Fitted(unit.name, model, targets, shape, config["model"], config["features"])


logger = logging.getLogger(__name__)


def retrain_trigger(state: Path, config: RunConfig) -> RetrainTrigger:
    """Return what decides on trainings of a run over a state, from where the last run left off."""
    return RetrainTrigger(config.retrain_on_turnover, config.retrain_debounce, trained_ids(state))


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
            logger.warning("cannot read the training metadata of %s: %s", model.name, err)
            return None
    return None
