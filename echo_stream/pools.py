"""Bounded pools of real samples: what a sketch keeps of each cell.

Every cell has a core pool (nearest the cell's latent centre) and a support pool
(farthest from its mean in input space; the paper's S_j). Within an *epoch* of a
cell the reference that distances are taken to is fixed; when the cell's count has
doubled the reference moves to the centre of now, and the pools are ordered anew.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch

from echo_stream.bounded_pool import BoundedPool
from echo_stream.cells import CellTable
from echo_stream.generation import Generation
from echo_stream.members import Member, members_from
from echo_stream.samples import Samples
from echo_stream.typing import Array, FloatArray

SLACK = 16  # members beyond the quota, for the centre's movement
LATENT_MARGIN = 1e-9  # relative; float64 distances over at most 64 axes are far better than this
TINY = 1e-37  # absolute; squares below float32's normal range lose precision


class Pools:
    """Core and support pools of all cells of one table, and the references of their epochs.

    Attributes
    ----------
    rounds : float
        R: the smallest number with sum_j min(m_j, R) >= budget; infinite before
        budget samples have been counted. It only falls.

    Notes
    -----
    A block of samples is tested against the pools' limits on the device, in float32
    where distances are over D features, with a margin that covers the rounding. Only
    what passes is looked at on the host, exactly and in float64.
    """

    def __init__(
        self, generation: Generation, device: torch.device, *, budget: int, support: int
    ) -> None:
        self._generation = generation
        self._device = device
        self._budget = budget
        self._support_capacity = support + SLACK if support else 0
        self.rounds: float = math.inf
        self.core: list[BoundedPool] = []
        self.support: list[BoundedPool] = []
        self.epoch_counts = np.zeros(0, dtype=np.int64)
        self.latent_references = np.zeros((0, generation.encoder.dim))
        self.input_references = torch.zeros((0, generation.num_features), device=device)
        self._core_limits = torch.zeros(0, dtype=torch.float64, device=device)
        self._support_limits = torch.zeros(0, device=device)

    @property
    def core_capacity(self) -> float:
        """Members that a core pool may hold, 2 R + 16."""
        return 2 * self.rounds + SLACK

    def update(
        self,
        table: CellTable,
        slots: torch.Tensor,
        latent: torch.Tensor,
        vectors: torch.Tensor,
        samples: Samples,
    ) -> None:
        """Offer a block of samples that table has just counted.

        Parameters
        ----------
        table : CellTable
        slots : tensor of shape (n,), int64
            Slot of each sample in table.
        latent : tensor of shape (n, d), float64
        vectors : tensor of shape (n, D), float32
        samples : Samples
            The n payloads with ids, labels and origins.

        Notes
        -----
        O(n D) on the device, O(log pool) on the host for each sample that passes.
        """
        # 1. Cells met for the first time begin their first epoch.
        self._renew(table, range(len(self.core), len(table)))
        # 2. What cannot enter a pool is refused before anything touches Python.
        wanted = self._passes_core(slots, latent)
        if self._support_capacity:
            wanted |= self._passes_support(slots, vectors)
        rows = torch.nonzero(wanted).squeeze(1)
        # 3. The rest is offered exactly.
        self._offer(
            slots[rows].cpu().numpy(),
            members_from(samples[rows.cpu().numpy()], latent[rows].cpu().numpy()),
            vectors[rows].cpu().numpy(),
        )
        # 4. Cells that have doubled begin a new epoch; the quota falls as counts grow.
        counts = table.counts.cpu().numpy()
        self._renew(table, np.flatnonzero(counts >= 2 * self.epoch_counts).tolist())
        self._lower_quota(counts)

    def merge(self, table: CellTable, other: "Pools", slots: Array) -> None:
        """Unite with other's pools; slots gives the slot here of each of its cells.

        table already holds the counts of both. Every cell begins a new epoch.
        """
        self.rounds = min(self.rounds, other.rounds)
        self._extend(len(table))
        for theirs, mine in enumerate(slots.tolist()):
            self.core[mine] = _united(self.core[mine], other.core[theirs])
            self.support[mine] = _united(self.support[mine], other.support[theirs])
        self._renew(table, range(len(table)))
        self._lower_quota(table.counts.cpu().numpy())

    def distinct_members(self) -> list[Member]:
        """Return each retained sample once, in an order fixed by the pools' content."""
        found = {id(member): member for pool in (*self.core, *self.support) for member in pool}
        return list(found.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of references and limits; payloads are counted with the members."""
        tensors = (self.input_references, self._core_limits, self._support_limits)
        arrays = self.epoch_counts.nbytes + self.latent_references.nbytes
        return arrays + sum(tensor.nbytes for tensor in tensors)

    def copy(self) -> "Pools":
        """Return an independent copy that shares the members, which never change."""
        copy = Pools(
            self._generation,
            self._device,
            budget=self._budget,
            support=max(self._support_capacity - SLACK, 0),
        )
        copy.rounds = self.rounds
        copy.epoch_counts = self.epoch_counts.copy()
        copy.latent_references = self.latent_references.copy()
        copy.input_references = self.input_references.clone()
        copy.restore([list(pool) for pool in self.core], [list(pool) for pool in self.support])
        return copy

    def restore(self, core: list[list[Member]], support: list[list[Member]]) -> None:
        """Fill the pools from members, references and quota already being in place."""
        self.core = [BoundedPool() for _ in core]
        self.support = [BoundedPool() for _ in support]
        self._core_limits = torch.zeros(len(core), dtype=torch.float64, device=self._device)
        self._support_limits = torch.zeros(len(core), device=self._device)
        for slot, (nearest, farthest) in enumerate(zip(core, support, strict=True)):
            self._reorder(slot, nearest, farthest)
        self._refresh_limits(range(len(core)))

    def _passes_core(self, slots: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Tell which samples may be nearer their cell's reference than the pool's last."""
        references = torch.from_numpy(self.latent_references).to(self._device)
        distances = (latent - references[slots]).square_().sum(dim=1)
        return distances <= self._core_limits[slots]

    def _passes_support(self, slots: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Tell which samples may be farther from their cell's mean than the pool's last."""
        distances = (vectors - self.input_references[slots]).square_().sum(dim=1)
        return distances >= self._support_limits[slots]

    def _offer(self, slots: Array, members: list[Member], vectors: Array) -> None:
        """Offer members to the pools of their cells."""
        near = squared_distances(
            np.array([m.latent for m in members]).reshape(len(members), -1),
            self.latent_references[slots],
        )
        references = self.input_references[torch.from_numpy(slots).to(self._device)]
        far = squared_distances(vectors, references.cpu().numpy())
        for slot, member, core_key, support_key in zip(slots, members, near, -far, strict=True):
            self.core[slot].offer(float(core_key), member, self.core_capacity)
            self.support[slot].offer(float(support_key), member, self._support_capacity)
        self._refresh_limits(np.unique(slots).tolist())

    def _renew(self, table: CellTable, slots: Iterable[int]) -> None:
        """Begin a new epoch in cells: the reference becomes the centre of now."""
        chosen = list(slots)
        if not chosen:
            return
        self._extend(len(table))
        index = torch.tensor(chosen, device=self._device)
        counts = table.counts[index]
        self.epoch_counts[chosen] = counts.cpu().numpy()
        self.latent_references[chosen] = (table.latent_sums[index] / counts[:, None]).cpu().numpy()
        self.input_references[index] = (table.input_sums[index] / counts[:, None]).float()
        for slot in chosen:
            self._reorder(slot, list(self.core[slot]), list(self.support[slot]))
        self._refresh_limits(chosen)

    def _reorder(self, slot: int, core: list[Member], support: list[Member]) -> None:
        """Order a cell's members by their distance to its reference, and cut."""
        near = squared_distances(latents(core), self.latent_references[slot])
        far = squared_distances(self.vectors(support), self.input_references[slot].cpu().numpy())
        self.core[slot] = BoundedPool(zip(near.tolist(), core, strict=True))
        self.support[slot] = BoundedPool(zip((-far).tolist(), support, strict=True))
        self.core[slot].cut(self.core_capacity)
        self.support[slot].cut(self._support_capacity)

    def vectors(self, members: list[Member]) -> Array:
        """Return the preprocessed payloads of members, of shape (n, D), float32."""
        if not members:
            return np.zeros((0, self._generation.num_features), dtype=np.float32)
        stacked = np.stack([member.x for member in members])
        return self._generation.preprocess(stacked).numpy()

    def _lower_quota(self, counts: Array) -> None:
        """Recompute R for the counts of now; when it has fallen, cut the core pools."""
        if np.minimum(counts, self.rounds - 1).sum() < self._budget:
            return
        self.rounds = rounds_needed(counts, self._budget)
        for pool in self.core:
            pool.cut(self.core_capacity)
        self._refresh_limits(range(len(self.core)))

    def _refresh_limits(self, slots: Iterable[int]) -> None:
        """Take over the limits of pools that have changed."""
        chosen = list(slots)
        core = np.array([self.core[slot].limit(self.core_capacity) for slot in chosen])
        support = -np.array([self.support[slot].limit(self._support_capacity) for slot in chosen])
        index = torch.tensor(chosen, dtype=torch.int64, device=self._device)
        self._core_limits[index] = torch.from_numpy(core * (1 + LATENT_MARGIN)).to(self._device)
        # n float32 squares sum with a relative error below (n + 2) 2^-24; twice that is safe.
        margin = (self._generation.num_features + 8) * 2.0**-23
        lowered = torch.from_numpy(support * (1 - margin) - TINY).float()
        self._support_limits[index] = lowered.to(self._device)

    def _extend(self, num_cells: int) -> None:
        """Make room for cells up to num_cells."""
        missing = num_cells - len(self.core)
        if missing <= 0:
            return
        self.core += [BoundedPool() for _ in range(missing)]
        self.support += [BoundedPool() for _ in range(missing)]
        self.epoch_counts = np.append(self.epoch_counts, np.zeros(missing, dtype=np.int64))
        self.latent_references = _with_rows(self.latent_references, missing)
        more = torch.zeros((missing, self.input_references.shape[1]), device=self._device)
        self.input_references = torch.cat([self.input_references, more])
        self._core_limits = torch.cat([self._core_limits, self._core_limits.new_zeros(missing)])
        self._support_limits = torch.cat(
            [self._support_limits, self._support_limits.new_zeros(missing)]
        )


def rounds_needed(counts: Array, slots: int) -> float:
    """Return R, the smallest number with sum_j min(m_j, R) >= slots; inf if there is none.

    O(M log slots).

    Examples
    --------
    >>> rounds_needed(np.array([5, 1, 3]), 6)
    3
    """
    if counts.sum() < slots:
        return math.inf
    low, high = 1, slots
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if np.minimum(counts, middle).sum() >= slots else (middle + 1, high)
        )
    return low


def squared_distances(points: Array, references: FloatArray) -> FloatArray:
    """Return |p - r|^2, of shape (n,), float64, summed in the same order for every row."""
    difference = points.astype(np.float64) - references.astype(np.float64)
    return np.asarray((difference * difference).sum(axis=-1))


def latents(members: list[Member]) -> FloatArray:
    """Return the z of members, of shape (n, d), float64; (0, 1) where there are none."""
    return np.array([member.latent for member in members]) if members else np.zeros((0, 1))


def _united(left: BoundedPool, right: BoundedPool) -> BoundedPool:
    """Return a pool with the members of both, in no meaningful order yet."""
    return BoundedPool((0.0, member) for pool in (left, right) for member in pool)


def _with_rows(array: FloatArray, number: int) -> FloatArray:
    """Return array with rows of zeros appended."""
    return np.concatenate([array, np.zeros((number, array.shape[1]))])
