"""One pool per cell, ordered by the hash of the id: a uniform sample of the cell.

There are no references, no periods and no doubt: a sample that a full pool drops has a later
tie than all that it keeps. After a held sample is forgotten, the pool accepts nothing later
than its last member of then, so that this stays true.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from echo_stream._common.hashes import LATEST
from echo_stream._common.typing import Array
from echo_stream.samples.members import Member, Tie, detached
from echo_stream.sketch.pools.bounded_pool import BoundedPool

_HALF = 2**63


class HashPools:
    """The members whose ids have the smallest hashes, in each cell.

    Attributes
    ----------
    capacities : ndarray of shape (M,), float64
        Members that each pool may hold.
    pools : list of BoundedPool
        One per cell, by slot, in order of `Member.tie`.
    ends : dict of int to tuple
        By slot, the last tie that a pool accepts: later samples have been dropped.
    """

    def __init__(self, device: torch.device) -> None:
        self.capacities = np.zeros(0)
        self.pools: list[BoundedPool] = []
        self.ends: dict[int, Tie] = {}
        # Hashes less 2**63: torch cannot compare uint64 everywhere.
        self._limits = torch.zeros(0, dtype=torch.int64, device=device)

    @property
    def size_bytes(self) -> int:
        """Bytes of limits and capacities; payloads are counted with the members."""
        return self._limits.nbytes + self.capacities.nbytes

    def extend(self, num_cells: int) -> None:
        """Make room for cells up to num_cells, with empty pools."""
        missing = num_cells - len(self.pools)
        self.pools += [BoundedPool() for _ in range(missing)]
        self.capacities = np.append(self.capacities, np.full(missing, np.inf))
        self._limits = torch.cat([self._limits, self._limits.new_full((missing,), LATEST - _HALF)])

    def passes(self, slots: torch.Tensor, hashes: Array) -> torch.Tensor:
        """Tell which samples may enter, by their cells and the hashes of their ids. O(n)."""
        shifted = torch.from_numpy((hashes ^ np.uint64(_HALF)).view(np.int64))
        return shifted.to(self._limits.device) <= self._limits[slots]

    def offer(self, slots: Array, members: Sequence[Member]) -> None:
        """Offer members to the pools of their cells."""
        for slot, member in zip(slots.tolist(), members, strict=True):
            if self._may_hold(slot, member):
                self.pools[slot].offer(0.0, member, self.capacities[slot])
        self._refresh_limits(np.unique(slots).tolist())

    def cut(self) -> None:
        """Cut every pool to its capacity, which may have been lowered."""
        for pool, capacity in zip(self.pools, self.capacities.tolist(), strict=True):
            pool.cut(capacity)
        self._refresh_limits(range(len(self.pools)))

    def absorb(self, slot: int, other: "HashPools", theirs: int) -> None:
        """Merge a cell's pool with that of another. O(pool)."""
        ends = [side.ends[of] for side, of in ((self, slot), (other, theirs)) if of in side.ends]
        if ends:
            self.ends[slot] = min(ends)
        members = [*self.pools[slot], *other.pools[theirs]]
        held = [(0.0, member) for member in members if self._may_hold(slot, member)]
        self.pools[slot] = BoundedPool(held)
        self.pools[slot].cut(self.capacities[slot])
        self._refresh_limits([slot])

    def forget(self, slot: int, members: Sequence[Member], *, has_dropped: bool) -> None:
        """Remove samples of a cell; has_dropped says whether others were dropped. O(pool)."""
        if has_dropped:
            self.close(slot)
        else:
            self.ends.pop(slot, None)
        self.pools[slot].remove(members)
        self._refresh_limits([slot])

    def close(self, slot: int) -> None:
        """Accept nothing later than the last member from now on: such samples were dropped."""
        if len(self.pools[slot]):
            last = detached(self.pools[slot].last()[1].tie)
            self.ends[slot] = min(last, self.ends.get(slot, last))
            self._refresh_limits([slot])

    def refill(self, slot: int, members: Sequence[Member]) -> None:
        """Replace the members of a cell by the first ones, from reading the source again."""
        self.pools[slot] = BoundedPool((0.0, member) for member in members)
        self.ends.pop(slot, None)
        self._refresh_limits([slot])

    def copy_into(self, target: "HashPools") -> None:
        """Make an empty target equal to this, sharing the members, which never change."""
        target.capacities = self.capacities.copy()
        target.ends = dict(self.ends)
        target.pools = [pool.copy() for pool in self.pools]
        target._limits = self._limits.clone()

    def fill(self, members: Sequence[Sequence[Member]]) -> None:
        """Fill empty pools, one for each sequence of members."""
        self.extend(len(members))
        for slot, chosen in enumerate(members):
            self.pools[slot] = BoundedPool((0.0, member) for member in chosen)
        self._refresh_limits(range(len(members)))

    def _may_hold(self, slot: int, member: Member) -> bool:
        """Return whether a member is not later than what a pool has dropped."""
        return slot not in self.ends or member.tie <= self.ends[slot]

    def _refresh_limits(self, slots: Iterable[int]) -> None:
        """Recompute the limits of pools that have changed."""
        chosen = list(slots)
        limits = torch.tensor([self._limit(slot) - _HALF for slot in chosen], dtype=torch.int64)
        self._limits[torch.tensor(chosen, dtype=torch.int64)] = limits.to(self._limits.device)

    def _limit(self, slot: int) -> int:
        """Return the last hash that may enter a pool."""
        pool = self.pools[slot]
        end = self.ends[slot][0] if slot in self.ends else LATEST
        return min(pool.last()[1].tie[0], end) if len(pool) >= self.capacities[slot] else end
