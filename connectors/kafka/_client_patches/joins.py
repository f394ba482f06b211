"""Joining a consumer group in as many polls as it takes.

A poll of kafka-python 3.0 that runs out of time leaves its join under way, and the next one
is to go on with it. Two things can happen between them. A leader that joins again because its
topics have changed takes note of the change as soon as the others have joined: the next poll
sees nothing new, nobody ever looks at the assignment, and the client takes no part in its
group any more. And a join that ends just then is thrown away and begun again.
"""

import time
from typing import Any, NamedTuple

from kafka import KafkaConsumer
from kafka.coordinator.base import UnjoinedGroupException


def see_joins_through(consumer: KafkaConsumer) -> None:
    """Let each poll of a consumer go on with the join that an earlier one has begun."""
    coordinator = consumer._coordinator
    joins = _Joins(coordinator)
    coordinator.need_rejoin = joins.are_needed
    coordinator._do_join_and_sync_async = joins.join
    coordinator._on_join_complete_async = joins.complete


class _Ended(NamedTuple):
    """A join that has ended: as what member, with what assignment, and when."""

    generation: Any
    assigned: bytes
    when: float


class _Joins:
    """The joins of a coordinator, which is the client's."""

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self._are_needed = coordinator.need_rejoin
        self._join = coordinator._do_join_and_sync_async
        self._complete = coordinator._on_join_complete_async
        self._session_s = coordinator.config["session_timeout_ms"] / 1_000
        self._ended: _Ended | None = None

    def are_needed(self) -> bool:
        """Return whether there is a reason to join, or a join that has not been completed."""
        return bool(self._coordinator.rejoining or self._are_needed())

    async def join(self) -> bytes:
        """Return what the group assigns: what has come meanwhile, if it may hold, else ask.

        No heartbeat is sent until it is taken over, so the group waits for us no longer than
        a session.

        Raises
        ------
        UnjoinedGroupException
            If the membership was lost while the group answered; the client joins again then.
        """
        if self._ended is None or not self._may_hold(self._ended):
            assigned = await self._join()
            generation = self._coordinator._generation
            if generation.is_lost():
                raise UnjoinedGroupException
            self._ended = _Ended(generation, assigned, time.monotonic())
        return self._ended.assigned

    async def complete(self, *arguments: Any) -> None:
        """Take over what was assigned."""
        self._ended = None
        await self._complete(*arguments)

    def _may_hold(self, ended: _Ended) -> bool:
        """Return whether we are still the member that a join has made of us, as far as we know."""
        is_fresh = time.monotonic() - ended.when < self._session_s
        return is_fresh and bool(ended.generation == self._coordinator._generation)
