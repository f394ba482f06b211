"""Samples to train or test a downstream model on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.coreset.rows import Role
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ShapeError
from echo_stream.samples.samples import label_of
from echo_stream.training.weights import has_proportions


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
