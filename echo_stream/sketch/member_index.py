"""The members of pools and reservoir by their ids."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Protocol

from echo_stream._common.typing import Label
from echo_stream.samples.members import Member, Tie, united
from echo_stream.sketch.pools.reservoir import Reservoir


class HeldByCell(Protocol):
    """Samples held for each cell, by its slot, for one purpose."""

    @property
    def pools(self) -> Sequence[Iterable[Member]]:
        """The samples held for each slot."""


class HeldByCells(Protocol):
    """All samples that are held for cells."""

    def all(self) -> Sequence[HeldByCell]:
        """Return what is held for each purpose."""

    def swap(self, slot: int, new: Member) -> None:
        """Replace all copies of a sample in a cell by a member."""


class MemberIndex:
    """An index by id of all members of pools and reservoir, valid until these change.

    Notes
    -----
    O(held) to make, O(1) to ask.
    """

    def __init__(self, pools: HeldByCells, reservoir: Reservoir) -> None:
        self._pools, self._reservoir = pools, reservoir
        self._members: dict[str, list[Member]] = {}
        for member in all_members(pools, reservoir):
            self._members.setdefault(member.id, []).append(member)
        self._slots: dict[Tie, set[int]] = {}  # several where cells that adapt hold copies
        for side in pools.all():
            for slot, pool in enumerate(side.pools):
                for member in pool:
                    self._slots.setdefault(member.tie, set()).add(slot)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is held."""
        return sample_id in self._members

    def of(self, sample_id: str) -> list[Member]:
        """Return the samples of an id, each as often as it is held, in a fixed order."""
        return list(self._members.get(sample_id, ()))

    def remove(self, sample_id: str) -> None:
        """Remove the samples of an id, which have been removed from pools and reservoir."""
        for member in self._members.pop(sample_id, ()):
            self._slots.pop(member.tie, None)

    def label(self, sample_id: str, label: Label) -> bool:
        """Set the label of the samples of an id; tell whether any are held.

        They keep their ties and so their places.
        """
        # Copies can differ in their labels: all of them are replaced.
        samples = {member.tie: member for member in self.of(sample_id)}
        for member in samples.values():
            self.swap(member.relabelled(label))
        return len(samples) > 0

    def swap(self, new: Member) -> None:
        """Replace all copies of a sample by a member."""
        for slot in self._slots.get(new.tie, ()):
            self._pools.swap(slot, new)
        self._reservoir.swap(new)
        members = self._members[new.id]
        members[:] = [new if member.tie == new.tie else member for member in members]


def all_members(pools: HeldByCells, reservoir: Reservoir) -> list[Member]:
    """Return all members of pools and reservoir, each sample as often as it is held.

    The order depends on the content alone. O(held).
    """
    sides = (chain.from_iterable(side.pools) for side in pools.all())
    return united(*sides, reservoir.members)
