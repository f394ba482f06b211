"""The members of pools and reservoir by their ids."""

from itertools import chain

from echo_stream._common.typing import Label
from echo_stream.samples.members import Member, Tie, united
from echo_stream.sketch.pools.pools import Pools
from echo_stream.sketch.pools.reservoir import Reservoir


class Held:
    """An index of all that pools and reservoir hold, as long as these take in nothing else.

    Notes
    -----
    O(retained) to make, O(1) to ask.
    """

    def __init__(self, pools: Pools, reservoir: Reservoir) -> None:
        self._pools, self._reservoir = pools, reservoir
        self._members: dict[str, list[Member]] = {}
        for member in all_held(pools, reservoir):
            self._members.setdefault(member.id, []).append(member)
        self._slots: dict[Tie, int] = {
            member.tie: slot
            for side in pools.all()
            for slot, pool in enumerate(side.pools)
            for member in pool
        }

    def __contains__(self, sample_id: str) -> bool:
        """Tell whether a sample of an id is held."""
        return sample_id in self._members

    def of(self, sample_id: str) -> list[Member]:
        """Return the samples of an id, each as often as it is held, in an order fixed by those."""
        return list(self._members.get(sample_id, ()))

    def remove(self, sample_id: str) -> None:
        """Forget the samples of an id, which have been taken out."""
        for member in self._members.pop(sample_id, ()):
            self._slots.pop(member.tie, None)

    def label(self, sample_id: str, label: Label) -> bool:
        """Give the samples of an id another label, wherever they are; tell whether any are held.

        They keep their ties and so their places.
        """
        # Copies can differ in their labels: each place is looked at, whatever one of them says.
        samples = {member.tie: member for member in self.of(sample_id)}
        for member in samples.values():
            self.swap(member.relabelled(label))
        return len(samples) > 0

    def swap(self, new: Member) -> None:
        """Put a member in the place of all copies of its sample."""
        slot = self._slots.get(new.tie)
        if slot is not None:
            self._pools.swap(slot, new)
        self._reservoir.swap(new)
        members = self._members[new.id]
        members[:] = [new if member.tie == new.tie else member for member in members]


def all_held(pools: Pools, reservoir: Reservoir) -> list[Member]:
    """Return all that pools and reservoir hold, each sample as often as it is held.

    In an order fixed by what they hold. O(retained).
    """
    sides = (chain.from_iterable(side.pools) for side in pools.all())
    return united(*sides, reservoir.members)
