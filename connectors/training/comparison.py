"""The same recipe on other subsets of the source, as large as the coreset's."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from echo_stream._common.typing import Array, IntArray, Label
from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.connectors.files.source import FileSource
from echo_stream.connectors.files.tables import FileColumns
from echo_stream.connectors.storage.training_checkpoint import checkpointed
from echo_stream.connectors.training.job import Trained, labelled
from echo_stream.errors import DataError
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import label_of, sorted_labels
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.loop import Progress
from echo_stream.training.training import train

Subset: TypeAlias = Literal["random", "balanced"]

_COLUMNS = ("labels_used", "accuracy", "ece", "rmse", "mae", "steps", "loss", "diverged")


def compare_subsets(
    trained: Trained,
    data: Path,
    subsets: Sequence[Subset],
    *,
    test: Path,
    columns: FileColumns | None = None,
    models: Path,
    progress: Callable[[str], Progress],
    every: Every | None,
) -> list[dict[str, Any]]:
    """Train the recipe of a model on subsets of the source, and return all scores as rows.

    Each subset has as many labelled samples as the model has used, and as many steps are
    taken on it. It has no support: all of it is walked through, epoch by epoch.

    Parameters
    ----------
    trained : Trained
        The model of the coreset.
    data : Path
        Data file or folder with labels, from which the coreset was chosen. It is read
        twice, and never held whole.
    subsets : sequence of {"random", "balanced"}
        random: drawn uniformly. balanced: equally many of each class, as far as there are.
    test : Path
        What the model was scored on.
    columns : FileColumns, optional
        How data and test are read, where they are tables of payloads; see `file_source`.
    models : Path
        Where states of trainings under way are kept.
    progress : callable
        Returns the progress callback of the training on a subset, by its name.
    every : Every or None
        As in `train_on_snapshot`.

    Returns
    -------
    list of dict
        `subset`, `labels_used`, the scores of the task, `steps`, `loss` and `diverged`; the
        coreset's first.

    Raises
    ------
    DataError
        If the source has too few labelled samples.
    """
    metrics, tested = trained.result.metrics, labelled(read_file(test, columns=columns))
    config = replace(trained.config, steps=metrics["steps"], gamma=1.0, sample_weights="none")
    rows = [_row("coreset", metrics)]
    with closing(file_source(data, columns=columns)) as source:
        labels = _labels(source)
        for subset in subsets:
            chosen = choose(labels, metrics["labels_used"], subset, seed=config.seed)
            core = _read(source, labels, chosen)
            with checkpointed(models, (core, tested), config, every=every) as checkpoint:
                result = train(
                    core, None, tested, config, progress=progress(subset), checkpoint=checkpoint
                )
            rows.append(_row(subset, result.metrics))
    return rows


def choose(labels: Sequence[Label], size: int, subset: Subset, *, seed: int) -> IntArray:
    """Return rows of a subset of the labelled ones, ascending. O(n log n).

    Parameters
    ----------
    labels : sequence of int, float, str or None
    size : int
    subset : {"random", "balanced"}
        Where a class has too few for its share, the others give the rest.
    seed : int

    Raises
    ------
    DataError
        If fewer than size rows have a label.

    Examples
    --------
    >>> labels = ["a"] * 90 + ["b"] * 9 + ["c", None]
    >>> rows = choose(labels, 9, "balanced", seed=0)
    >>> [labels[row] for row in rows]
    ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b', 'c']
    """
    known = np.array([row for row, label in enumerate(labels) if label is not None], np.int64)
    if len(known) < size:
        msg = f"{size} labelled samples are needed to compare with; the data have {len(known)}"
        raise DataError(msg)
    order = np.random.default_rng(seed).permutation(known)
    if subset == "random":
        return np.sort(order[:size])
    # Deal from the classes in turn: place of each row within its class, then the class.
    place = {label: number for number, label in enumerate(sorted_labels(set(labels) - {None}))}
    classes = np.array([place[labels[row]] for row in order])
    turns = np.zeros(len(order), dtype=np.int64)
    for number in range(len(place)):
        turns[classes == number] = np.arange(np.count_nonzero(classes == number))
    return np.sort(order[np.lexsort((classes, turns))[:size]])


def _labels(source: FileSource) -> list[Label]:
    """Return the label of every row, reading the source once."""
    return [
        label_of(value)
        for samples in source.batches()
        for value in (_none(len(samples)) if samples.labels is None else samples.labels)
    ]


def _read(source: FileSource, labels: Sequence[Label], rows: IntArray) -> LabelledSet:
    """Return some rows of the source, reading it again."""
    x = np.array(source.x_of(rows))
    y = _none(len(rows))
    y[:] = [labels[row] for row in rows]
    return LabelledSet(x, y, rows)


def _none(n: int) -> Array:
    """Return a column of unknown labels."""
    return np.full(n, None, dtype=object)


def _row(subset: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the table."""
    return {"subset": subset} | {name: metrics[name] for name in _COLUMNS if name in metrics}
