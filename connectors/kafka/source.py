"""Topics of Kafka as a source, with offsets of our own.

Partitions are assigned by hand and positions are numbers that the caller keeps
(in its checkpoints); what is committed to Kafka is a mirror for lag monitors.
"""

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from echo_stream.connectors.files.intake import Intake
from echo_stream.connectors.kafka._client_patches.unpacking import hand_on_whole
from echo_stream.connectors.kafka.client import errors_for_people
from echo_stream.connectors.kafka.config import CLIENT_OPTIONS, KafkaConfig
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.connectors.kafka.identity import Identity, IdentityClient, warn_of_unknown
from echo_stream.connectors.kafka.logs import Limits, Logs
from echo_stream.connectors.kafka.membership import Assignment, Membership, RebalancedError
from echo_stream.connectors.kafka.mirror import Mirror
from echo_stream.connectors.kafka.offsets import (
    Offsets,
    ReadRecords,
    partition_name,
    resume_offsets,
)
from echo_stream.connectors.kafka.poller import KafkaPoller
from echo_stream.connectors.kafka.queue import RecordQueue, WaitingRecords
from echo_stream.connectors.kafka.records import Records
from echo_stream.errors import EchoStreamError, SourceError
from echo_stream.run.observer import PartitionProgress
from echo_stream.run.report import RunStats
from echo_stream.samples.source import Batch, Skipped, passed_over, refuse_other_source
from echo_stream.samples.validation import SampleSchema

logger = logging.getLogger(__name__)

ADDED_TIMEOUT_MS = 2_000  # for where added partitions begin; counting waits meanwhile
WAIT_SECONDS = 0.25  # for a message; a stop that is asked for waits at most this long


class KafkaSource:
    """Read topics partition by partition, each in its order.

    A thread polls, and messages wait in a bounded queue until they are asked for. Memory
    holds the queue, one poll more, and what the client has fetched ahead: at most
    `kafka_config.FETCH_MAX_BYTES` from each broker, or one larger message.

    Parameters
    ----------
    config : KafkaConfig
    stats : RunStats, optional
        Told how the thread and the queue do.
    membership : Membership, optional
        Of a group that assigns partitions. Without one all are read, from the configured
        start on; with one nothing is before `read_only`.

    Raises
    ------
    SourceError
        If no broker answers, or a topic does not exist.

    Notes
    -----
    The client gets no deserialisers: kafka-python 3.0 hangs for ever after one raises.
    Messages that are no samples come out as `RejectedSample`; positions pass over them.
    """

    def __init__(
        self,
        config: KafkaConfig,
        stats: RunStats | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._config = config
        self._membership = membership
        self._topics = sorted(set(config.topics))
        self._decoder = RecordDecoder(
            config.codec,
            config.on_tombstone,
            is_shared=membership is not None,
            notes=config.notes,
        )
        self._waiting = WaitingRecords(Offsets({}))  # taken from the queue
        self._exhausted = False
        self._read = ReadRecords()
        self._verified: dict[TopicPartition, int] = {}
        self._stats = stats = stats or RunStats()
        self._records = RecordQueue(config.queue_records, config.queue_bytes, stats)
        with self._errors("connect to the broker"):
            held = None
            if membership is not None:
                held, membership.stats = membership.held, stats
            self._poller = KafkaPoller(self._connect, self._records, stats, held)
        self._mirror = Mirror(self._poller)
        self._logs = Logs(self._poller, self._topics, config.bootstrap_servers, self._errors)
        try:
            self._partitions = self._assign()
            self._ids = IdentityClient(config.bootstrap_servers, self._topics, config.client)
        except EchoStreamError:
            self._close_consumer()
            raise
        try:
            self._identity = self._ids.ask()
            warn_of_unknown(self._identity)
            self._same_topics = set(self._topics)
            self._other_topics: set[str] = set()
            self._ends = self._limits("latest")
            self._read_from(self._start() if membership is None else {})
        except EchoStreamError:
            self.close()
            raise

    def _connect(self) -> KafkaConsumer:
        """Return a client that leaves everything to us."""
        alone = {"group_id": f"echo-stream.{'.'.join(self._topics)}"}
        options = self._config.client.for_client(
            KafkaConsumer,
            self._config.bootstrap_servers,
            **CLIENT_OPTIONS,
            **(alone if self._membership is None else self._membership.options()),
        )
        consumer = KafkaConsumer(**options)
        hand_on_whole(consumer, self._config.max_batch_bytes)
        return consumer

    @property
    def name(self) -> str:
        """What to call the source in messages."""
        return f"topic {', '.join(self._topics)}"

    @property
    def intake(self) -> Intake:
        """What is taken of messages, and which of their fields have been left out so far."""
        return self._decoder.intake

    @property
    def is_exhausted(self) -> bool:
        """Whether every partition has reached the end that was known at the start."""
        return self._exhausted

    @property
    def has_fixed_start(self) -> bool:
        """Return False: logs lose their beginnings, and `latest` is another offset each time."""
        return False

    def next_batch(self, max_samples: int) -> Batch:
        """Wait up to a quarter of a second for messages, and decode at most max_samples.

        Where a message holds many samples, all those of the last one come.

        Raises
        ------
        PositionError
            If the log has lost the messages that come next.
        SourceError
            If no broker has answered for longer than the configuration allows.
        """
        if self._membership is not None:
            self._membership.check()
        elif not self._config.until_end:
            self._read_added()
        if not self._waiting:
            taken = self._take(max_samples)
            self._read.take(taken)
            self._waiting.extend(taken)
        batch = self._decoder.decode(self._waiting, max_samples)
        self._pass_what_holds_no_records()
        self._notice_the_end()
        return batch._replace(skipped=batch.skipped.plus(self._offsets.take_skipped()))

    def position(self) -> dict[str, int]:
        """Return the next offset of each "topic/partition"."""
        return self._offsets.position()

    def progress(self) -> dict[str, PartitionProgress]:
        """Return how far each partition has been read, and where the broker says it ends."""
        return {
            partition_name(each): self._read.progress(each, self._end(each))
            for each in self._offsets.following
        }

    def _end(self, partition: TopicPartition) -> int:
        """Return the end of a partition as the last answer of the broker had it."""
        return self._stats.ends.get(partition_name(partition), self._ends[partition])

    def seek(self, position: Mapping[str, int]) -> Skipped:
        """Continue from a position. Partitions that it does not name begin at their beginning.

        Returns as gaps what of the logs as they are now has not been counted and is passed
        over: of a topic that is another one, all that lies before.

        Raises
        ------
        PositionError
            If an offset is not in its log, and the configuration does not accept that.
        """
        self._read_from(self._resume(position, accept=self._config.accept_source))
        counted = {
            name: offset
            for name, offset in position.items()
            if name.rpartition("/")[0] not in self._other_topics
        }
        return passed_over(counted, self.position())

    def read_only(self, position: Mapping[str, int], assignment: Assignment) -> None:
        """Continue from a position, and read the partitions that it names, until they move.

        Parameters
        ----------
        position : mapping
            Names partitions of the assignment.
        assignment : Assignment
            Once it holds no more, `next_batch` raises an error instead of reading on.

        Raises
        ------
        PositionError
            If an offset is not in its log, and the configuration does not accept that, or the
            log ends before it: segments cover each offset once.
        RebalancedError
            If a partition has been assigned to another member meanwhile.
        """
        assert self._membership is not None
        self._membership.begin(assignment)
        self._partitions = self._logs.partitions()
        if set(self._partitions) - self._ends.keys():  # newer than this process
            self._ends = {**self._limits("latest"), **self._ends}
        named = {each for each in self._partitions if partition_name(each) in position}
        following = self._resume(position, accept=self._config.accept_source, only=named)
        try:
            self._read_from(following)
        except ValueError as err:  # the client's, of a partition that it does not own any more
            msg = "partitions have moved to another member"
            raise RebalancedError(msg) from err

    @property
    def handover_s(self) -> float:
        """Seconds that another member may take to hand a partition over."""
        assert self._membership is not None
        return self._membership.handover_s

    def assignment(self) -> Assignment | None:
        """Return what the group assigns to this process; None while it has not decided."""
        assert self._membership is not None
        return self._poller.call(self._membership.assignment)

    def wait(self) -> None:
        """Wait a quarter of a second, and raise what polling has met meanwhile, if anything."""
        time.sleep(WAIT_SECONDS)
        self._take(0, 0.0)

    def starts(self) -> dict[str, int]:
        """Return the offset at which a new stream begins, of each "topic/partition"."""
        return {partition_name(each): offset for each, offset in self._start().items()}

    def beginnings(self) -> dict[str, int]:
        """Return the first offset of each "topic/partition" as the broker has it now."""
        self._partitions = self._logs.partitions()
        return {partition_name(each): at for each, at in self._limits("earliest").items()}

    def ends(self) -> dict[str, int]:
        """Return the end of each "topic/partition" as it was when the source was opened."""
        return {partition_name(each): offset for each, offset in self._ends.items()}

    def ends_now(self) -> dict[str, int]:
        """Return the end of each "topic/partition" as the broker has it now."""
        return {partition_name(each): end for each, end in self._limits("latest").items()}

    def commit(self, position: Mapping[str, int]) -> None:
        """Mirror a position to the group, for lag monitors, soon. A failure is only logged."""
        self._mirror.commit(position, self._partitions)
        if self._decoder.notes is not None:
            self._decoder.notes.passed(position)

    def expect(self, schema: SampleSchema) -> None:
        """Reject messages of any other schema from now on; see `RecordDecoder.expect`."""
        self._decoder.expect(schema)

    def describe(self) -> dict[str, Any]:
        """Return the ids of cluster and topics, which are asked for again if there was news.

        So offsets in a topic that was recreated meanwhile are never stored under the name of
        the old one. A broker that is away is asked again the next time.

        Raises
        ------
        StateError
            If a topic has been recreated.
        """
        following = self._offsets.following.copy()  # first: what is read while it asks is news
        if following != self._verified:
            try:
                now = self._ids.ask()
            except SourceError as err:
                logger.info("ids of cluster and topics were not checked: %s", err)
            else:
                self._refuse_changes(self._identity, now)
                self._identity = now.completed_by(self._identity)
                # A topic that the broker does not know at this moment is asked for again.
                if now.knows_all_of(self._identity):
                    self._verified = following
        return self._identity.to_json()

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless the description is of the same topics of the same cluster.

        What the broker does not report, now or then, is taken to be the same. Other ids are
        passed over where the configuration accepts them, but never in a group: its segments
        cover each offset of a log once.
        """
        stored = Identity.from_json(description) if description["kind"] == "kafka" else None
        if stored is None or stored.topics.keys() != self._identity.topics.keys():
            refuse_other_source(description, self._identity.to_json())
            return
        if self._config.accept_source and self._membership is None:
            for change in stored.changes(self._identity):
                logger.warning("%s; going on at the stored offsets, where the log has them", change)
        else:
            self._refuse_changes(stored, self._identity)
            self._identity = self._identity.completed_by(stored)
        self._same_topics = {
            topic for topic in self._topics if stored.is_same_topic(self._identity, topic)
        }
        self._other_topics = {
            topic for topic in self._topics if stored.is_other_topic(self._identity, topic)
        }

    def _refuse_changes(self, stored: Identity, now: Identity) -> None:
        """Refuse another log."""
        stored.refuse_changes(now, may_accept=self._membership is None)

    def close(self) -> None:
        """Close the clients, once the last commit has arrived or two seconds have passed."""
        self._decoder.close()
        self._ids.close()
        self._close_consumer()

    def _close_consumer(self) -> None:
        """End the poller."""
        with self._errors("close the client"):
            self._poller.close(self._mirror.finish)

    def _errors(self, doing: str) -> Any:
        """Return the guard that turns the client's errors into ours."""
        return errors_for_people(self._config.bootstrap_servers, f"{doing} ({self.name})")

    def _assign(self) -> list[TopicPartition]:
        """Take all partitions of all topics, or join the group that shares them out."""
        found, membership = self._logs.partitions(), self._membership
        if membership is None:
            self._poller.call(lambda consumer: consumer.assign(found))
        else:
            self._poller.call(lambda consumer: membership.join(consumer, self._topics))
        return found

    def _limits(self, which: Literal["earliest", "latest"]) -> Limits:
        """Return the first or the next offset of each partition, as the broker says it now."""
        return self._logs.limits(which, self._partitions)

    def _start(self) -> Limits:
        """Return the offsets at which a new stream begins."""
        return self._logs.start(self._config.start, self._ends)

    def _resume(
        self,
        position: Mapping[str, int],
        *,
        accept: bool,
        only: Collection[TopicPartition] | None = None,
    ) -> dict[TopicPartition, int]:
        """Return where to read on from a position, in the logs as they are now, or some of them."""
        first, last = self._limits("earliest"), self._limits("latest")
        if only is not None:
            first = {partition: first[partition] for partition in only}
        return resume_offsets(
            position,
            first,
            last,
            same_topics=self._same_topics,
            accept=accept,
            may_go_back=self._membership is None,
        )

    def _read_from(self, following: Mapping[TopicPartition, int]) -> None:
        """Tell the client where to read on."""
        self._offsets = Offsets(following)
        if self._decoder.notes is not None:
            self._decoder.notes.look()
        # First: a member that has lost partitions gets no further than the poller.
        self._waiting = WaitingRecords(self._offsets)
        self._verified = self._offsets.following.copy()
        self._poller.begin(self._offsets.following)
        self._exhausted = False
        self._notice_the_end()

    def _read_added(self) -> None:
        """Read partitions that have been added to a topic, from their beginnings."""
        added = sorted(self._poller.available - self._offsets.following.keys())
        if not added:
            return
        try:
            first = self._logs.limits("earliest", added, ADDED_TIMEOUT_MS)
            ends = self._logs.limits("latest", added, ADDED_TIMEOUT_MS)
        except SourceError as err:
            logger.info("partitions were added, and are read later: %s", err)
            return
        self._offsets.add(first)
        self._partitions += added
        self._ends |= ends
        self._poller.read_more(first)
        names = ", ".join(map(partition_name, added))
        logger.warning("partitions were added, and are read from their beginnings: %s", names)

    def _take(
        self, max_records: int, wait_s: float = WAIT_SECONDS
    ) -> list[tuple[TopicPartition, Records]]:
        """Return the next records; where the log has lost them, or the broker is away, say so."""
        with self._errors("read"):
            try:
                taken = self._records.take(max_records, wait_s)
            except OffsetOutOfRangeError:
                self._resume(self.position(), accept=False, only=self._offsets.following)
                raise  # they are there after all: the broker was wrong, or is another one
        silent, limit = self._poller.silent_seconds(), self._config.broker_timeout
        if not taken and limit is not None and silent > limit:
            msg = (
                f"no broker at {self._config.bootstrap_servers} has answered for {silent:.0f} s "
                f"({self.name}); what was counted is kept; start again when it is back"
            )
            raise SourceError(msg)
        return taken

    def _pass_what_holds_no_records(self) -> None:
        """Move past markers and aborted messages, once all records before them are counted.

        Else a log of which nothing else is left would lose the offset that is stored, and its
        lag would never be 0.
        """
        positions = self._poller.positions  # first: later ones may be beyond what is queued then
        if self._waiting or not self._records.is_empty:
            return
        for partition in self._offsets.following:
            self._offsets.pass_to(partition, positions.get(partition, 0))

    def _notice_the_end(self) -> None:
        """Tell whether all partitions have reached their ends."""
        if not self._config.until_end or self._exhausted:
            return
        self._exhausted = (
            not self._waiting
            and self._records.is_empty
            and all(offset >= self._ends[each] for each, offset in self._offsets.following.items())
        )
