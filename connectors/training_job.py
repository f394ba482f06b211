"""A model trained on a stored snapshot."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_stream.connectors.files import read_file
from echo_stream.connectors.model_files import write_model
from echo_stream.connectors.snapshot_files import read_snapshot
from echo_stream.connectors.training_checkpoint import checkpointed
from echo_stream.labelled import LabelledSet
from echo_stream.samples import Samples
from echo_stream.schedule import Every
from echo_stream.train_config import TrainConfig
from echo_stream.training import TrainResult, train
from echo_stream.training_loop import Progress

CHECKPOINT_EVERY = Every(seconds=30.0)  # what an interruption can cost


class Trained(NamedTuple):
    """A trained model, its settings, the folder it was written to, and the snapshot's id."""

    result: TrainResult
    config: TrainConfig
    folder: Path
    snapshot_id: str


def train_on_snapshot(
    unit: Path,
    config: TrainConfig,
    *,
    test: Path | None,
    models: Path,
    progress: Progress | None = None,
    on_resume: Callable[[int], None] | None = None,
    every: Every | None = CHECKPOINT_EVERY,
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
    models : Path
        Folder to write the model's own folder in.
    progress : callable, optional
    on_resume : callable, optional
        Called with the steps that an interrupted training had taken, if there was one.
    every : Every or None
        Steps or seconds after which the training's state is stored; None: never.

    Raises
    ------
    SnapshotError, SourceError, DataError, ConfigError, StateError, TrainingError
    """
    tested = None if test is None else labelled(read_file(test))
    snapshot = read_snapshot(unit)
    needs_means = config.gamma != 1
    core = LabelledSet.of_snapshot(snapshot, "core")
    support = LabelledSet.of_snapshot(snapshot, "support", with_means=needs_means)
    sets = (core, support) if tested is None else (core, support, tested)
    with checkpointed(models, sets, config, every=every, on_resume=on_resume) as keeper:
        result = train(core, support, tested, config, progress=progress, keeper=keeper)
        folder = write_model(result, models, snapshot=snapshot.manifest)
    return Trained(result, config, folder, snapshot.id)


def labelled(samples: Samples) -> LabelledSet:
    """Return samples as a training or test set; without labels all are unknown."""
    unknown = np.full(len(samples), None, dtype=object)
    return LabelledSet(
        samples.x, unknown if samples.labels is None else samples.labels, samples.ids
    )
