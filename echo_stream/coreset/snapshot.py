"""A snapshot: the coreset of one moment, with the cells and edges that it came from."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.samples.samples import Samples

if TYPE_CHECKING:
    from echo_stream.coreset.dataset import SnapshotDataset, WeightedBatches

Role = Literal["core", "support"]
MAP_AXES = 2


@dataclass(frozen=True, slots=True, eq=False)
class CoresetRows:
    """The rows of a coreset: core samples in the order of selection, then support.

    Attributes
    ----------
    samples : Samples
        Payloads, ids, labels (object, None where unknown) and origins, n rows.
    roles : ndarray of shape (n,), object
        "core" or "support".
    rounds : ndarray of shape (n,), int64
        1-based rank in the cell.
    cells : list of tuple of int
        Index of each row's cell.
    degrees, cell_counts : ndarray of shape (n,), int64
    weights : ndarray of shape (n,), float64
        Samples that a row stands for; they sum to N.
    certified : ndarray of shape (n,), object
        True or False; None where no certificate was sought.
    latents : ndarray of shape (n, d), float64
        z.
    maps : ndarray of shape (n, 2), float64
        Coordinates for pictures.
    """

    samples: Samples
    roles: Array
    rounds: IntArray
    cells: list[Cell]
    degrees: IntArray
    cell_counts: IntArray
    weights: FloatArray
    certified: Array
    latents: FloatArray
    maps: FloatArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.samples)


@dataclass(frozen=True, slots=True, eq=False)
class CellRows:
    """The occupied cells, in order of index.

    Attributes
    ----------
    cells : list of tuple of int
    counts, degrees : ndarray of shape (M,), int64
    centroids : ndarray of shape (M, d), float64
    maps : ndarray of shape (M, 2), float64
    means : ndarray of shape (M, D), float32
        Means of all samples counted, as a model sees samples: flat, uint8 divided by 255.
        D is 0 where they are not kept: without support, or where features measure samples.
    """

    cells: list[Cell]
    counts: IntArray
    degrees: IntArray
    centroids: FloatArray
    maps: FloatArray
    means: Array


@dataclass(frozen=True, slots=True, eq=False)
class EdgeRows:
    """The edges of the PC graph.

    Attributes
    ----------
    left, right : list of tuple of int
        Indices of the two cells.
    lengths : ndarray of shape (E,), float64
    is_bridge : ndarray of shape (E,), bool
    """

    left: list[Cell]
    right: list[Cell]
    lengths: FloatArray
    is_bridge: Array


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The coreset of one moment; it never changes.

    Attributes
    ----------
    rows : CoresetRows
    cells : CellRows
    edges : EdgeRows
    manifest : dict
        Id, generation, configuration, N, counts by role and label: all that is known
        of the snapshot as a whole, as JSON.
    held_out : Samples or None
        Samples that were kept apart, of ids that are never in a coreset; None without any.
    anew : Snapshot or None
        The coreset of the same moment in cells that were trained for it, on kept samples: to
        train models on. None unless it was asked for.
    """

    rows: CoresetRows
    cells: CellRows
    edges: EdgeRows
    manifest: dict[str, Any] = field(repr=False)
    held_out: Samples | None = field(default=None, repr=False)
    anew: "Snapshot | None" = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """Name of the snapshot: N, then a digest of its content."""
        return str(self.manifest["id"])

    @property
    def n(self) -> int:
        """Samples counted when it was taken, N."""
        return int(self.manifest["n"])

    @property
    def certified_fraction(self) -> float | None:
        """Share of rows that are proven to be the batch choice; None if none was sought."""
        fraction: float | None = self.manifest["certified_fraction"]
        return fraction

    def select(self, role: Role) -> Samples:
        """Return the samples of one role, in order."""
        return self.rows.samples[np.flatnonzero(self.rows.roles == role)]

    def diff(self, after: "Snapshot") -> dict[str, Any]:
        """Say what came and went from this snapshot to a later one.

        Parameters
        ----------
        after : Snapshot

        Returns
        -------
        dict
            "before", "after" (ids), "n_before", "n_after"; "entered" and "left" (ids of
            samples), "stayed" (their number); "by_label", "by_role" and "by_cell", rows with
            these three numbers, those of cells with count and share before and after; and
            "drift" of the cells' shares: the total variation "distance" (0 to 1) between the
            two, "distance_of_new" between the first and what was counted since (None where
            samples were taken out), "cells_entered" and "cells_left".

            Cells of two generations cannot be compared: "same_generation" is False then,
            and "by_cell" and "drift" are None.

        Notes
        -----
        O(rows + cells). A sample is its id; in "by_role" it counts in each role that it has.
        """
        from echo_stream.coreset.comparison import compare  # noqa: PLC0415 - it knows snapshots

        return compare(self, after)

    def as_dataset(self) -> "SnapshotDataset":
        """Return all rows as a `torch.utils.data.Dataset` of (x, y)."""
        from echo_stream.coreset.dataset import SnapshotDataset  # noqa: PLC0415 - torch is slow to import

        return SnapshotDataset.from_rows(self.rows)

    def as_loader(
        self,
        batch_size: int = 256,
        *,
        shuffle: bool = True,
        seed: int = 0,
        labelled: bool = False,
    ) -> "WeightedBatches":
        """Return the rows as a `torch.utils.data.DataLoader` of batches (x, y, weight).

        Parameters
        ----------
        batch_size : int
        shuffle : bool
            Whether each pass has an order of its own; all of them follow from the seed.
        seed : int
        labelled : bool
            Whether rows without a label, whose y is -1, are left out.

        Returns
        -------
        DataLoader
            x of shape (b, ...), float32, uint8 divided by 255; y of shape (b,), int64, the
            position in `as_dataset().classes`; weight of shape (b,), float32, the samples
            that a row stands for.
        """
        from echo_stream.coreset.dataset import weighted_batches  # noqa: PLC0415 - torch is slow to import

        return weighted_batches(
            self.as_dataset(),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            labelled=labelled,
        )
