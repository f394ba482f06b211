"""Membership in a consumer group: which partitions Kafka assigns to this process.

kafka-python calls the listener in its own thread, between two polls. It only notes what
has happened, and pauses what is new: records come when a term has begun (see `held`).
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from echo_stream.connectors.kafka._client_patches.joins import see_joins_through
from echo_stream.errors import EchoStreamError, SourceError
from echo_stream.run.report import RunStats

HANDOVER_SHARE = 0.2  # of max.poll.interval: how long a holder may take to hand over


class RebalancedError(SourceError):
    """Report that other partitions have been assigned; what was counted can be stored."""


class LostError(EchoStreamError):
    """Report that Kafka has given the partitions to others; what was counted is theirs."""


class Assignment(NamedTuple):
    """What Kafka has assigned to this process.

    Attributes
    ----------
    partitions : frozenset of TopicPartition
    generation : int
        Kafka's number of it, which grows with each rebalance of the group.
    changes : int
        How often it had changed; see `Membership.begin`.
    """

    partitions: frozenset[TopicPartition]
    generation: int
    changes: int


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """A member of a consumer group, and the client's listener.

    Parameters
    ----------
    group : str

    Attributes
    ----------
    held : set of TopicPartition
        Assigned, but not to be read yet.
    handover_s : float
        Seconds that a former holder of a partition may take to hand it over.
    stats : RunStats
        Told of rebalances.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self.stats = RunStats()
        self.held: set[TopicPartition] = set()
        self.handover_s = 0.0
        self._consumer: Any = None
        self._changes = self._losses = 0
        self._begun = (0, 0)

    def options(self) -> dict[str, Any]:
        """Return what makes a client a member; what stays assigned is not taken away before."""
        return {
            "group_id": self.group,
            "partition_assignment_strategy": [CooperativeStickyAssignor],
        }

    def join(self, consumer: KafkaConsumer, topics: Sequence[str]) -> None:
        """Let a client join the group with its next poll."""
        self._consumer = consumer
        self.handover_s = HANDOVER_SHARE * consumer.config["max_poll_interval_ms"] / 1_000
        see_joins_through(consumer)
        consumer.subscribe(list(topics), listener=self)

    def assignment(self, consumer: KafkaConsumer) -> Assignment | None:
        """Return the assignment that holds; None while there is none. In the client's thread."""
        metadata, changes = consumer.group_metadata(), self._changes
        if metadata.state != MemberState.STABLE:
            return None
        return Assignment(frozenset(consumer.assignment()), metadata.generation_id, changes)

    def begin(self, assignment: Assignment) -> None:
        """Begin a term: from now on `check` tells whether the assignment still holds."""
        self._begun = (assignment.changes, self._losses)

    def check(self) -> None:
        """Raise an error if the assignment of this term has changed.

        Raises
        ------
        LostError
            If the partitions are others' already: nothing may be stored.
        RebalancedError
            If there is time to store what was counted.
        """
        changes, losses = self._begun
        if self._losses != losses:
            msg = (
                "the group has gone on without this process, which did not answer in time; "
                "what it has counted since its last checkpoint is counted by others"
            )
            raise LostError(msg)
        if self._changes != changes:
            msg = f"partitions of group {self.group} have moved"
            raise RebalancedError(msg)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Hold what is new; a position keeps the client from asking the group for one."""
        if not assigned:
            return
        self.held.update(assigned)
        self._consumer.pause(*assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)
        self._changes += 1
        self.stats.rebalances["assigned"] += 1

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Note that partitions are to be handed over."""
        if revoked:
            self.held.difference_update(revoked)
            self._changes += 1
            self.stats.rebalances["revoked"] += 1

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Note that partitions are gone."""
        if lost:
            self.held.difference_update(lost)
            self._losses += 1
            self._changes += 1
            self.stats.rebalances["lost"] += 1
