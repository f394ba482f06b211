"""A model trained on a stored snapshot."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.files.tables import FileColumns
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.training_checkpoint import checkpointed
from echo_stream.connectors.storage.units import read_manifest
from echo_stream.connectors.training.current_model import Verdict, current_unit, judge, make_current
from echo_stream.connectors.training.model_files import METRICS_FILE, read_fitted, write_model
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError, SettingName
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import Samples
from echo_stream.training.config import TrainConfig
from echo_stream.training.fitted import Fitted
from echo_stream.training.labelled import LabelledSet, with_pseudo_labels
from echo_stream.training.loop import Progress
from echo_stream.training.training import TrainResult, train

_CHECKPOINT_EVERY = Every(seconds=30.0)  # what an interruption can cost


class Trained(NamedTuple):
    """A trained model, its settings, its folder, the snapshot's id, and the verdict, if any."""

    result: TrainResult
    config: TrainConfig
    folder: Path
    snapshot_id: str
    verdict: Verdict | None = None


def train_on_snapshot(  # noqa: PLR0913 - everything that a training is between
    unit: Path,
    config: TrainConfig,
    *,
    test: Path | None,
    columns: FileColumns | None = None,
    models: Path,
    progress: Progress | None = None,
    on_resume: Callable[[int], None] | None = None,
    every: Every | None = _CHECKPOINT_EVERY,
    warm_start: bool = False,
    promote: bool = False,
) -> Trained:
    """Train a model on a snapshot, and write it under models.

    A training that was interrupted goes on where it was, to the same weights.

    Parameters
    ----------
    unit : Path
        The snapshot.
    config : TrainConfig
    test : Path or None
        Data file with x and y to score the model on.
    columns : FileColumns, optional
        How test is read, where it is a table of payloads; see `file_source`.
    models : Path
        Folder to write the model's own folder in.
    progress : callable, optional
    on_resume : callable, optional
        Called with the steps that an interrupted training had taken, if there was one.
    every : Every or None
        Steps or seconds after which the training's state is stored; None: never.
    warm_start : bool
        Whether to begin with the weights of the current model under models, where they fit.
    promote : bool
        Whether the model becomes the current one unless it is worse on the snapshot's
        held-out samples; the metrics' `verdict` says so.

    Raises
    ------
    SnapshotError, SourceError, DataError, ConfigError, StateError, TrainingError
    """
    tested = None if test is None else labelled(read_file(test, columns=columns))
    snapshot = read_snapshot(unit)
    _refuse_other_encoder(columns, snapshot)
    needs_means = config.gamma != 1
    core = LabelledSet.of_snapshot(snapshot, "core")
    support = LabelledSet.of_snapshot(snapshot, "support", with_means=needs_means)
    core, pseudo, reason = with_pseudo_labels(core, snapshot, config)
    before = _current(models, config) if warm_start else None
    config = replace(config, warm_start=None if before is None else before.id)
    sets = tuple(each for each in (core, support, pseudo, tested) if each is not None)
    with checkpointed(models, sets, config, every=every, on_resume=on_resume) as checkpoint:
        result = train(
            core, support, tested, config, pseudo=pseudo, progress=progress,
            checkpoint=checkpoint, before=before,
        )  # fmt: skip
        result.metrics["num_held"] = len(set(map(str, snapshot.held()[0].ids.tolist())))
        result.metrics["spread"] = reason
        held_out = core[:0] if snapshot.held_out is None else labelled(snapshot.held_out)
        diverged = result.metrics["diverged"]
        verdict = (
            judge(_fitted(result), held_out, models, has_diverged=diverged) if promote else None
        )
        stored = None if verdict is None else verdict.to_json()
        folder = write_model(result, models, snapshot=snapshot.manifest, verdict=stored)
        if verdict is not None and verdict.is_current:
            make_current(models, folder.name, verdict)
    return Trained(result, config, folder, snapshot.id, verdict)


def _refuse_other_encoder(columns: FileColumns | None, snapshot: Snapshot) -> None:
    """Refuse to test on vectors that another encoder makes than the snapshot's."""
    own = snapshot.manifest["config"]["encoder"]
    encoder = None if columns is None else columns.encoder
    if encoder is not None and encoder.identity != own:
        made = "no encoder" if own is None else f"the encoder {own}"
        words = f" {encoder.identity} differs: the snapshot's vectors are of {made}"
        raise ConfigError(SettingName("encoder"), words)


def _current(models: Path, config: TrainConfig) -> Fitted | None:
    """Return the current model, if it is one of the recipe's."""
    unit = current_unit(models)
    if unit is None:
        return None
    spec = read_manifest(unit, manifest_name=METRICS_FILE)["config"]["model"]
    return read_fitted(unit, factory=spec) if spec == config.model else None


def _fitted(result: TrainResult) -> Fitted:
    """Return a model that has just been trained, to be asked."""
    config = result.metrics["config"]
    return Fitted(
        "new", result.model, result.targets, result.input_shape, config["model"], config["features"]
    )


def labelled(samples: Samples) -> LabelledSet:
    """Return samples as a training or test set; without labels all are unknown."""
    unknown = np.full(len(samples), None, dtype=object)
    return LabelledSet(
        samples.x, unknown if samples.labels is None else samples.labels, samples.ids
    )
