"""Bounded pools of real samples: what a sketch keeps of each cell.

Every cell has a core pool (nearest the cell's latent centre) and a support pool
(farthest from its mean in input space; the paper's S_j).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from echo_stream.cells import CellTable
from echo_stream.distance_pools import DistancePools
from echo_stream.generation import Generation
from echo_stream.members import Member, members_from
from echo_stream.samples import Samples
from echo_stream.typing import Array, FloatArray

SLACK = 16  # members beyond the quota, for the centre's movement


class Pools:
    """Core and support pools of all cells of one table.

    Attributes
    ----------
    rounds : float
        R: the smallest number with sum_j min(m_j, R) >= budget; infinite before
        budget samples have been counted. It only falls.
    core, support : DistancePools
        Of 2 R + 16 and s + 16 members a cell; no support when s is 0.
    epoch_counts : ndarray of shape (M,), int64
        Count of each cell when its epoch began.
    """

    def __init__(
        self, generation: Generation, device: torch.device, *, budget: int, support: int
    ) -> None:
        self.rounds: float = math.inf
        self.epoch_counts = np.zeros(0, dtype=np.int64)
        self.core = DistancePools(
            lambda members: latents(members, generation.encoder.dim),
            generation.encoder.dim,
            torch.float64,
            device,
            farthest=False,
            capacity=math.inf,
        )
        self.support = DistancePools(
            lambda members: vectors(members, generation),
            generation.num_features,
            torch.float32,
            device,
            farthest=True,
            capacity=support + SLACK if support else 0,
        )
        self._budget = budget

    def update(
        self,
        table: CellTable,
        slots: torch.Tensor,
        latent: torch.Tensor,
        inputs: torch.Tensor,
        samples: Samples,
    ) -> None:
        """Offer a block of samples that table has just counted.

        Parameters
        ----------
        table : CellTable
        slots : tensor of shape (n,), int64
            Slot of each sample in table.
        latent : tensor of shape (n, d), float64
        inputs : tensor of shape (n, D), float32
        samples : Samples
            The n payloads with ids, labels and origins.

        Notes
        -----
        O(n D) on the device, O(log pool) on the host for each sample that passes.
        """
        # 1. Cells met for the first time begin their first epoch.
        self._renew(table, range(len(self.epoch_counts), len(table)))
        # 2. What cannot enter a pool is refused before anything touches Python.
        wanted = self.core.passes(slots, latent)
        if self.support.capacity:
            wanted |= self.support.passes(slots, inputs)
        rows = torch.nonzero(wanted).squeeze(1)
        # 3. The rest is offered exactly.
        kept = samples[rows.cpu().numpy()]
        members = members_from(kept, latent[rows].cpu().numpy())
        chosen = slots[rows].cpu().numpy()
        self.core.offer(chosen, members, latent[rows].cpu().numpy())
        if self.support.capacity:
            self.support.offer(chosen, members, inputs[rows].cpu().numpy())
        # 4. Cells that have doubled begin a new epoch; the quota falls as counts grow.
        counts = table.counts.cpu().numpy()
        self.core.seen[:], self.support.seen[:] = counts, counts
        self._renew(table, np.flatnonzero(counts >= 2 * self.epoch_counts).tolist())
        self._lower_quota(counts)

    def merge(self, table: CellTable, other: "Pools", slots: Array) -> None:
        """Unite with other's pools; slots gives the slot here of each of its cells.

        table already holds the counts of both. Every cell begins a new epoch.
        """
        self.rounds = min(self.rounds, other.rounds)
        self.core.capacity = 2 * self.rounds + SLACK
        self._extend(len(table))
        for theirs, mine in enumerate(slots.tolist()):
            self.core.absorb(mine, other.core, theirs)
            self.support.absorb(mine, other.support, theirs)
        self._renew(table, range(len(table)))
        self._lower_quota(table.counts.cpu().numpy())

    def sides(self) -> dict[str, DistancePools]:
        """Return core and support by name."""
        return {"core": self.core, "support": self.support}

    def distinct_members(self) -> list[Member]:
        """Return each retained sample once, in an order fixed by the pools' content."""
        pools = (*self.core.pools, *self.support.pools)
        return list({id(member): member for pool in pools for member in pool}.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of references and bounds; payloads are counted with the members."""
        return self.epoch_counts.nbytes + self.core.size_bytes + self.support.size_bytes

    def copy_into(self, target: "Pools") -> None:
        """Make empty target pools equal to these, sharing the members, which never change."""
        target.rounds = self.rounds
        target.epoch_counts = self.epoch_counts.copy()
        self.core.copy_into(target.core)
        self.support.copy_into(target.support)

    def _renew(self, table: CellTable, slots: Sequence[int]) -> None:
        """Begin a new epoch in cells: the references become the centres of now."""
        if not slots:
            return
        self._extend(len(table))
        index = torch.tensor(slots, device=table.counts.device)
        counts = table.counts[index]
        self.epoch_counts[slots] = counts.cpu().numpy()
        self.core.renew(slots, table.latent_sums[index] / counts[:, None])
        if self.support.capacity:
            self.support.renew(slots, table.input_sums[index] / counts[:, None])

    def _lower_quota(self, counts: Array) -> None:
        """Recompute R for the counts of now; when it has fallen, cut the core pools."""
        if np.minimum(counts, self.rounds - 1).sum() < self._budget:
            return
        self.rounds = rounds_needed(counts, self._budget)
        self.core.lower_capacity(2 * self.rounds + SLACK)

    def _extend(self, num_cells: int) -> None:
        """Make room for cells up to num_cells."""
        missing = num_cells - len(self.epoch_counts)
        self.epoch_counts = np.append(self.epoch_counts, np.zeros(missing, dtype=np.int64))
        self.core.extend(num_cells)
        self.support.extend(num_cells)


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


def latents(members: Sequence[Member], dim: int) -> FloatArray:
    """Return the z of members, of shape (n, dim), float64."""
    return np.array([member.latent for member in members]).reshape(len(members), dim)


def vectors(members: Sequence[Member], generation: Generation) -> Array:
    """Return the preprocessed payloads of members, of shape (n, D), float32."""
    if not members:
        return np.zeros((0, generation.num_features), dtype=np.float32)
    return generation.preprocess(np.stack([member.x for member in members])).numpy()
