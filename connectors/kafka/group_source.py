"""The partitions that a consumer group assigns to this process, as the source of its runs.

kafka-python calls the listener of a group in its own thread, between two polls. It only notes
what has happened, and pauses what is new: records come once `GroupSource.read_only` names
their partitions.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from echo_stream.connectors.kafka._client_patches.joins import see_joins_through
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.logs import Limits
from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.kafka.topic_source import WAIT_SECONDS, TopicSource
from echo_stream.errors import EchoStreamError, SourceError
from echo_stream.run.report import RunStats
from echo_stream.samples.source import Batch

_HANDOVER_SHARE = 0.2  # of max.poll.interval: how long an owner may take to hand over


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
    stats : RunStats
        Counts rebalances.

    Attributes
    ----------
    paused : set of TopicPartition
        Assigned, but not to be read yet.
    handover_s : float
        Seconds that a former owner of a partition may take to hand it over.
    """

    def __init__(self, group: str, stats: RunStats) -> None:
        self.group, self.stats = group, stats
        self.paused: set[TopicPartition] = set()
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
        self.handover_s = _HANDOVER_SHARE * consumer.config["max_poll_interval_ms"] / 1_000
        see_joins_through(consumer)
        consumer.subscribe(list(topics), listener=self)

    def assignment(self, consumer: KafkaConsumer) -> Assignment | None:
        """Return the assignment that holds; None while there is none. In the client's thread."""
        metadata, changes = consumer.group_metadata(), self._changes
        if metadata.state != MemberState.STABLE:
            return None
        return Assignment(frozenset(consumer.assignment()), metadata.generation_id, changes)

    def begin(self, assignment: Assignment) -> None:
        """Begin to read an assignment: `check` raises once it has changed."""
        self._begun = (assignment.changes, self._losses)

    def check(self) -> None:
        """Raise an error if the assignment has changed.

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
                "this process timed out and its partitions were reassigned; work since its last "
                "checkpoint is redone by others"
            )
            raise LostError(msg)
        if self._changes != changes:
            msg = f"partitions of group {self.group} have moved"
            raise RebalancedError(msg)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pause what is new; an offset keeps the client from asking the group for one."""
        if not assigned:
            return
        self.paused.update(assigned)
        self._consumer.pause(*assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)
        self._changes += 1
        self.stats.rebalances["assigned"] += 1

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Note that partitions are to be handed over."""
        if revoked:
            self.paused.difference_update(revoked)
            self._changes += 1
            self.stats.rebalances["revoked"] += 1

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Note that partitions are gone."""
        if lost:
            self.paused.difference_update(lost)
            self._losses += 1
            self._changes += 1
            self.stats.rebalances["lost"] += 1


class GroupSource(TopicSource):
    """Read the partitions that a consumer group assigns to this process.

    Nothing is read until `read_only` has named partitions of an assignment.

    Parameters
    ----------
    config : KafkaConfig
    group : str
    stats : RunStats, optional
        Receives the state of the thread that polls and of its queue, and counts rebalances.

    Raises
    ------
    SourceError
        If no broker answers, or a topic does not exist.
    """

    may_go_back = False  # segments cover each offset of a log once

    def __init__(self, config: KafkaConfig, group: str, stats: RunStats | None = None) -> None:
        stats = stats or RunStats()
        self._membership = Membership(group, stats)
        super().__init__(
            config,
            stats,
            self._membership.options(),
            paused=self._membership.paused,
            is_shared=True,
        )

    def _join(self, consumer: KafkaConsumer) -> None:
        """Join the group that shares out the partitions."""
        self._membership.join(consumer, self._topics)

    def _first_offsets(self) -> Limits:
        """Return nothing: the group has assigned nothing yet."""
        return {}

    @property
    def handover_s(self) -> float:
        """Seconds that another member may take to hand a partition over."""
        return self._membership.handover_s

    def assignment(self) -> Assignment | None:
        """Return what the group assigns to this process; None while it has not decided."""
        return self._poller.call(self._membership.assignment)

    def wait(self) -> None:
        """Wait a quarter of a second, and raise the error that polling has met, if any."""
        time.sleep(WAIT_SECONDS)
        self._take(0, 0.0)

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless the description is of the same topics of the same cluster.

        What the broker does not report, now or then, is taken to be the same.
        """
        self._identity.recognise(description, accept=False)

    def read_only(self, offsets: Mapping[str, int], assignment: Assignment) -> None:
        """Continue from offsets, and read the partitions that they name, until they move.

        Parameters
        ----------
        offsets : mapping
            Names partitions of the assignment.
        assignment : Assignment
            Once it holds no more, `next_batch` raises an error instead of reading on.

        Raises
        ------
        OffsetsError
            If an offset is not in its log, and the configuration does not accept that, or the
            log ends before it: segments cover each offset once.
        RebalancedError
            If a partition has been assigned to another member meanwhile.
        """
        self._membership.begin(assignment)
        self._partitions = self._logs.partitions()
        if set(self._partitions) - self._ends.keys():  # newer than this process
            self._ends = {**self._limits("latest"), **self._ends}
        named = [each for each in self._partitions if partition_name(each) in offsets]
        following = self._resume(offsets, named, accept=self._config.accept_source)
        try:
            self._read_from(following)
        except ValueError as err:  # the client's, of a partition that it does not own any more
            msg = "partitions have moved to another member"
            raise RebalancedError(msg) from err

    def next_batch(self, max_samples: int) -> Batch:
        """Do what `TopicSource.next_batch` does, as long as the assignment holds.

        Raises
        ------
        RebalancedError, LostError
            If the group has assigned other partitions.
        """
        self._membership.check()
        return super().next_batch(max_samples)

    def starts(self) -> dict[str, int]:
        """Return the offset at which a new stream begins, of each "topic/partition"."""
        return _by_name(self._start())

    def beginnings(self) -> dict[str, int]:
        """Return the first offset of each "topic/partition" as the broker has it now."""
        self._partitions = self._logs.partitions()
        return _by_name(self._limits("earliest"))

    def ends(self) -> dict[str, int]:
        """Return the end of each "topic/partition" as it was when the source was opened."""
        return _by_name(self._ends)

    def ends_now(self) -> dict[str, int]:
        """Return the end of each "topic/partition" as the broker has it now."""
        return _by_name(self._limits("latest"))


def _by_name(offsets: Limits) -> dict[str, int]:
    """Return offsets by the names of their partitions."""
    return {partition_name(each): offset for each, offset in offsets.items()}
