"""Bounded pools of real samples: what a sketch keeps of each cell.

Every cell has a core pool (nearest the cell's latent centre, or with the smallest
hashes) and, with support, a pool of those farthest from its mean in input space (the
paper's S_j).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.config import EngineConfig
from echo_stream.generation.generation import Generation
from echo_stream.samples.members import Member, members_from
from echo_stream.samples.samples import Samples, stacked
from echo_stream.sketch.cells import CellTable
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.hash_pools import HashPools
from echo_stream.sketch.pools.quotas import Quota, Quotas

SLACK = 16  # members beyond the quota, for the centre's movement
# In input space centres move more: with 16 a stream of Fashion-MNIST sorted by class ended
# 96.8 % equal to the batch on the paper's grid, with 24 it is 99.1 % (fidelity in benchmarks).
SUPPORT_SLACK = 24
# Growth of a cell at which its references follow the centre. At 2, the paper's grid on
# Banking77 had 78 % of its rows certified and at 1.5 88 % (fidelity in benchmarks).
_PERIOD_GROWTH = 1.5
_LOW_DIMENSIONS = 4  # up to here distances to a centre differ enough for that slack


@dataclass(frozen=True, eq=False)
class Block:
    """A block of samples on its way into the pools.

    Attributes
    ----------
    slots : tensor of shape (n,), int64
        Slot of each sample's cell.
    latent : tensor of shape (n, d), float64
    inputs : tensor of shape (n, D), float32
    samples : Samples
        The n payloads with ids, labels and origins.
    keeps_inputs : bool
        Whether members keep their inputs, since features are expensive to compute again.
    made : dict of int to Member
        Rows that have been copied out of the batch, each once, shared by all pools.
    """

    slots: torch.Tensor
    latent: torch.Tensor
    inputs: torch.Tensor
    samples: Samples
    keeps_inputs: bool = False
    made: dict[int, Member] = field(default_factory=dict)

    @cached_property
    def hashes(self) -> Array:
        """Hashes of the ids, of shape (n,), uint64."""
        return hash_ids(self.samples.ids)

    def members(self, rows: IntArray) -> list[Member]:
        """Return rows as members; one that was returned before is the same object again."""
        new = np.array([row for row in rows.tolist() if row not in self.made], dtype=np.int64)
        index = torch.from_numpy(new).to(self.latent.device)
        latent = self.latent[index].cpu().numpy()
        inputs = self.inputs[index].cpu().numpy() if self.keeps_inputs else None
        members = members_from(self.samples[new], latent, inputs, self.hashes[new])
        self.made.update(zip(new.tolist(), members, strict=True))
        return [self.made[row] for row in rows.tolist()]


class Pools:
    """Core and support pools of all cells of one table.

    Attributes
    ----------
    quotas : Quotas
        R and R_s, for each class. They only fall.
    nearest : DistancePools or None
        Members nearest the centroid: 2 R + slack a cell (see `_slack_for`) where rank is
        `center`, 2 + 32 where it is `mixed` and only the first is needed.
    hashed : HashPools or None
        Members with the smallest hashes, 2 R + 16 a cell, where rank is not `center`.
    support : DistancePools or None
        Members farthest from the mean in input space: s + 24 a cell, or where support has
        a share of the budget 2 (R + R_s) + 24, since R of them can be core.
    period_counts : ndarray of shape (M,), int64
        Count of each cell when its period began; it ends with the block in which the cell has
        grown by half.
    num_passed : int
        Samples that have passed a threshold: for benchmarks, not part of the state.
    unoffered : ndarray of shape (M,), int64
        Samples of each cell that were counted but not offered to its pools: its count less the
        samples that its pools have seen. 0 unless the sketch is approximate; negative where
        the count was estimated too low.
    """

    def __init__(self, generation: Generation, config: EngineConfig, device: torch.device) -> None:
        self.quotas = Quotas(config.core_slots, config.support_slots)
        self.period_counts = np.zeros(0, dtype=np.int64)
        self.num_passed = 0
        self.unoffered = np.zeros(0, dtype=np.int64)
        self._config = config
        self._classes = np.zeros(0, dtype=np.int64)  # of each cell, its number
        # Hashes need no slack but for samples that are forgotten.
        self._slack = SLACK if config.rank != "center" else _slack_for(generation.encoder.dim)
        self.hashed = None if config.rank == "center" else HashPools(device)
        self.nearest = None if config.rank == "uniform" else _nearest(generation, device)
        has_support = config.support_size or config.support_slots
        self.support = _farthest(generation, device) if has_support else None

    @property
    def ordered(self) -> dict[str, DistancePools]:
        """The pools that are ordered by distance, by name."""
        named = {"nearest": self.nearest, "support": self.support}
        return {name: pools for name, pools in named.items() if pools is not None}

    def all(self) -> list[DistancePools | HashPools]:
        """Return all the pools that there are."""
        return [*self.ordered.values(), *([] if self.hashed is None else [self.hashed])]

    def sizes(self, quota: Quota) -> dict[str, tuple[float, float]]:
        """Return the ranks needed and the capacity of a cell's pools, by their name."""
        rounds, farthest = quota.rounds, sum(quota)
        needed = {"nearest": rounds, "hashed": rounds, "support": farthest}
        slack = {"nearest": self._slack, "hashed": SLACK, "support": SUPPORT_SLACK}
        sizes = {name: (rank, 2 * rank + slack[name]) for name, rank in needed.items()}
        if self.hashed is not None:
            sizes["nearest"] = (1, 2 + 2 * SLACK)
        if self._config.support_size:
            size = self._config.support_size
            sizes["support"] = (size, size + SUPPORT_SLACK)
        sides = {**self.ordered, **({} if self.hashed is None else {"hashed": self.hashed})}
        return {name: size for name, size in sizes.items() if name in sides}

    def most_members(self, max_cells: int) -> int:
        """Return an upper bound on the samples in the pools of so many cells.

        Whatever R is, or will be: where R slots are allocated to each cell that has so many,
        sum_j min(m_j, R - 1) is less than the budget. So pools of 2 R + slack hold no more than
        twice the budget and slack + 2 a cell; and the same for support, and for each class.
        Before R is finite all samples are held: fewer than the budget, and where support has
        a share of it, a sample more a cell.
        """
        sizes, larger = self.sizes(Quota(1, 1)), self.sizes(Quota(2, 2))
        smallest = sum(capacity for _, capacity in sizes.values())
        num_growing = sum(larger[name] != size for name, size in sizes.items())
        return int(max_cells * (smallest + 1)) + 2 * num_growing * self._config.budget

    def size(self) -> None:
        """Set the capacities of all pools to those of their class, without cutting any."""
        for number in np.unique(self._classes).tolist():
            cells = self._classes == number
            for name, (needed, capacity) in self.sizes(self.quotas.of(number)).items():
                if name == "hashed":
                    assert self.hashed is not None
                    self.hashed.capacities[cells] = capacity
                else:
                    self.ordered[name].needed[cells] = needed
                    self.ordered[name].capacities[cells] = capacity

    def update(self, table: CellTable, block: Block) -> None:
        """Offer a block of samples that table has just counted.

        O(n D) on the device, O(log pool) on the host for each sample that passes.
        """
        # 1. New cells begin their first period.
        self._renew(table, range(len(self.period_counts), len(table)))
        # 2. Samples that cannot enter a pool are refused on the device; the others are copied
        # out of the batch, and compared exactly.
        if self.hashed is not None:
            rows = torch.nonzero(self.hashed.passes(block.slots, block.hashes)).squeeze(1)
            members = block.members(rows.cpu().numpy())
            self.hashed.offer(block.slots[rows].cpu().numpy(), members)
        if self.nearest is not None:
            _offer(self.nearest, block, block.latent)
        if self.support is not None:
            _offer(self.support, block, block.inputs)
        self.num_passed += len(block.made)
        # 3. Cells that have grown enough begin a new period; the quota falls as counts grow.
        counts = table.counts.cpu().numpy()
        for pools in self.ordered.values():
            pools.seen[:] = counts - self.unoffered
        self._renew_grown(table, counts, range(len(table)))
        self._lower_quota(counts)

    def expect(self, table: CellTable, offered: IntArray) -> None:
        """Prepare empty pools for samples of cells that table has counted already.

        offered, of shape (M,), is the number of samples that each cell's pools will see.
        """
        self.extend(table)
        self.unoffered = table.counts.cpu().numpy() - offered
        self._renew(table, range(len(table)))

    def merge(self, table: CellTable, other: "Pools", slots: Array) -> None:
        """Merge with other's pools; slots gives the slot here of each of its cells.

        table already holds the counts of both. Of a cell's two periods the one that began
        with more samples continues; of two with as many, the one that is later in an order of
        all their fields, so that it is the same one whichever side is merged.
        """
        self.extend(table)
        self.quotas.take(other.quotas)
        self.size()
        for theirs, mine in enumerate(slots.tolist()):
            is_theirs = self._is_before(mine, other, theirs)
            for name, pools in self.ordered.items():
                pools.absorb(mine, other.ordered[name], theirs, is_theirs=is_theirs)
            if self.hashed is not None and other.hashed is not None:
                self.hashed.absorb(mine, other.hashed, theirs)
            self.unoffered[mine] += other.unoffered[theirs]
            self.period_counts[mine] = max(self.period_counts[mine], other.period_counts[theirs])
        united = slots.tolist()
        for name, centres in self._centres(table, united).items():
            self.ordered[name].reorder(united, centres.cpu().numpy())
        counts = table.counts.cpu().numpy()
        self._renew_grown(table, counts, united)
        self.quotas.lower(counts - self.unoffered, self._classes)
        self._cut()

    def forget(self, slot: int, members: Sequence[Member], count: int) -> None:
        """Remove samples from a cell of which count have been offered. O(pool)."""
        for pools in self.ordered.values():
            pools.forget(slot, members)
        if self.hashed is not None:
            has_dropped = count > len(self.hashed.pools[slot])
            self.hashed.forget(slot, members, has_dropped=has_dropped)

    def swap(self, slot: int, new: Member) -> None:
        """Replace all copies of a sample in a cell by a member. O(pool)."""
        for side in self.all():
            side.pools[slot].swap(new)

    def renew_quota(self, counts: Array) -> None:
        """Recompute R and R_s, which can have risen where samples were forgotten.

        Pools that are to grow have dropped samples: the bounds on those are closed first.
        """
        for pools in self.ordered.values():
            for slot in range(len(pools.pools)):
                pools.close(slot)
        if self.hashed is not None:
            for slot in np.flatnonzero(counts > [len(pool) for pool in self.hashed.pools]).tolist():
                self.hashed.close(slot)
        self.quotas.by_class.clear()
        self.size()
        self._lower_quota(counts)

    @property
    def size_bytes(self) -> int:
        """Bytes of references and bounds; payloads are counted with the members."""
        own = self.period_counts.nbytes + self.unoffered.nbytes + self._classes.nbytes
        return own + sum(side.size_bytes for side in self.all())

    def copy_into(self, target: "Pools") -> None:
        """Make empty target pools equal to these, sharing the members, which never change."""
        target.quotas.by_class = dict(self.quotas.by_class)
        target._classes = self._classes.copy()
        target.period_counts = self.period_counts.copy()
        target.unoffered = self.unoffered.copy()
        for name, pools in self.ordered.items():
            pools.copy_into(target.ordered[name])
        if self.hashed is not None and target.hashed is not None:
            self.hashed.copy_into(target.hashed)

    def _renew_grown(self, table: CellTable, counts: Array, slots: Sequence[int]) -> None:
        """Begin a new period in those cells that have grown enough."""
        has_grown = counts >= np.ceil(_PERIOD_GROWTH * self.period_counts)
        self._renew(table, [slot for slot in slots if has_grown[slot]])

    def _centres(self, table: CellTable, slots: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the centres of cells in the space of each distance pool, float64."""
        index = torch.tensor(slots, dtype=torch.int64, device=table.counts.device)
        # Forgetting can leave a cell empty: its centre is then any point.
        counts = table.counts[index].clamp(min=1)[:, None]
        sums = {"nearest": table.latent_sums, "support": table.input_sums}
        return {name: sums[name][index] / counts for name in self.ordered}

    def _renew(self, table: CellTable, slots: Sequence[int]) -> None:
        """Begin a new period in cells: the references become the current centres."""
        if not slots:
            return
        self.extend(table)
        index = torch.tensor(slots, device=table.counts.device)
        self.period_counts[slots] = table.counts[index].cpu().numpy()
        for name, centres in self._centres(table, slots).items():
            self.ordered[name].renew(slots, centres)

    def _lower_quota(self, counts: Array) -> None:
        """Recompute R and R_s for the current counts; where they have fallen, cut the pools."""
        if self.quotas.lower(counts - self.unoffered, self._classes):
            self._cut()

    def _cut(self) -> None:
        """Cut all pools to the current quotas."""
        self.size()
        for side in self.all():
            side.cut()

    def _is_before(self, mine: int, other: "Pools", theirs: int) -> bool:
        """Return whether a cell's period comes before that of another's cell."""
        if self.period_counts[mine] != other.period_counts[theirs]:
            return bool(self.period_counts[mine] < other.period_counts[theirs])
        here, there = (
            [pools.period_order(slot) for pools in side.ordered.values()]
            for side, slot in ((self, mine), (other, theirs))
        )
        return here < there

    def extend(self, table: CellTable) -> None:
        """Make room for all cells of a table."""
        missing = len(table) - len(self.period_counts)
        if not missing:
            return
        zeros = np.zeros(missing, dtype=np.int64)
        self.period_counts = np.append(self.period_counts, zeros)
        self.unoffered = np.append(self.unoffered, zeros)
        self._classes = table.classes.cpu().numpy()
        for side in self.all():
            side.extend(len(table))
        self.size()


def _slack_for(dim: int) -> int:
    """Return the members that a core pool holds beyond twice its quota.

    16, and 32 above four dimensions, where the distances of a cell's samples to its
    centre are so alike that its movement puts more of them in doubt: fidelity in benchmarks
    prints the certified share, in 64 dimensions.
    """
    return SLACK if dim <= _LOW_DIMENSIONS else 2 * SLACK


def _offer(pools: DistancePools, block: Block, points: torch.Tensor) -> None:
    """Offer the samples of a block that pass the device's test; points has shape (n, k)."""
    rows = torch.nonzero(pools.passes(block.slots, points)).squeeze(1)
    if len(rows):
        members = block.members(rows.cpu().numpy())
        pools.offer(block.slots[rows].cpu().numpy(), members, points[rows].cpu().numpy())


def latents(members: Sequence[Member], dim: int) -> FloatArray:
    """Return the z of members, of shape (n, dim), float64."""
    return stacked([member.latent for member in members], (dim,), np.float64)


def vectors_of(members: Sequence[Member], generation: Generation) -> Array:
    """Return the vectors of members, of shape (n, D), float32: what was kept, or made again."""
    if not members:
        return np.zeros((0, generation.num_features), dtype=np.float32)
    if generation.features is not None:
        return np.stack([member.vector for member in members if member.vector is not None])
    return generation.vectors(np.stack([member.x for member in members])).numpy()


def _nearest(generation: Generation, device: torch.device) -> DistancePools:
    """Return empty pools of the members nearest each cell's latent centre."""
    dim = generation.encoder.dim
    return DistancePools(
        lambda members: latents(members, dim), dim, torch.float64, device, farthest=False
    )


def _farthest(generation: Generation, device: torch.device) -> DistancePools:
    """Return empty pools of the members farthest from each cell's mean in input space."""
    return DistancePools(
        lambda members: vectors_of(members, generation),
        generation.num_features,
        torch.float32,
        device,
        farthest=True,
    )
