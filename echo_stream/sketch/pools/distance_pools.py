"""One pool per cell, ordered by distance to the cell's centre, with proof of what it drops.

Within a *period* of a cell the reference that distances are taken to is fixed; when
the cell has grown enough, the reference moves to the current centre and the pool
is ordered again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from echo_stream._common.scratch import Scratch, chunks
from echo_stream._common.typing import Array, FloatArray
from echo_stream.samples.members import Member, Tie, detached, tie_from_json, tie_to_json
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.certificates import (
    Drop,
    RankKey,
    collapsed,
    order_key,
    rank_key_from_json,
    rank_key_to_json,
)
from echo_stream.sketch.pools.ranks import distance_of

_SPARE_DUPLICATES = 4  # beyond those needed: others take the places of forgotten ones
TINY = 1e-37  # squares below float32's normal range lose precision
_RUN_MEMBERS = 256  # points held at a time when pools are ordered again
PointsOf = Callable[[Sequence[Member]], Array]
Place: TypeAlias = tuple[float, Tie]
"""Key and tie of a sample: its place in the order of a pool."""


class DistancePools:
    """The members nearest to, or farthest from, the reference of each cell.

    Parameters
    ----------
    points_of : callable
        Returns the points of n members, of shape (n, k): their z, or their x.
    dim : int
        Axes k of the space.
    dtype : torch.dtype
        Of the references, and of the test on the device.
    device : torch.device
    farthest : bool
        Whether the farthest are kept.

    Attributes
    ----------
    capacities : ndarray of shape (M,), float64
        Members that each pool may hold.
    needed : ndarray of shape (M,), float64
        Ranks of each cell that are needed, given its counts. Of duplicates, samples
        with the same payload, so many are kept, the first by tie, and a few to spare for those
        that are forgotten.
    assured : ndarray of shape (M,), float64
        Ranks of each cell that no omitted duplicate can have; inf where none was omitted.
    points_of, farthest
        As given.
    pools : list of BoundedPool
        One per cell, by slot. Keys are squared distances to the reference, negative
        where the farthest are kept.
    references : tensor of shape (M, k), dtype
    seen : ndarray of shape (M,), int64
        Samples of each cell that have been offered.

    Notes
    -----
    Why a held sample m is the batch choice for its rank r among those held, if it precedes
    the bounds on what was dropped and r is assured. A duplicate is left out only while more than
    ``needed`` of its like precede it by tie, wherever the centre is: as many as that are
    assured then, and one fewer for each sample of the cell that is forgotten later. Assume that
    a sample which is not held precedes m, and take the first of them. It is none that the
    bounds are about, so it is a duplicate that was left out; those that precede it also precede m
    and are all held, so r exceeds their number, which is no less than what is assured. Ranks
    beyond ``needed`` are asked for where other cells have lost samples: they are not assured.
    A rank that no held sample has, since the pool has run out, is no row at all. What other
    cells are asked for does not depend on it: slots are allocated by counts and degrees alone.

    Within a period that has dropped something, nothing enters that lies beyond the bound on
    that. A full pool sees to it by itself: what it drops stands behind its last member. One
    that has lost members otherwise has an end (`check`).

    The device compares rounded distances with limits that are wide enough to cover
    the rounding: what it refuses is beyond the pool's last member for certain. What
    passes is compared on the host, exactly and in float64.
    """

    def __init__(
        self,
        points_of: PointsOf,
        dim: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        farthest: bool,
    ) -> None:
        self.capacities, self.needed, self.assured = np.zeros(0), np.zeros(0), np.zeros(0)
        self.pools: list[BoundedPool] = []
        self.references = torch.zeros((0, dim), dtype=dtype, device=device)
        self.seen = np.zeros(0, dtype=np.int64)
        self.points_of = points_of
        self.farthest = farthest
        self._limits = torch.zeros(0, dtype=dtype, device=device)
        self._closed: list[list[Drop]] = []
        self._dropped_before = np.zeros(0, dtype=np.int64)
        self._num_omitted = np.zeros(0, dtype=np.int64)
        # By slot, where a pool that is not full has dropped something in the open period: the
        # last place that it may hold.
        self._ends: dict[int, Place] = {}
        self._scratch = Scratch(dtype, device)
        # k squares sum with a relative error below (k + 2) eps / 2, and the root taken and
        # undone adds three; twice that is safe.
        self._margin = (dim + 8) * torch.finfo(dtype).eps

    @property
    def size_bytes(self) -> int:
        """Bytes of references, limits and bounds; payloads are counted with the members."""
        bounds = sum(drop.reference.nbytes + 8 for drops in self._closed for drop in drops)
        arrays = self.seen.nbytes + self._dropped_before.nbytes + self._num_omitted.nbytes
        arrays += self.capacities.nbytes + self.needed.nbytes + self.assured.nbytes
        return self.references.nbytes + self._limits.nbytes + arrays + bounds

    def extend(self, num_cells: int) -> None:
        """Make room for cells up to num_cells, with empty pools."""
        missing = num_cells - len(self.pools)
        if missing <= 0:
            return
        self.pools += [BoundedPool() for _ in range(missing)]
        self._closed += [[] for _ in range(missing)]
        unbounded = np.full(missing, np.inf)
        self.capacities = np.append(self.capacities, unbounded)
        self.needed = np.append(self.needed, unbounded)
        self.assured = np.append(self.assured, unbounded)
        zeros = np.zeros(missing, dtype=np.int64)
        self.seen = np.append(self.seen, zeros)
        self._dropped_before = np.append(self._dropped_before, zeros)
        self._num_omitted = np.append(self._num_omitted, zeros)
        more = self.references.new_zeros((missing, self.references.shape[1]))
        self.references = torch.cat([self.references, more])
        self._limits = torch.cat([self._limits, self._limits.new_zeros(missing)])

    def passes(self, slots: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Tell which points may enter the pools of their cells. O(n k) on the device."""
        lengths = torch.empty(len(points), dtype=points.dtype, device=points.device)
        for rows in chunks(len(points), points.device):
            difference = self._scratch.take(*points[rows].shape)
            torch.index_select(self.references, 0, slots[rows], out=difference)
            torch.sub(points[rows], difference, out=difference)
            torch.linalg.vector_norm(difference, dim=1, out=lengths[rows])
        distances, limits = lengths.square_(), self._limits[slots]
        return distances >= limits if self.farthest else distances <= limits

    def offer(self, slots: Array, members: Sequence[Member], points: Array) -> None:
        """Offer members at points, of shape (n, k), to the pools of their cells."""
        references = self.references[torch.from_numpy(slots).to(self.references.device)]
        keys = self._keys(points, references.cpu().numpy()).tolist()
        for slot, member, key in zip(slots.tolist(), members, keys, strict=True):
            if self._may_hold(slot, key, member) and not self._is_spare_duplicate(
                slot, key, member
            ):
                self.pools[slot].offer(key, member, self.capacities[slot])
        self.refresh_limits(np.unique(slots).tolist())

    def renew(self, slots: Sequence[int], centres: torch.Tensor) -> None:
        """Begin a new period in cells, with centres of shape (n, k) as their references."""
        references = centres.to(self.references.dtype)
        for slot, centre in zip(slots, references.double().cpu().numpy(), strict=True):
            self.close(slot, centre)
        self.references[torch.tensor(slots)] = references
        self._fill(slots, [list(self.pools[slot]) for slot in slots])

    def cut(self) -> None:
        """Cut every pool to its capacity and the duplicates needed, which may have been lowered."""
        for slot, pool in enumerate(self.pools):
            self._thin(slot)
            pool.cut(self.capacities[slot])
        self.refresh_limits(range(len(self.pools)))

    def drops(self, slot: int) -> list[Drop]:
        """Return the bounds on all that a cell's pool has dropped; the open period is last."""
        closed, end = self._closed[slot], self._end(slot)
        if end is None:
            return list(closed)
        key, tie = end
        distance = float(np.sqrt(abs(key)))
        return [
            *closed,
            Drop(self._reference(slot), distance, detached(tie) if distance == 0 else None),
        ]

    def absorb(self, slot: int, other: "DistancePools", theirs: int, *, is_theirs: bool) -> None:
        """Merge a cell's pool with that of another; call `reorder` afterwards.

        The bounds of both stay valid. One open period continues, theirs if is_theirs, with its
        end; both, if their references are the same.
        """
        ends = [self._end(slot), other._end(theirs)]
        if torch.equal(self.references[slot], other.references[theirs].to(self.references)):
            mine, others = self._closed[slot], other._closed[theirs]
            before = self._dropped_before[slot] + other._dropped_before[theirs]
        elif is_theirs:
            mine, others, ends = self.drops(slot), other._closed[theirs], ends[1:]
            before = self._dropped(slot) + other._dropped_before[theirs]
            self.references[slot] = other.references[theirs].to(self.references)
        else:
            mine, others, ends = self._closed[slot], other.drops(theirs), ends[:1]
            before = self._dropped_before[slot] + other._dropped(theirs)
        members = [*self.pools[slot], *other.pools[theirs]]
        self.pools[slot] = BoundedPool((0.0, member) for member in members)
        self.seen[slot] += other.seen[theirs]
        self._num_omitted[slot] += other._num_omitted[theirs]
        self.assured[slot] = min(self.assured[slot], other.assured[theirs])
        self._closed[slot] = [*others, *mine] if is_theirs else [*mine, *others]
        self._dropped_before[slot] = before
        self._set_end(slot, min((end for end in ends if end is not None), default=None))

    def period_order(self, slot: int) -> tuple[Any, ...]:
        """Return a sort key of a cell's period: the reference, and the bounds so far."""
        return self._reference(slot).tolist(), [order_key(drop) for drop in self.drops(slot)]

    def reorder(self, slots: Sequence[int], centres: FloatArray) -> None:
        """Order merged pools; where there are too many bounds, some are merged at the centres."""
        self._fill(slots, [list(self.pools[slot]) for slot in slots])
        for slot, centre in zip(slots, centres, strict=True):
            self._closed[slot] = collapsed(self._closed[slot], centre, farthest=self.farthest)

    def forget(self, slot: int, members: Sequence[Member]) -> None:
        """Remove samples of a cell, held or dropped. O(pool).

        Later samples can be farther than those dropped so far: the bound on these is closed
        first.
        """
        self.close(slot)
        num_held = len(self.pools[slot])
        self.pools[slot].remove(members)
        if num_held - len(self.pools[slot]) < len(members):
            self._bound_duplicates(slot)
        self.assured[slot] -= len(members)
        self.seen[slot] -= len(members)
        self._dropped_before[slot] = self._dropped(slot)
        # The cell is not as it was, and if all that is left is held, nothing bounds it.
        still = self._closed[slot] if self._dropped(slot) else []
        self._closed[slot] = [replace(drop, last=None) for drop in still]
        self.refresh_limits([slot])

    def close(self, slot: int, centre: FloatArray | None = None) -> None:
        """Close the bound of the open period.

        Where there are too many closed bounds, some are merged at centre, by default the
        reference.
        """
        at = self._reference(slot) if centre is None else centre.copy()
        self._closed[slot] = collapsed(self.drops(slot), at, farthest=self.farthest)
        self._dropped_before[slot] = self._dropped(slot)
        self._set_end(slot, None)

    def refill(
        self, slot: int, members: Sequence[Member], centre: FloatArray, last: RankKey
    ) -> None:
        """Replace the members of a cell by the first ones by rank, from reading the source again.

        Parameters
        ----------
        slot : int
        members : sequence of Member
        centre : ndarray of shape (k,), float64
            Of the cell; the reference of a new period.
        last : RankKey
            Of the last of the members: all other samples rank after it.
        """
        self.references[slot] = torch.from_numpy(centre).to(self.references)
        self.seen[slot], self._num_omitted[slot], self.assured[slot] = last.num_samples, 0, np.inf
        self._dropped_before[slot] = last.num_samples - len(members)
        self._set_end(slot, None)
        self._fill([slot], [list(members)])
        distance = distance_of(last.key, last.num_samples)
        drop = Drop(centre.copy(), distance, last=last)
        self._closed[slot] = [drop] if self._dropped(slot) else []

    def copy_into(self, target: "DistancePools") -> None:
        """Make an empty target equal to this, sharing the members, which never change."""
        target.capacities, target.needed = self.capacities.copy(), self.needed.copy()
        target.pools = [pool.copy() for pool in self.pools]
        target.references, target._limits = self.references.clone(), self._limits.clone()
        target.seen = self.seen.copy()
        target._dropped_before = self._dropped_before.copy()
        target._num_omitted, target.assured = self._num_omitted.copy(), self.assured.copy()
        target._ends = dict(self._ends)
        target._closed = [list(drops) for drops in self._closed]

    def refresh_limits(self, slots: Iterable[int]) -> None:
        """Recompute the limits of pools that have changed."""
        chosen = list(slots)
        keys = np.array([self._limit(slot) for slot in chosen])
        limits = -keys * (1 - self._margin) - TINY if self.farthest else keys * (1 + self._margin)
        index = torch.tensor(chosen, dtype=torch.int64, device=self._limits.device)
        self._limits[index] = torch.from_numpy(limits).to(self._limits)

    def _dropped(self, slot: int) -> int:
        """Return how many samples of a cell were dropped, omitted duplicates not counted."""
        return int(self.seen[slot]) - len(self.pools[slot]) - int(self._num_omitted[slot])

    def check(self) -> None:
        """Raise AssertionError where a pool could accept samples beyond those it has dropped.

        Every pool is within its capacity and up to its end, and one that has dropped something
        in the open period is full or has an end. O(M).
        """
        for slot, pool in enumerate(self.pools):
            num_open = self._dropped(slot) - self._dropped_before[slot]
            assert num_open >= 0, f"the pool of slot {slot} has dropped {num_open} samples"
            assert len(pool) <= self.capacities[slot], f"the pool of slot {slot} is too full"
            end, is_full = self._ends.get(slot), len(pool) == self.capacities[slot]
            assert is_full or not num_open or end, f"the pool of slot {slot} has no end"
            assert self._num_omitted[slot] == 0 or self.assured[slot] < np.inf
            if end is not None and len(pool):
                key, last = pool.last()
                assert (key, last.tie) <= end, f"the pool of slot {slot} goes beyond its end"

    def _end(self, slot: int) -> Place | None:
        """Return the first place at which the open period may have dropped something, if it has."""
        if self._dropped(slot) == self._dropped_before[slot]:
            return None
        pool = self.pools[slot]
        if slot in self._ends and len(pool) < self.capacities[slot]:
            return self._ends[slot]
        # A full pool drops from its far end.
        key, last = pool.last()
        return key, last.tie

    def _set_end(self, slot: int, end: Place | None) -> None:
        """Set the end of a pool, beyond which it accepts nothing; None removes it."""
        self._ends.pop(slot, None)
        if end is not None:
            self._ends[slot] = end[0], detached(end[1])

    def _may_hold(self, slot: int, key: float, member: Member) -> bool:
        """Return whether a member is not later than what the open period has dropped."""
        return slot not in self._ends or (key, member.tie) <= self._ends[slot]

    def _limit(self, slot: int) -> float:
        """Return the last key that may enter a pool."""
        limit = self.pools[slot].limit(self.capacities[slot])
        return min(limit, self._ends[slot][0]) if slot in self._ends else limit

    def _reference(self, slot: int) -> FloatArray:
        """Return a copy of a cell's reference, of shape (k,), float64."""
        return self.references[slot].double().cpu().numpy().copy()

    def _bound_duplicates(self, slot: int) -> None:
        """Treat omitted duplicates as dropped, since one of them may have been forgotten.

        Their places are unknown, so the cell loses its certificates. The period must be closed.
        """
        if self._num_omitted[slot]:
            anywhere = Drop(self._reference(slot), np.inf if self.farthest else 0.0)
            bounds = [*self._closed[slot], anywhere]
            self._closed[slot] = collapsed(bounds, anywhere.reference, farthest=self.farthest)
            self._num_omitted[slot], self.assured[slot] = 0, np.inf

    def _thin(self, slot: int) -> None:
        """Remove spare duplicates from a pool that was filled when more were needed. O(pool)."""
        spare: list[Member] = []
        most = self.needed[slot] + _SPARE_DUPLICATES
        for tied in self.pools[slot].ties():
            if len(tied) > most:
                held: Counter[bytes] = Counter()
                for member in tied:
                    held[_content(member)] += 1
                    spare += [member] if held[_content(member)] > most else []
        if spare:
            # It may be full no more, but still lets nothing in that it would have dropped.
            self._set_end(slot, self._end(slot))
            self.pools[slot].remove(spare)
            self._omit(slot, len(spare))

    def _is_spare_duplicate(self, slot: int, key: float, member: Member) -> bool:
        """Return whether enough duplicates precede a sample, so that it is omitted.

        If enough are held, but it precedes some of them, the last of those is omitted.
        """
        pool, most = self.pools[slot], self.needed[slot] + _SPARE_DUPLICATES
        if pool.num_tied(key) < most:
            return False
        content = _content(member)
        duplicates = [held for held in pool.tied(key) if _content(held) == content]
        if len(duplicates) < most:
            return False
        self._omit(slot, 1)
        if member.tie > duplicates[-1].tie:
            return True
        self.pools[slot].remove(duplicates[-1:])
        return False

    def _omit(self, slot: int, number: int) -> None:
        """Count omitted duplicates, each of which enough others precede."""
        self._num_omitted[slot] += number
        self.assured[slot] = min(self.assured[slot], self.needed[slot] + _SPARE_DUPLICATES)

    def _fill(self, slots: Sequence[int], members: Sequence[list[Member]]) -> None:
        """Order members of cells by their distance to the cells' references, and cut."""
        for chosen, held in _runs(slots, members):
            sizes = [len(side) for side in held]
            points = self.points_of([member for side in held for member in side])
            index = torch.from_numpy(np.repeat(chosen, sizes)).to(self.references.device)
            keys = self._keys(points, self.references[index].cpu().numpy())
            for slot, side, part in zip(
                chosen, held, np.split(keys, np.cumsum(sizes)[:-1]), strict=True
            ):
                self.pools[slot] = BoundedPool(
                    (key, member)
                    for key, member in zip(part.tolist(), side, strict=True)
                    if self._may_hold(slot, key, member)
                )
                self._thin(slot)
                self.pools[slot].cut(self.capacities[slot])
        self.refresh_limits(slots)

    def _keys(self, points: Array, references: FloatArray) -> FloatArray:
        """Return the keys of points: squared distances, negative where the farthest are kept."""
        distances = _squared_distances(points, references)
        return -distances if self.farthest else distances

    def to_arrays(self) -> dict[str, Array]:
        """Return all but the members as arrays."""
        drops = [(slot, drop) for slot, drops in enumerate(self._closed) for drop in drops]
        references = [drop.reference for _, drop in drops]
        dim = self.references.shape[1]
        return {
            "references": self.references.cpu().numpy().copy(),
            "seen": self.seen.copy(),
            "dropped_before": self._dropped_before.copy(),
            "num_omitted": self._num_omitted.copy(),
            "assured": self.assured.copy(),
            "drop_slots": np.array([slot for slot, _ in drops], dtype=np.int64),
            "drop_distances": np.array([drop.distance for _, drop in drops], dtype=np.float64),
            "drop_references": np.array(references, dtype=np.float64).reshape(-1, dim),
        }

    def drop_proofs(self) -> list[list[Any]]:
        """Return ties and rank keys of the closed bounds as JSON, in the order of `to_arrays`."""
        return [
            [drop.tie and tie_to_json(drop.tie), drop.last and rank_key_to_json(drop.last)]
            for drops in self._closed
            for drop in drops
        ]

    def ends(self) -> list[list[Any]]:
        """Return slot, key and tie of each end as JSON."""
        return [[slot, key, tie_to_json(tie)] for slot, (key, tie) in sorted(self._ends.items())]

    def restore(
        self,
        arrays: dict[str, Array],
        proofs: Sequence[Sequence[Any]],
        ends: Sequence[Sequence[Any]],
        members: Sequence[list[Member]],
    ) -> None:
        """Restore what `to_arrays`, `drop_proofs` and `ends` returned, and members by slot.

        The pools must be empty.
        """
        self.extend(len(arrays["seen"]))
        self.references = torch.from_numpy(np.array(arrays["references"])).to(self.references)
        self.seen = np.array(arrays["seen"])
        self._dropped_before = np.array(arrays["dropped_before"])
        self._num_omitted, self.assured = (
            np.array(arrays["num_omitted"]),
            np.array(arrays["assured"]),
        )
        self._ends = {slot: (key, tie_from_json(tie)) for slot, key, tie in ends}
        columns = (arrays["drop_slots"], arrays["drop_references"], arrays["drop_distances"])
        for slot, reference, distance, (tie, last) in zip(*columns, proofs, strict=True):
            self._closed[slot].append(
                Drop(
                    np.array(reference),
                    float(distance),
                    tie and tie_from_json(tie),
                    last and rank_key_from_json(last),
                )
            )
        self._fill(range(len(members)), members)


def _squared_distances(points: Array, references: FloatArray) -> FloatArray:
    """Return |p - r|^2, of shape (n,), float64, summed in the same order for every row."""
    difference = points.astype(np.float64) - references.astype(np.float64)
    return np.asarray((difference * difference).sum(axis=-1))


def _content(member: Member) -> bytes:
    """Return what duplicates share: payload, z and features."""
    parts = (member.x, member.latent, member.vector)
    return b"".join(part.tobytes() for part in parts if part is not None)


def _runs(
    slots: Sequence[int], members: Sequence[list[Member]]
) -> Iterator[tuple[Sequence[int], Sequence[list[Member]]]]:
    """Yield cells in runs of some `_RUN_MEMBERS`, whose points are processed together."""
    start, held = 0, 0
    for stop, side in enumerate(members, start=1):
        held += len(side)
        if held >= _RUN_MEMBERS or stop == len(slots):
            yield slots[start:stop], members[start:stop]
            start, held = stop, 0
