"""The members of pools and reservoir by their ids."""

from echo_stream.members import Member
from echo_stream.pools import Pools
from echo_stream.reservoir import Reservoir
from echo_stream.samples import is_same_label
from echo_stream.typing import Label


class Held:
    """An index of all that pools and reservoir hold, as long as these take in nothing else.

    Notes
    -----
    O(retained) to make, O(1) to ask.
    """

    def __init__(self, pools: Pools, reservoir: Reservoir) -> None:
        self._pools, self._reservoir = pools, reservoir
        self._members: dict[str, list[Member]] = {}
        self._slots: dict[int, int] = {}  # of the member's cell, by its identity
        for side in pools.all():
            for slot, pool in enumerate(side.pools):
                for member in pool:
                    if id(member) not in self._slots:
                        self._slots[id(member)] = slot
                        self._members.setdefault(member.id, []).append(member)
        self._sampled = set(map(id, reservoir.members))
        for member in reservoir.members:
            known = self._members.setdefault(member.id, [])
            if id(member) not in self._slots and not any(member is other for other in known):
                known.append(member)

    def __contains__(self, sample_id: str) -> bool:
        """Tell whether a sample of an id is held."""
        return sample_id in self._members

    def of(self, sample_id: str) -> list[Member]:
        """Return the samples of an id, each once, in an order fixed by the content."""
        return list(self._members.get(sample_id, ()))

    def remove(self, sample_id: str) -> None:
        """Forget the samples of an id, which have been taken out."""
        for member in self._members.pop(sample_id, ()):
            self._slots.pop(id(member), None)
            self._sampled.discard(id(member))

    def label(self, sample_id: str, label: Label) -> bool:
        """Give the samples of an id another label, wherever they are; tell whether any are held.

        They keep their ties and so their places.
        """
        members = self.of(sample_id)
        for member in members:
            if not is_same_label(member.label, label):
                self.swap(member, member.relabelled(label))
        return len(members) > 0

    def swap(self, old: Member, new: Member) -> None:
        """Put another object of the same tie in a member's place."""
        slot = self._slots.pop(id(old), None)
        if slot is not None:
            self._pools.swap(slot, old, new)
            self._slots[id(new)] = slot
        if id(old) in self._sampled:
            self._reservoir.swap(old, new)
            self._sampled.remove(id(old))
            self._sampled.add(id(new))
        members = self._members[old.id]
        members[[member is old for member in members].index(True)] = new
