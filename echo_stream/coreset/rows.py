"""The tables of a snapshot: rows of the coreset, its context, cells, and edges between them."""

from dataclasses import dataclass, fields
from typing import Literal

from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.samples.samples import Samples

Role = Literal["core", "support"]


MAP_AXES = 2


class _Table:
    """Columns of one length, with a short text for a prompt."""

    __slots__ = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]  # a dataclass

    def __repr__(self) -> str:
        """Return the name and the number of rows."""
        return f"<{type(self).__name__}: {len(self)} rows>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CoresetRows(_Table):
    """The rows of a coreset: core samples in the order of selection, then support.

    Attributes
    ----------
    samples : Samples
        Payloads, ids, labels (object, None where unknown) and origins, n rows.
    roles : ndarray of shape (n,), object
        "core" or "support".
    ranks_in_cell : ndarray of shape (n,), int64
        1-based rank in the cell; with adaptive cells, among the rows of the cell.
    cells : list of tuple of int
        Index of each row's cell.
    degrees, cell_counts : ndarray of shape (n,), int64
    weights : ndarray of shape (n,), float64
        Samples that a row represents; they sum to N.
    certified : ndarray of shape (n,), object
        True or False; None where no certificate was sought.
    latents : ndarray of shape (n, d), float64
        z.
    maps : ndarray of shape (n, 2), float64
        Coordinates for pictures.
    """

    samples: Samples
    roles: Array
    ranks_in_cell: IntArray
    cells: list[Cell]
    degrees: IntArray
    cell_counts: IntArray
    weights: FloatArray
    certified: Array
    latents: FloatArray
    maps: FloatArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ContextRows(_Table):
    """The context of a coreset: samples that are held and are not in it, by the hash of the id.

    Attributes
    ----------
    samples : Samples
        Payloads, ids, labels (object, None where unknown) and origins, n rows; each sample once.
    cells : list of tuple of int
        Index of each sample's cell.
    latents : ndarray of shape (n, d), float64
        z.
    """

    samples: Samples
    cells: list[Cell]
    latents: FloatArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CellRows(_Table):
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EdgeRows(_Table):
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
