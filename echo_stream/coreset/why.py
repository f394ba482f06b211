"""Explain why a sample is in the coreset or not: its rank in its cell, and what ranks before it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from echo_stream._common.typing import FloatArray
from echo_stream.coreset.building import Selection, doubt_of, dropped_bound, select
from echo_stream.coreset.selection import MOVED, RowSelector, SelectedRow
from echo_stream.samples.members import Member, copies, cross_off
from echo_stream.samples.samples import Samples
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.ranks import distance_of, rank_members
from echo_stream.sketch.sketch import Sketch

_NAMED_BEATERS = 10  # of the samples that rank before another, how many are named

_Order = list[tuple[Member, float]]
"""Members of a cell from the first rank on, with their distances."""


def why_sample(sketch: Sketch, sample_id: str, sample: Samples | None) -> dict[str, Any]:
    """Return what is known of a sample; see `EchoCoreset.why`.

    sample, of one row and the generation's schema, is placed where none of the id is held.
    """
    sketch = sketch.flushed()
    selection = select(sketch)
    cells: _Cells | _Covered
    if isinstance(sketch, AdaptiveSketch):
        cells = _Covered(sketch, selection)
    else:
        assert isinstance(sketch, FixedSketch)
        cells = _Cells(sketch, selection)
    held = {member.tie: member for member in sketch.members() if member.id == sample_id}
    if held:
        places = [cells.place(member) for member in held.values()]
        words = "; ".join(cells.words(place) for place in places)
        return {"id": sample_id, "held": True, "why": words, "samples": places}
    reason = "it was either discarded in favour of others or never counted"
    if sample_id in sketch.forgotten:
        reason = "it was forgotten on request"
    words = f"not held: {reason}"
    if sample is None:
        return {"id": sample_id, "held": False, "why": words, "samples": []}
    embedded = sketch.embedder.embed(sample)
    (member,) = sketch.embedder.members_of(embedded, np.zeros(1, dtype=np.int64))
    place = cells.place(member)
    words = f"{words}; {cells.words(place, would_be=True)}"
    return {"id": sample_id, "held": False, "why": words, "samples": [place]}


@dataclass(frozen=True, slots=True)
class _Cells:
    """The fixed cells of a settled sketch, and what it selects from them."""

    sketch: FixedSketch
    selection: Selection

    def place(self, member: Member) -> dict[str, Any]:
        """Return the rank of a member in its cell, whether it is held or not."""
        sketch, statistics = self.sketch, self.selection.statistics
        key = int(sketch.embedder.placed([member]).keys[0])
        position = statistics.position(key)
        place: dict[str, Any] = {
            "cell": list(sketch.cell(key)),
            "cell_count": 0 if position is None else int(statistics.counts[position]),
            "label": member.label,
            "origin": None if member.origin is None else member.origin._asdict(),
            "in_reservoir": _is_in(member, sketch.reservoir.members),
            "core": None,
            "support": None,
        }
        if position is not None:
            place["core"] = self._core(position, member)
            place["support"] = self._support(position, member)
        return place

    def words(self, place: dict[str, Any], *, would_be: bool = False) -> str:
        """Return a place in words."""
        return _words(place, would_be=would_be)

    def _core(self, position: int, member: Member) -> dict[str, Any]:
        """Return the rank of a member among candidates for the core."""
        pools, statistics = self.sketch.pools, self.selection.statistics
        slot, choice = int(statistics.slots[position]), self.selection.choice
        number = max(len(side.pools[slot]) for side in (pools.nearest, pools.hashed) if side)
        rows = RowSelector(pools, statistics).core(position, number)
        chosen = [row for row in choice.core if row.cell == position]
        entry = self._entry(self._core_order(position, member), member, rows, chosen)
        is_near = pools.nearest is not None and (pools.hashed is None or entry["rank"] == 1)
        bound = self._bound(pools.nearest, position, statistics.latent_sums)
        return entry | {"by": "distance" if is_near else "hash", "bound": bound}

    def _support(self, position: int, member: Member) -> dict[str, Any] | None:
        """Return the rank of a member among candidates for support; None if it is none."""
        pools, statistics = self.sketch.pools, self.selection.statistics
        if pools.support is None:
            return None
        core = [row for row in self.selection.choice.core if row.cell == position]
        sums = statistics.input_sums
        held = pools.support.pools[int(statistics.slots[position])]
        order = self._by_distance(pools.support, position, _joined(held, member), sums)
        if self.sketch.config.support_size:
            rows = RowSelector(pools, statistics).farthest(position, len(held))
        else:
            # What is core takes no slot of support.
            taken = copies(row.member for row in core)
            if member.tie in taken:
                return None
            order = [entry for entry in order if not cross_off(entry[0], taken)]
            allocated = int(self.selection.choice.allocated[position])
            rows = RowSelector(pools, statistics).support(position, len(order), core, allocated)
        chosen = [row for row in self.selection.choice.support if row.cell == position]
        entry = self._entry(order, member, rows, chosen)
        bound = self._bound(pools.support, position, sums)
        return entry | {"by": "distance", "bound": bound}

    def _bound(self, pools: DistancePools | None, position: int, sums: FloatArray) -> float | None:
        """Return the bound on the distance of all that a pool has dropped, if there is one."""
        bound = dropped_bound(self.sketch, pools, self.selection.statistics, position, sums)
        return None if bound is None else max(bound, 0.0)

    def _entry(
        self,
        order: _Order,
        member: Member,
        rows: Sequence[SelectedRow],
        chosen: Sequence[SelectedRow],
    ) -> dict[str, Any]:
        """Return what is known of a member's rank.

        order has the member among those held; rows are the held ones, chosen those of
        them that fill the cell's slots.
        """
        place = next(place for place, (other, _) in enumerate(order) if other.tie == member.tie)
        held = {row.member.tie: row.is_certified for row in rows}
        taken = {row.member.tie: row.is_certified for row in chosen}
        is_certified = taken.get(member.tie, held.get(member.tie))
        doubt = doubt_of(self.sketch, self.selection.statistics) or MOVED
        return {
            "rank": place + 1,
            "distance": order[place][1],
            "slots": len(chosen),
            "chosen": member.tie in taken,
            "in_pool": member.tie in held,
            "certified": is_certified,
            "doubt": doubt if is_certified is False else None,
            "beaten_by": [
                {"id": other.id, "distance": distance, "chosen": other.tie in taken}
                for other, distance in order[: min(place, _NAMED_BEATERS)]
            ],
        }

    def _core_order(self, position: int, member: Member) -> _Order:
        """Return what the core pools of a cell hold and a member, in order of rank."""
        pools, statistics = self.sketch.pools, self.selection.statistics
        sums, slot = statistics.latent_sums, int(statistics.slots[position])
        hashed = None if pools.hashed is None else list(pools.hashed.pools[slot])
        nearest: _Order = []
        if pools.nearest is not None:
            near = list(pools.nearest.pools[slot])
            # One held for its hash alone has been dropped here: others were taken for nearer.
            is_hashed = hashed is not None and _is_in(member, hashed)
            candidates = near if is_hashed else _joined(near, member)
            nearest = self._by_distance(pools.nearest, position, candidates, sums)
        if hashed is None:
            return nearest
        first = nearest[:1]
        centre = sums[position] / int(statistics.counts[position])
        taken = [other for other, _ in first]
        rest = [other for other in _joined(hashed, member) if not _is_in(other, taken)]
        rest.sort(key=lambda other: other.tie)
        return first + [(other, math.dist(other.latent, centre)) for other in rest]

    def _by_distance(
        self, pools: DistancePools, position: int, members: Sequence[Member], sums: FloatArray
    ) -> _Order:
        """Return members of a cell in order of distance, as a pool ranks them."""
        count = int(self.selection.statistics.counts[position])
        points = pools.points_of(members)
        ranked = rank_members(members, points, count, sums[position], farthest=pools.farthest)
        return [(other, distance_of(key, count)) for key, other in ranked]


@dataclass(frozen=True, slots=True)
class _Covered:
    """The adaptive cells of a settled sketch, and the rows that cover them."""

    sketch: AdaptiveSketch
    selection: Selection

    def place(self, member: Member) -> dict[str, Any]:
        """Return what a member represents, or which row lies nearest, whether it is held or not."""
        sketch, statistics, covering = self.sketch, self.selection.statistics, self.selection.cover
        assert covering is not None
        is_held = _is_in(member, sketch.members())
        key = sketch.keys_of([member])[0] if is_held else self._nearest_cell(member)
        position = int(np.searchsorted(statistics.keys, key))
        chosen = [at for at, row in enumerate(covering.rows) if row.member.tie == member.tie]
        away = [math.dist(member.latent, row.member.latent) for row in covering.rows]
        nearest = chosen[0] if chosen else int(np.argmin(away))
        other = {"id": covering.rows[nearest].member.id, "distance": away[nearest], "chosen": True}
        return {
            "cell": [key],
            "cell_count": int(statistics.counts[position]),
            "label": member.label,
            "origin": None if member.origin is None else member.origin._asdict(),
            "in_reservoir": _is_in(member, sketch.reservoir.members),
            "core": {
                "rank": nearest + 1 if chosen else None,
                "distance": math.dist(member.latent, statistics.centroids[position]),
                "by": "gain",
                "slots": len(covering.rows),
                "chosen": bool(chosen),
                "in_pool": is_held,
                "certified": None,
                "doubt": None,
                "bound": None,
                "beaten_by": [] if chosen else [other],
            },
            "support": None,
            "covers": {
                "cells": int(np.count_nonzero(covering.nearest == nearest)),
                "samples": float(covering.weights[nearest]),
            },
        }

    def words(self, place: dict[str, Any], *, would_be: bool = False) -> str:
        """Return a place in words."""
        core, covers = place["core"], place["covers"]
        cells = "1 cell" if covers["cells"] == 1 else f"{covers['cells']} cells"
        represents = f"represents {covers['samples']:.0f} samples of {cells}"
        if core["chosen"]:
            return f"chosen as row {core['rank']} of {core['slots']}: it {represents}"
        (nearest,) = core["beaten_by"]
        about = f"{nearest['id']}, at a distance of {nearest['distance']:.4g}, which {represents}"
        return f"{'it would lie' if would_be else 'held, not chosen: it lies'} nearest to {about}"

    def _nearest_cell(self, member: Member) -> int:
        """Return the key of the cell whose mean is nearest."""
        cells = self.sketch.cells
        return int(cells.keys[int(cells.locate(torch.from_numpy(member.latent[None])).keys[0])])


def _is_in(member: Member, members: Iterable[Member]) -> bool:
    """Return whether a sample is among members."""
    return any(other.tie == member.tie for other in members)


def _joined(pool: Iterable[Member], member: Member) -> list[Member]:
    """Return the members of a pool, and one more unless it is among them."""
    members = list(pool)
    return members if _is_in(member, members) else [*members, member]


def _words(place: dict[str, Any], *, would_be: bool = False) -> str:
    """Return a place in words."""
    core, support, cell = place["core"], place["support"], place["cell"]
    if core is None:
        return f"cell {cell} is empty, where it would be the first"
    for role, entry in (("core", core), ("support", support)):
        if entry is not None and entry["chosen"]:
            return f"chosen as {role}: {_rank(entry, cell)}"
    if would_be:
        # Were it counted, it would rank among the slots of its cell.
        is_first = core["rank"] <= core["slots"]
        verdict = "it would be chosen as core" if is_first else "it would not be core"
        return f"{verdict}: {_rank(core, cell)}{_beaten(core)}"
    if not core["in_pool"] and not (support or {}).get("in_pool"):
        return f"held by the uniform reservoir alone: {_rank(core, cell)}{_beaten(core)}"
    return f"held but not chosen: {_rank(core, cell)}{_beaten(core)}"


def _rank(entry: dict[str, Any], cell: list[int]) -> str:
    """Return rank and slots in words."""
    # What was dropped can lie before one whose rank is not certified.
    at_least = "" if entry["certified"] else " or later"
    slots = entry["slots"]
    return f"rank {entry['rank']}{at_least} by {entry['by']} in cell {cell}, which has " + (
        f"{slots} slot{'' if slots == 1 else 's'}"
    )


def _beaten(entry: dict[str, Any]) -> str:
    """Return in words what ranks before."""
    names = [other["id"] for other in entry["beaten_by"] if other["chosen"]]
    return f", taken by {', '.join(names)}" if names else ""
