"""What all sources of topics share: a thread polls messages, and they come out as samples.

Offsets are numbers that the caller keeps (in its checkpoints); what is committed to Kafka is for
lag monitors alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.kafka._client_patches.unpacking import hand_on_whole
from echo_stream.connectors.kafka.client import errors_for_people
from echo_stream.connectors.kafka.config import CLIENT_OPTIONS, KafkaConfig
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.connectors.kafka.identity import IdentityClient, LogIdentity
from echo_stream.connectors.kafka.logs import Limits, Logs
from echo_stream.connectors.kafka.offsets import (
    Offsets,
    ReadRecords,
    partition_name,
    resume_offsets,
)
from echo_stream.connectors.kafka.poller import KafkaPoller, OffsetCommitter
from echo_stream.connectors.kafka.queue import RecordQueue, WaitingRecords
from echo_stream.connectors.kafka.records import Records
from echo_stream.errors import SourceError
from echo_stream.run.observer import PartitionProgress
from echo_stream.run.report import RunStats
from echo_stream.samples.source import Batch
from echo_stream.samples.validation import SampleSchema

WAIT_SECONDS = 0.25  # for a message; a stop that is asked for waits at most this long


class TopicSource(ABC):
    """Read partitions of topics, each in its order, from offsets that the caller keeps.

    A thread polls, and messages wait in a bounded queue until they are asked for. Memory
    holds the queue, one poll more, and what the client has fetched ahead: at most
    `config.FETCH_MAX_BYTES` from each broker, or one larger message.

    Parameters
    ----------
    config : KafkaConfig
    stats : RunStats
        Receives the state of the thread and of the queue.
    client_options : mapping
        What the client is given beside the options of all clients.
    paused : set of TopicPartition, optional
        Partitions that stay paused until reading from them begins.
    is_shared : bool
        Whether other processes read other partitions of the topics.

    Raises
    ------
    SourceError
        If no broker answers, or a topic does not exist.

    Notes
    -----
    The client gets no deserialisers: kafka-python 3.0 hangs for ever after one raises.
    Invalid messages come out as `RejectedSample`; offsets move past them.
    """

    may_go_back: ClassVar[bool]  # to an offset before the one that was counted up to

    def __init__(
        self,
        config: KafkaConfig,
        stats: RunStats,
        client_options: Mapping[str, Any],
        *,
        paused: set[TopicPartition] | None = None,
        is_shared: bool = False,
    ) -> None:
        self._config, self._stats = config, stats
        self._topics = sorted(set(config.topics))
        self._decoder = RecordDecoder(
            config.codec,
            config.on_tombstone,
            is_shared=is_shared,
            notes=config.notes,
            encoder=config.encoder,
        )
        self._records = RecordQueue(config.queue_records, config.queue_bytes, stats)
        self._read = ReadRecords()
        with self._errors("connect to the broker"):
            self._poller = KafkaPoller(
                lambda: self._connect(client_options), self._records, stats, paused
            )
        with ExitStack() as opened:
            opened.callback(self._close_poller)
            self._committer = OffsetCommitter(self._poller)
            self._logs = Logs(self._poller, self._topics, config.bootstrap_servers, self._errors)
            self._partitions = self._logs.partitions()
            self._poller.call(self._join)
            ids = IdentityClient(config.bootstrap_servers, self._topics, config.client)
            opened.callback(ids.close)
            opened.callback(self._decoder.close)
            self._identity = LogIdentity(ids, may_accept=self.may_go_back)
            self._ends = self._limits("latest")
            self._read_from(self._first_offsets())
            self._opened = opened.pop_all()

    @abstractmethod
    def _join(self, consumer: KafkaConsumer) -> None:
        """Assign partitions to the client, or let it join a group; in the client's thread."""

    @abstractmethod
    def _first_offsets(self) -> Limits:
        """Return the offsets from which the source reads as soon as it is open."""

    def _connect(self, options: Mapping[str, Any]) -> KafkaConsumer:
        """Return a client that leaves everything to us."""
        consumer = KafkaConsumer(
            **self._config.client.for_client(
                KafkaConsumer, self._config.bootstrap_servers, **CLIENT_OPTIONS, **options
            )
        )
        hand_on_whole(consumer, self._config.max_batch_bytes)
        return consumer

    @property
    def name(self) -> str:
        """What to call the source in messages."""
        return f"topic {', '.join(self._topics)}"

    @property
    def inputs(self) -> Inputs:
        """What is taken of messages, and which of their fields have been left out so far."""
        return self._decoder.inputs

    @property
    def is_exhausted(self) -> bool:
        """Whether every partition has reached the end that was known at the start."""
        return self._exhausted

    def next_batch(self, max_samples: int) -> Batch:
        """Wait up to a quarter of a second for messages, and decode at most max_samples.

        Where a message holds many samples, all those of the last one come.

        Raises
        ------
        OffsetsError
            If the log has lost the messages that come next.
        SourceError
            If no broker has answered for longer than the configuration allows.
        """
        if not self._waiting:
            taken = self._take(max_samples)
            self._read.take(taken)
            self._waiting.extend(taken)
        batch = self._decoder.decode(self._waiting, max_samples)
        self._skip_markers()
        self._notice_the_end()
        return batch._replace(skipped=batch.skipped.plus(self._offsets.take_skipped()))

    def offsets(self) -> dict[str, int]:
        """Return the next offset of each "topic/partition"."""
        return self._offsets.by_name()

    def progress(self) -> dict[str, PartitionProgress]:
        """Return how far each partition has been read, and where the broker says it ends."""
        return {
            name: self._read.progress(each, self._stats.ends.get(name, self._ends[each]))
            for each in self._offsets.following
            for name in (partition_name(each),)
        }

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Commit offsets to the group, for lag monitors. A failure is only logged."""
        self._committer.commit(offsets, self._partitions)
        if self._decoder.notes is not None:
            self._decoder.notes.passed(offsets)

    def expect(self, schema: SampleSchema) -> None:
        """Reject messages of any other schema from now on; see `RecordDecoder.expect`."""
        self._decoder.expect(schema)

    def describe(self) -> dict[str, Any]:
        """Return the ids of cluster and topics, asked for again if messages came since.

        Raises
        ------
        StateError
            If a topic has been recreated.
        """
        return self._identity.describe(self._offsets.following)

    def close(self) -> None:
        """Close the clients, once the last commit has arrived or two seconds have passed."""
        self._opened.close()

    def _close_poller(self) -> None:
        """End the thread that polls."""
        with self._errors("close the client"):
            self._poller.close(self._committer.finish)

    def _errors(self, doing: str) -> Any:
        """Return the guard that turns the client's errors into ours."""
        return errors_for_people(self._config.bootstrap_servers, f"{doing} ({self.name})")

    def _limits(self, which: Literal["earliest", "latest"]) -> Limits:
        """Return the first or the next offset of each partition, as the broker says it now."""
        return self._logs.limits(which, self._partitions)

    def _start(self) -> Limits:
        """Return the offsets at which a new stream begins."""
        return self._logs.start(self._config.start, self._ends)

    def _resume(
        self,
        offsets: Mapping[str, int],
        partitions: Collection[TopicPartition],
        *,
        accept: bool,
    ) -> dict[TopicPartition, int]:
        """Return where to read on from offsets, in the logs of partitions as they are now."""
        first, last = self._limits("earliest"), self._limits("latest")
        return resume_offsets(
            offsets,
            {partition: first[partition] for partition in partitions},
            last,
            same_topics=self._identity.same_topics,
            accept=accept,
            may_go_back=self.may_go_back,
        )

    def _read_from(self, following: Mapping[TopicPartition, int]) -> None:
        """Tell the client where to read on."""
        self._offsets = Offsets(following)
        if self._decoder.notes is not None:
            self._decoder.notes.look()
        # First: a member that has lost partitions gets no further than the poller.
        self._waiting = WaitingRecords(self._offsets)
        self._identity.checked_at(self._offsets.following)
        self._poller.begin(self._offsets.following)
        self._exhausted = False
        self._notice_the_end()

    def _take(
        self, max_records: int, wait_s: float = WAIT_SECONDS
    ) -> list[tuple[TopicPartition, Records]]:
        """Return the next records.

        Raises
        ------
        OffsetsError
            If the log has lost them.
        SourceError
            If the broker has been away for too long.
        """
        with self._errors("read"):
            try:
                taken = self._records.take(max_records, wait_s)
            except OffsetOutOfRangeError:
                self._resume(self.offsets(), self._offsets.following, accept=False)
                raise  # they are there after all: the broker was wrong, or is another one
        silent, limit = self._poller.silent_seconds(), self._config.broker_timeout
        if not taken and limit is not None and silent > limit:
            msg = (
                f"no broker at {self._config.bootstrap_servers} has answered for {silent:.0f} s "
                f"({self.name}); what was counted is kept; start again when it is back"
            )
            raise SourceError(msg)
        return taken

    def _skip_markers(self) -> None:
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
        """Note whether all partitions have reached their ends."""
        if not self._config.until_end or self._exhausted:
            return
        self._exhausted = (
            not self._waiting
            and self._records.is_empty
            and all(offset >= self._ends[each] for each, offset in self._offsets.following.items())
        )
