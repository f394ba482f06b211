"""Counts and exact sums of every occupied cell.

Source: the ECHO paper, section III-A (m_j, c_j and mu_j).
"""

from dataclasses import dataclass

import numpy as np
import torch

from echo_stream._common.device import on_host
from echo_stream._common.fixed_point import CHECK_EVERY, is_exact
from echo_stream._common.scratch import Scratch, chunks
from echo_stream._common.typing import Array
from echo_stream.generation.generation import Generation

INITIAL_CELLS = 64
_LAST_KEY = 2**62  # beyond any: a class number has 31 bits, a codeword's 12


@dataclass(frozen=True, slots=True, eq=False)
class CellStatistics:
    """Counts and sums of every occupied cell, on the host, in order of key.

    Attributes
    ----------
    keys : ndarray of shape (M,), int64, ascending
    counts : ndarray of shape (M,), int64
        m_j.
    latent_sums : ndarray of shape (M, d), float64
        m_j c_j.
    input_sums : ndarray of shape (M, D), float64
        m_j mu_j.
    slots : ndarray of shape (M,), int64
        Row of each cell in the table's own order.
    classes : ndarray of shape (M,), int64
        Number of each cell's class, see `echo_stream.generation.classes`; 0 where
        labels make no cells.
    is_exact : bool
        Whether counts and sums are those of everything counted, to the last bit.
    """

    keys: Array
    counts: Array
    latent_sums: Array
    input_sums: Array
    slots: Array
    classes: Array
    is_exact: bool

    @property
    def centroids(self) -> Array:
        """Latent centroids c_j, of shape (M, d), float64."""
        return self.latent_sums / self.counts[:, None]

    def position(self, key: int) -> int | None:
        """Return the position of a cell; None where it is not occupied. O(log M)."""
        position = int(np.searchsorted(self.keys, key))
        is_occupied = position < len(self.keys) and self.keys[position] == key
        return position if is_occupied else None


class CellTable:
    """Counts and exact sums per cell, on one device.

    Cells get a *slot* when their first sample arrives; `statistics` is in order of cell key,
    which does not depend on the order of arrival.

    Attributes
    ----------
    keys : tensor of shape (M,), int64
        Cell key of each slot.
    counts : tensor of shape (M,), int64
    latent_sums : tensor of shape (M, d), float64
    norm_sums : tensor of shape (M,), float64
        Sums of |z|^2, cut as `Generation.squared_norms` says.
    input_sums : tensor of shape (M, D), float64

    Notes
    -----
    Memory: M (D + d + 5) numbers.
    """

    def __init__(self, generation: Generation, device: torch.device) -> None:
        self._generation = generation
        self._device = device
        # Keys in order, and their slots. The last one is beyond all keys.
        self._sorted_keys = torch.full((1,), _LAST_KEY, dtype=torch.int64, device=device)
        self._slot_of_sorted = torch.full((1,), -1, dtype=torch.int64, device=device)
        self._num_cells = 0
        self._was_exact = True
        self._num_unchecked = 0  # samples counted since the range of the sums was checked
        self._scratch = Scratch(torch.float64, device)
        self._columns = {
            "keys": self._zeros((INITIAL_CELLS,), torch.int64),
            "counts": self._zeros((INITIAL_CELLS,), torch.int64),
            "latent_sums": self._zeros((INITIAL_CELLS, generation.encoder.dim)),
            "norm_sums": self._zeros((INITIAL_CELLS,)),
            "input_sums": self._zeros((INITIAL_CELLS, generation.num_features)),
        }

    def __len__(self) -> int:
        """Return the number of occupied cells, M."""
        return self._num_cells

    @property
    def keys(self) -> torch.Tensor:
        """Cell key of each slot."""
        return self._columns["keys"][: self._num_cells]

    @property
    def counts(self) -> torch.Tensor:
        """Samples counted in each slot's cell, m_j."""
        return self._columns["counts"][: self._num_cells]

    @property
    def classes(self) -> torch.Tensor:
        """Number of the class of each slot's cell; 0 where labels make no cells."""
        return self.keys // self._generation.quantiser.max_cells

    @property
    def latent_sums(self) -> torch.Tensor:
        """Sums of z."""
        return self._columns["latent_sums"][: self._num_cells]

    @property
    def norm_sums(self) -> torch.Tensor:
        """Sums of |z|^2."""
        return self._columns["norm_sums"][: self._num_cells]

    @property
    def input_sums(self) -> torch.Tensor:
        """Sums of preprocessed x."""
        return self._columns["input_sums"][: self._num_cells]

    @property
    def is_exact(self) -> bool:
        """Whether no sum has ever left the range in which float64 adds exactly. O(M D).

        A sum that has returned into the range has lost bits.
        """
        self._check_exact()
        return self._was_exact

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors that are in use."""
        used = [self.keys, self.counts, self.latent_sums, self.norm_sums, self.input_sums]
        index = self._sorted_keys.nbytes + self._slot_of_sorted.nbytes
        return sum(part.nbytes for part in used) + index

    def update(
        self,
        keys: torch.Tensor,
        latent: torch.Tensor,
        vectors: torch.Tensor,
        times: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Count samples and return the slot of each, of shape (n,), int64. O(n D).

        Parameters
        ----------
        keys : tensor of shape (n,), int64
        latent : tensor of shape (n, d), float64
        vectors : tensor of shape (n, D), float32
            Both rounded to their spacings.
        times : tensor of shape (n,), int64, optional
            How often each sample counts. Whole multiples of a spacing add exactly too.
        """
        slots = self._slots(keys)
        norms = self._generation.squared_norms(latent)
        if times is not None:
            latent, norms = latent * times[:, None], norms * times
        self._columns["counts"].index_add_(
            0, slots, torch.ones_like(slots) if times is None else times
        )
        self._columns["latent_sums"].index_add_(0, slots, latent)
        self._columns["norm_sums"].index_add_(0, slots, norms)
        for rows in chunks(len(slots), self._device):
            exact = self._scratch.copy(vectors[rows])
            if times is not None:
                exact *= times[rows][:, None]
            self._columns["input_sums"].index_add_(0, slots[rows], exact)
        self._num_unchecked += len(slots) if times is None else int(times.abs().sum())
        if self._num_unchecked >= CHECK_EVERY:
            self._check_exact()
        return slots

    def subtract(self, keys: torch.Tensor, latent: torch.Tensor, vectors: torch.Tensor) -> None:
        """Subtract samples that have been counted: the exact inverse of `update`. O(n D)."""
        self.update(keys, latent, vectors, torch.full_like(keys, -1))

    def find(self, keys: torch.Tensor) -> torch.Tensor:
        """Return the slot of each key, of shape (n,), int64; -1 for an unknown cell."""
        places = torch.searchsorted(self._sorted_keys, keys)
        return torch.where(self._sorted_keys[places] == keys, self._slot_of_sorted[places], -1)

    def merge(self, other: "CellTable") -> torch.Tensor:
        """Add other's counts and sums; return the slot here of each of its slots. O(M D)."""
        slots = self._slots(other.keys.to(self._device))
        for name in ("counts", "latent_sums", "norm_sums", "input_sums"):
            addend = other._columns[name][: len(other)].to(self._device)
            self._columns[name].index_add_(0, slots, addend)
        self._was_exact = self._was_exact and other.is_exact
        self._check_exact()
        return slots

    def occupied(self) -> Array:
        """Return the keys of the cells that hold samples, ascending, int64, on the host."""
        return np.sort(self.keys[self.counts > 0].cpu().numpy())

    def statistics(self) -> CellStatistics:
        """Return counts and sums on the host, in order of key.

        A cell whose samples have all been forgotten is not occupied.
        """
        counts = on_host(self.counts)
        occupied = np.flatnonzero(counts)
        order = occupied[np.argsort(on_host(self.keys)[occupied])]
        keys = on_host(self.keys)[order]
        return CellStatistics(
            keys=keys,
            counts=counts[order],
            latent_sums=on_host(self.latent_sums)[order],
            input_sums=on_host(self.input_sums)[order],
            slots=order,
            classes=keys // self._generation.quantiser.max_cells,
            is_exact=self.is_exact,
        )

    def to_arrays(self) -> dict[str, Array]:
        """Return the columns as host arrays, in order of slot."""
        return {
            name: column[: self._num_cells].cpu().numpy().copy()
            for name, column in self._columns.items()
        }

    @classmethod
    def from_arrays(
        cls,
        arrays: dict[str, Array],
        generation: Generation,
        device: torch.device,
        *,
        was_exact: bool,
    ) -> "CellTable":
        """Restore a table from the columns that `to_arrays` returned, and its `is_exact`."""
        table = cls(generation, device)
        table._was_exact = was_exact
        table._add(torch.from_numpy(arrays["keys"]).to(device))
        for name in table._columns:
            table._columns[name][: len(table)] = torch.from_numpy(arrays[name]).to(device)
        return table

    def copy(self) -> "CellTable":
        """Return an independent copy."""
        return self.from_arrays(
            self.to_arrays(), self._generation, self._device, was_exact=self.is_exact
        )

    def _check_exact(self) -> None:
        """Check whether sums have left the range in which they are exact. O(M D)."""
        generation = self._generation
        self._was_exact = (
            self._was_exact
            and is_exact(self.latent_sums, generation.latent_spacing)
            and is_exact(self.norm_sums, generation.norm_spacing)
            and is_exact(self.input_sums, generation.preprocess.spacing)
        )
        self._num_unchecked = 0

    def _slots(self, keys: torch.Tensor) -> torch.Tensor:
        """Return the slot of each key; new keys get the next slots."""
        slots = self.find(keys)
        if len(keys) and bool((slots < 0).any()):
            self._add(torch.unique(keys[slots < 0]))
            slots = self.find(keys)
        return slots

    def _add(self, keys: torch.Tensor) -> None:
        """Give slots to keys that have none."""
        first, self._num_cells = self._num_cells, self._num_cells + len(keys)
        while self._num_cells > len(self._columns["keys"]):
            self._columns = {
                name: torch.cat([column, torch.zeros_like(column)])
                for name, column in self._columns.items()
            }
        new_slots = torch.arange(first, self._num_cells, device=self._device)
        self._columns["keys"][new_slots] = keys
        known = torch.cat([self._sorted_keys, keys])
        self._sorted_keys, order = torch.sort(known)
        self._slot_of_sorted = torch.cat([self._slot_of_sorted, new_slots])[order]

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Return zeros on the table's device."""
        return torch.zeros(shape, dtype=dtype, device=self._device)
