"""A model trained on a stored snapshot."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_stream.connectors.files import read_file
from echo_stream.connectors.model_files import write_model
from echo_stream.connectors.snapshot_files import read_snapshot
from echo_stream.labelled import LabelledSet
from echo_stream.samples import Samples
from echo_stream.train_config import TrainConfig
from echo_stream.training import TrainResult, train
from echo_stream.training_loop import Progress


class Trained(NamedTuple):
    """A trained model, the folder it was written to, and the snapshot's id."""

    result: TrainResult
    folder: Path
    snapshot_id: str


def train_on_snapshot(
    unit: Path,
    config: TrainConfig,
    *,
    test: Path | None,
    models: Path,
    progress: Progress | None = None,
) -> Trained:
    """Train a model on a snapshot, and write it under models.

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

    Raises
    ------
    SnapshotError, SourceError, DataError, TrainingError
    """
    tested = None if test is None else labelled(read_file(test))
    snapshot = read_snapshot(unit)
    result = train(
        labelled(snapshot.select("core")),
        labelled(snapshot.select("support")),
        tested,
        config,
        progress=progress,
    )
    folder = write_model(result, models, snapshot_id=snapshot.id)
    return Trained(result, folder, snapshot.id)


def labelled(samples: Samples) -> LabelledSet:
    """Return samples as a training or test set; without labels all are unknown."""
    unknown = np.full(len(samples), None, dtype=object)
    return LabelledSet(
        samples.x, unknown if samples.labels is None else samples.labels, samples.ids
    )
