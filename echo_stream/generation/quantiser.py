"""The interface of a quantiser of the latent space into cells.

A quantiser numbers its cells 0 .. max_cells - 1 (a *key*). Keys order cells as
their indices do, so a tie broken by key is a tie broken by cell index.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from echo_stream._common.typing import Array, Cell, FloatArray, IntArray

_CHUNK_POINTS = 1_024  # points whose distances to all codewords are taken at a time
MAX_CELLS = 65_536  # more cells than this would not be bounded memory in any useful sense


class Located(NamedTuple):
    """The cells of points.

    Attributes
    ----------
    keys : tensor of shape (n,), int64
        Key of each point's cell.
    second_nearest : tensor of shape (n,), int64, or None
        Key of the second nearest cell, where points are witnesses that two are adjacent.
    """

    keys: torch.Tensor
    second_nearest: torch.Tensor | None = None


class Quantiser(Protocol):
    """A division of the latent space into a bounded number of cells, or none that is fixed."""

    @property
    def kind(self) -> str:
        """Name of the quantiser."""

    @property
    def dim(self) -> int:
        """Dimension d of the latent space."""

    @property
    def max_cells(self) -> int:
        """Most cells that can ever be occupied."""

    def locate(self, latent: torch.Tensor) -> Located:
        """Return where points of shape (n, d), float64, lie; the same bits in any block."""

    def cell(self, key: int) -> Cell:
        """Return the index of a cell."""

    def face_pairs(self, keys: IntArray, among: IntArray) -> IntArray:
        """Return pairs of keys whose cells share a face, one of them in keys, both in among.

        Of shape (E, 2), int64: each pair once, smaller key first, in order. among ascends
        and holds all keys. No pairs where `locate` returns the second nearest cells: then
        these decide which cells are adjacent.
        """

    def to(self, device: torch.device) -> "Quantiser":
        """Return the quantiser on device."""

    def describe(self) -> dict[str, Any]:
        """Return all but the arrays as JSON."""

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays."""


@runtime_checkable
class FixedQuantiser(Quantiser, Protocol):
    """A quantiser whose cells stay where they are: how far samples lie from them tells drift."""

    def centres(self, keys: IntArray) -> FloatArray:
        """Return the fixed point from which drift of a cell's samples is measured, (M, d)."""

    def unseen_distances(self, latent: torch.Tensor, *, seed: int) -> FloatArray:
        """Return squared distances to their centres of some of the training points (n, d).

        As if they had not been trained on, like samples that arrive later.
        """


@dataclass(frozen=True, slots=True)
class NoQuantiser:
    """No fixed division: the cells follow the stream, and a sketch has them.

    Attributes
    ----------
    dim : int
        Dimension d of the latent space.
    """

    dim: int

    @property
    def kind(self) -> str:
        """Name of the quantiser."""
        return "adaptive"

    @property
    def max_cells(self) -> int:
        """No cell is fixed."""
        return 0

    def locate(self, latent: torch.Tensor) -> Located:
        """Return -1 for each point of shape (n, d): a sketch knows in which of its cells it is."""
        return Located(torch.full((len(latent),), -1, device=latent.device))

    def cell(self, key: int) -> Cell:
        """Return the index of a cell: its number in the sketch."""
        return (key,)

    def face_pairs(self, _keys: IntArray, _among: IntArray) -> IntArray:
        """Return no pairs: witnesses decide which cells are adjacent."""
        return np.zeros((0, 2), dtype=np.int64)

    def to(self, _device: torch.device) -> "NoQuantiser":
        """Return the same: it has no tensors."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return the dimension as JSON."""
        return {"kind": self.kind, "dim": self.dim}

    def to_arrays(self) -> dict[str, Array]:
        """Return no arrays."""
        return {}


def centre_distances(quantiser: FixedQuantiser, latent: torch.Tensor) -> FloatArray:
    """Return the squared distance of points (n, d), on the host, to the centre of their cell."""
    parts = []
    for points in torch.split(latent, _CHUNK_POINTS):
        centres = quantiser.centres(quantiser.locate(points).keys.numpy())
        parts.append(np.square(points.numpy() - centres).sum(axis=1))
    return np.concatenate(parts)
