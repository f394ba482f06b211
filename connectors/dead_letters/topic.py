"""Dead letters in a topic of their own: acknowledged before a checkpoint passes them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.message import (
    DeadLetter,
    from_record,
    smaller,
    to_message,
)
from echo_stream.connectors.kafka._client_patches.unpacking import hand_on_whole
from echo_stream.connectors.kafka.client import errors_for_people
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.config import BATCH_BYTES
from echo_stream.connectors.kafka.records import Record
from echo_stream.connectors.kafka.sink import (
    MAX_REQUEST_BYTES,
    Message,
    ProduceConfig,
    ensure_topic,
)
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.errors import InfrastructureError, SettingName, SourceError
from echo_stream.run.report import RunStats
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample

_PENDING_BYTES = 8 * 1024**2  # sent at the latest when so many wait
_REQUEST_TIMEOUT_MS = 5_000
_MAX_BLOCK_MS = 5_000  # to wait for the topic's leader, in one of the attempts
_DELIVERY_TIMEOUT_MS = 8_000
_DELIVERY_S = 10.0  # by then each message is acknowledged or given up
_CLOSE_S = 1.0
_POLL_TIMEOUT_MS = 250
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class DeadLetterTopic:
    """Send rejected messages to a topic: the original, with headers that say what was wrong.

    All replicas acknowledge. After a crash a message can be there twice; the headers of its
    topic, partition and offset tell.

    Parameters
    ----------
    config : ProduceConfig
        The topic, created if it does not exist, and how to connect.
    retries : RetryPolicy
        How long to try again while the topic is away.
    limits : DeadLetterLimits
        What is kept of a message; how long, the topic's own retention says.
    stats : RunStats, optional
        Counts what is cut.

    Raises
    ------
    SourceError
        If no broker answers now, or it refuses to create the topic.
    """

    def __init__(
        self,
        config: ProduceConfig,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        limits: DeadLetterLimits = DeadLetterLimits(),  # noqa: B008 - immutable
        stats: RunStats | None = None,
    ) -> None:
        self._config = config
        self._retries = retries
        self._limits = limits
        self._stats = stats or RunStats()
        self._pending: list[Message] = []
        self._pending_bytes = 0
        self._producer: KafkaProducer | None = None
        with errors_for_people(config.bootstrap_servers, f"use dead-letter topic {config.topic}"):
            ensure_topic(config)
            self._producer = self._connect()

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Store messages. Acknowledged after `flush`."""
        for dead_letter in rejected:
            kept, size_bytes = self._limits.cut(dead_letter)
            self._stats.dead_letters_truncated += size_bytes is not None
            self._pending.append(message := to_message(kept, size_bytes))
            self._pending_bytes += len(message[0] or b"") + len(message[1] or b"")
            if self._pending_bytes > _PENDING_BYTES:
                self.flush()

    def flush(self) -> None:
        """Return when all messages are acknowledged.

        Raises
        ------
        InfrastructureError
            If the topic stays away. What was not acknowledged is kept, for the next call.
        """
        self._retries.retry(self._send)
        self._pending_bytes = 0

    def close(self) -> None:
        """Close the connection, without waiting for what was not flushed."""
        if self._producer is not None:
            with suppress(KafkaError):  # of what is not acknowledged, which is kept
                self._producer.close(timeout=_CLOSE_S)
            self._producer = None

    def _send(self) -> None:
        """Send what waits until it is acknowledged; what is not still waits."""
        doing = f"send {len(self._pending)} dead letters to topic {self._config.topic}"
        try:
            with errors_for_people(self._config.bootstrap_servers, doing):
                self._pending = self._sent_together()
                while self._pending:
                    self._send_first()
        except SourceError as err:
            msg = f"{err} Nothing has been skipped: fix it and start again"
            raise InfrastructureError(msg) from err

    def _sent_together(self) -> list[Message]:
        """Send everything, and return what was not acknowledged."""
        failures = self._deliver(self._pending)
        return [
            message
            for message, failure in zip(self._pending, failures, strict=True)
            if failure is not None
        ]

    def _send_first(self) -> None:
        """Send the first message that waits alone: one that is too large fails those beside it."""
        (failure,) = self._deliver(self._pending[:1])
        if failure is None:
            del self._pending[0]
            return
        less = smaller(self._pending[0]) if isinstance(failure, _TOO_LARGE) else None
        if less is None:
            raise failure
        self._pending[0] = less

    def _deliver(self, messages: Sequence[Message]) -> list[Exception | None]:
        """Send messages, and return for each why it was not acknowledged, or None if it was."""
        self._producer = self._producer or self._connect()
        sent: list[Any] = []
        for message in messages:
            sent.append(_sent(self._producer, self._config.topic, message))
            if isinstance(sent[-1], KafkaError) and not isinstance(sent[-1], _TOO_LARGE):
                break  # the topic is away: each of the others would wait as long
        sent += sent[-1:] * (len(messages) - len(sent))
        deadline = time.monotonic() + _DELIVERY_S
        failures = [_failure(result, deadline) for result in sent]
        if any(failures):
            self.close()  # a new client has no memory of what has failed
        return failures

    def _connect(self) -> KafkaProducer:
        """Open the client."""
        options = self._config.client.for_client(
            KafkaProducer,
            self._config.bootstrap_servers,
            client_id="echo-stream-dead-letters",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_block_ms=_MAX_BLOCK_MS,
            max_request_size=MAX_REQUEST_BYTES,
            compression_type="gzip",
        )
        shortest = options["request_timeout_ms"] + options.get("linger_ms", 0)
        options["delivery_timeout_ms"] = max(_DELIVERY_TIMEOUT_MS, shortest)
        return KafkaProducer(**options)


def read_topic(topic: str, servers: str, client: ClientConfig) -> Iterator[DeadLetter]:
    """Yield the dead letters of a topic as it is now, partition by partition.

    Raises
    ------
    SourceError
        If no broker answers, or there is no such topic.
    """
    with (
        errors_for_people(servers, f"read dead-letter topic {topic}"),
        closing(_open_reader(servers, client)) as consumer,
    ):
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            msg = f"there is no topic {topic} at {servers}; "
            raise SourceError(msg, SettingName("dead_letter_topic"), " must be that of `run`")
        for number in sorted(partitions):
            yield from _read_partition(consumer, TopicPartition(topic, number))


def _open_reader(servers: str, client: ClientConfig) -> KafkaConsumer:
    """Open a client that reads partitions from offsets of its choice, and is in no group."""
    options = client.for_client(
        KafkaConsumer,
        servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        isolation_level="read_committed",
    )
    consumer = KafkaConsumer(**options)
    hand_on_whole(consumer, BATCH_BYTES)
    return consumer


def _read_partition(consumer: KafkaConsumer, partition: TopicPartition) -> Iterator[DeadLetter]:
    """Yield the dead letters of a partition up to its end as it is now."""
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    while consumer.position(partition) < end:
        for chunks in consumer.poll(_POLL_TIMEOUT_MS).values():
            records = chain.from_iterable(chunk.unpacked() for chunk in chunks)
            yield from (from_record(record) for record in records if record.origin.offset < end)


def _sent(producer: KafkaProducer, topic: str, message: Message) -> Any:
    """Hand a message over, and return its future, or the error of one that is not even taken."""
    key, value, headers = message
    try:
        return producer.send(topic, value=value, key=key, headers=list(headers))
    except KafkaError as err:
        return err


def _failure(result: Any, deadline: float) -> Exception | None:
    """Return why a message was not acknowledged by the deadline; None if it was."""
    failure: Exception | None = None
    if isinstance(result, KafkaError):
        failure = result
    else:
        try:
            # Not the client's `flush`: of a batch that had to be split it says "not done".
            result.get(timeout=max(deadline - time.monotonic(), 0))
        except KafkaError as err:
            failure = err
    return failure


_WAIT_S = 10.0  # for one message


def read_originals(
    parts: Iterable[RejectedSample], servers: str, client: ClientConfig
) -> Mapping[Origin, RejectedSample]:
    """Return the whole messages of which parts were kept, by where they are.

    One is left out where its topic or its offset is not there any more, or where the message
    there has another time or does not begin as the part does: the topic may be another one.

    Raises
    ------
    SourceError
        If no broker answers.
    """
    found = {}
    with (
        errors_for_people(servers, "read the originals of dead letters"),
        closing(_open_reader(servers, client)) as consumer,
    ):
        for part in parts:
            if part.origin is not None and part.origin not in found:
                record = _record_at(consumer, part.origin)
                if record is not None and _is_of(part, record):
                    headers = tuple(record.headers)
                    found[part.origin] = replace(
                        part, key=record.key, value=record.value, headers=headers
                    )
    return found


def _record_at(consumer: KafkaConsumer, origin: Origin) -> Record | None:
    """Return the record of a place and time; None where there is none any more."""
    partition = TopicPartition(origin.topic, origin.partition)
    if origin.partition not in (consumer.partitions_for_topic(origin.topic) or ()):
        return None
    consumer.assign([partition])
    begin = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    if not begin <= origin.offset < end:
        return None
    consumer.seek(partition, origin.offset)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and consumer.position(partition) <= origin.offset:
        for chunks in consumer.poll(_POLL_TIMEOUT_MS, max_records=1).values():
            records: Iterator[Record] = chain.from_iterable(each.unpacked() for each in chunks)
            return next((record for record in records if record.origin == origin), None)
    return None


def _is_of(part: RejectedSample, record: Record) -> bool:
    """Return whether a record is what a part was cut off."""
    return (
        (record.key or b"").startswith(part.key or b"")
        and (record.value or b"").startswith(part.value or b"")
        and (not part.headers or tuple(record.headers) == part.headers)
    )
