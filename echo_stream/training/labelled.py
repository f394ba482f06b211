"""Samples to train or test a downstream model on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.coreset.rows import Role
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError, SettingName, ShapeError
from echo_stream.samples.samples import label_of
from echo_stream.training.config import TrainConfig
from echo_stream.training.spreading import spread_labels
from echo_stream.training.weights import has_proportions

_ENOUGH_HELD = 10
"""Samples held for each class from which labels are spread, unless told otherwise."""

_ENOUGH_LABELS = 10
"""Labels for each class from which they are not."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """Samples to train or test on.

    Attributes
    ----------
    x : ndarray of shape (n, ...), boolean, integer or floating point
    y : ndarray of shape (n,), any dtype
        Labels; None or NaN where unknown.
    ids : ndarray of shape (n,), any dtype
        Compared as text. Rows of one id carry one label between them.
    weights : ndarray of shape (n,), floating point, or None
        Samples that each row represents.
    means : ndarray of shape (n, D), floating point, or None
        Of all samples in a row's cell, as a model sees samples: flat, and uint8 divided by
        255. Needed to move support beyond its samples or towards the mean, by gamma.
    has_proportions : bool
        Whether weights are to give back the proportions of what was counted where a training
        may choose, see `echo_stream.training.weights.has_proportions`.

    Examples
    --------
    >>> import numpy as np
    >>> some = LabelledSet(np.zeros((2, 4)), np.array(["cat", None]), np.array([7, 8]))
    >>> len(some), len(some.labelled())
    (2, 1)
    """

    x: Array
    y: Array
    ids: Array
    weights: Array | None = None
    means: Array | None = None
    has_proportions: bool = True

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        columns = (self.x, self.y, self.ids, self.weights, self.means)
        lengths = [len(column) for column in columns if column is not None]
        if len(set(lengths)) > 1:
            msg = f"x, y and ids must have equal lengths; got {lengths}"
            raise ShapeError(msg)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def __getitem__(self, rows: slice | Sequence[int]) -> "LabelledSet":
        """Return some of the rows."""
        return LabelledSet(
            self.x[rows],
            self.y[rows],
            self.ids[rows],
            None if self.weights is None else self.weights[rows],
            None if self.means is None else self.means[rows],
            self.has_proportions,
        )

    def labelled(self) -> "LabelledSet":
        """Return the rows whose label is known."""
        return self[[row for row, value in enumerate(self.y) if label_of(value) is not None]]

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot, role: Role, *, with_means: bool = False) -> Self:
        """Return the rows of one role, weights included, and means of cells if requested.

        Means stay None where the snapshot has none. O(rows D).
        """
        samples, rows = snapshot.select(role), np.flatnonzero(snapshot.rows.roles == role)
        means = None
        if with_means and snapshot.cells.means.shape[1]:
            place = {cell: position for position, cell in enumerate(snapshot.cells.cells)}
            means = snapshot.cells.means[[place[snapshot.rows.cells[row]] for row in rows]]
        return cls(
            samples.x,
            np.full(len(samples), None, dtype=object) if samples.labels is None else samples.labels,
            samples.ids,
            snapshot.rows.weights[rows],
            means,
            has_proportions(snapshot.manifest["config"]),
        )


def with_pseudo_labels(
    core: LabelledSet, snapshot: Snapshot, config: TrainConfig
) -> tuple[LabelledSet, LabelledSet | None, str | None]:
    """Spread the labels of a snapshot over its samples that have none, where that is to be done.

    Unless `config.spread` says so, it is done for the model `logistic`, where a class has fewer
    than ten labels and at least ten samples, on average: elsewhere models may do better without;
    docs/how-to/train-a-model.md has the measurement.

    Parameters
    ----------
    core : LabelledSet
        Of the snapshot.
    snapshot : Snapshot
    config : TrainConfig

    Returns
    -------
    core : LabelledSet
        With the samples of the context that have a label, where labels are spread.
    pseudo : LabelledSet or None
        The samples that a label reaches; weights are the confidence in it. None where labels are
        not spread.
    reason : str or None
        Why they are spread or not, in a line; None where all samples have one, or none has.

    Raises
    ------
    ConfigError
        If labels are to be spread for a regression.
    """
    if config.task == "regression":
        if config.spread:
            raise ConfigError(SettingName("spread"), " is for classes; a regression has none")
        return core, None, None
    samples, _ = snapshot.held()
    assert samples.labels is not None
    are_given = samples.are_labelled
    # The second row of a sample that is core and support has no weight.
    is_first = np.concatenate(
        [snapshot.rows.weights > 0, np.ones(len(samples) - len(snapshot.rows), bool)]
    )
    num_labels, num_held = int((are_given & is_first).sum()), int(is_first.sum())
    if num_labels in (0, num_held):
        return core, None, None
    num_classes = len({label_of(label) for label in samples.labels[are_given].tolist()})
    is_wanted, reason = _decision(config, num_labels, num_held, num_classes)
    if not is_wanted:
        return core, None, reason
    spread = spread_labels(snapshot)
    bought = np.flatnonzero(are_given[len(snapshot.rows) :]) + len(snapshot.rows)
    found = np.flatnonzero(spread.is_reached & ~are_given & is_first)
    more = LabelledSet(samples.x[bought], samples.labels[bought], samples.ids[bought])
    pseudo = LabelledSet(
        samples.x[found], spread.labels[found], samples.ids[found], spread.confidence[found]
    )
    return _joined(core, more), pseudo, reason


def _decision(
    config: TrainConfig, num_labels: int, num_held: int, num_classes: int
) -> tuple[bool, str]:
    """Return whether labels are to be spread, and why."""
    wanted = config.spread
    labels, held = num_labels / num_classes, num_held / num_classes
    about = (
        f"{num_labels} labels, {labels:.1f} a class; {num_held} samples held, {held:.1f} a class"
    )
    if wanted is not None:
        return wanted, f"labels are {'' if wanted else 'not '}spread, as asked for: {about}"
    if config.model != "logistic":
        return False, f"labels are not spread, since {config.model} may learn more alone: {about}"
    if labels >= _ENOUGH_LABELS:
        return False, f"labels are not spread, since there are many: {about}"
    if held < _ENOUGH_HELD:
        return False, f"labels are not spread, since few samples are held: {about}"
    return True, f"labels are spread: {about}"


def _joined(core: LabelledSet, more: LabelledSet) -> LabelledSet:
    """Return the core with more labelled samples, each of which represents itself."""
    if len(more) == 0:
        return core
    return LabelledSet(
        np.concatenate([core.x, more.x]),
        np.concatenate([core.y, more.y]),
        np.concatenate([core.ids, more.ids]),
        None if core.weights is None else np.concatenate([core.weights, np.ones(len(more))]),
        has_proportions=core.has_proportions,
    )
