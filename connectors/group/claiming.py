"""When a member may begin to count what it was assigned: hand-over, and who trains first."""

import logging
import time

from kafka import TopicPartition

from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.kafka.group_source import Assignment, GroupSource
from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.errors import FencedError
from echo_stream.generation.generation import Generation

logger = logging.getLogger(__name__)


class Claiming:
    """Claims partitions for a member, once their former owners have handed them over.

    Where the group has no generation yet, only one member claims anything: the one that
    was assigned the first partition that holds messages. The others wait for its generation.

    Parameters
    ----------
    state : GroupState
    source : GroupSource
    features : str or None
    retries : RetryPolicy
        How long to try again while the disk is full.

    Attributes
    ----------
    generation : Generation or None
        The group's, as of the last claim.
    """

    def __init__(
        self, state: GroupState, source: GroupSource, features: str | None, retries: RetryPolicy
    ) -> None:
        self.generation: Generation | None = None
        self._state, self._source, self._features = state, source, features
        self._retries = retries
        self._waiting: tuple[frozenset[TopicPartition], float] | None = None
        self._refused: Assignment | None = None

    def claim(self, assignment: Assignment) -> tuple[str, dict[str, int]] | None:
        """Return a segment's id and where its partitions go on; None: try again soon."""
        if self.generation is None:
            self.generation = self._state.generation(self._features)
        if self.generation is None and not self._trains(assignment):
            return None
        names = {partition_name(each) for each in assignment.partitions}
        start = {name: first for name, first in self._starts(names).items() if name in names}
        try:
            claimed = self._retries.retry(
                lambda: self._state.claim(
                    start,
                    group_generation=assignment.generation,
                    by_force=self._has_waited(assignment),
                )
            )
        except FencedError as err:
            if self._refused != assignment:
                logger.warning("%s; waiting for the next assignment of the group", err)
            self._refused = assignment
            return None
        if claimed is not None:
            self._waiting = None
        return claimed

    def has_first(self, assignment: Assignment) -> bool:
        """Return whether an assignment has the first of all partitions."""
        return min(map(_named, self._state.record().start)) in assignment.partitions

    def _starts(self, names: set[str]) -> dict[str, int]:
        """Return the starts of partitions, from the broker where none is recorded."""
        recorded = dict(self._state.record().start)
        return recorded if names <= recorded.keys() else self._source.beginnings()

    def _has_waited(self, assignment: Assignment) -> bool:
        """Return whether former owners have had their time."""
        now = time.monotonic()
        if self._waiting is None or self._waiting[0] != assignment.partitions:
            logger.info("assigned %d partitions of the group", len(assignment.partitions))
            self._waiting = (assignment.partitions, now)
        return now - self._waiting[1] > self._source.handover_s

    def _trains(self, assignment: Assignment) -> bool:
        """Return whether an assignment has the first partition that holds messages."""
        start, ends = self._state.record().start, self._source.ends_now()
        filled = [name for name, first in start.items() if ends.get(name, first) > first]
        return min(map(_named, filled or start)) in assignment.partitions


def _named(name: str) -> TopicPartition:
    """Return the partition of a name."""
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number))
