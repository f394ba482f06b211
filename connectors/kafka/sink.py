"""Samples to a topic, one message each."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaTimeoutError, TopicAlreadyExistsError

from echo_stream._common.checks import check_choice, check_number, check_whole
from echo_stream.connectors.codecs import SampleFormat, encode, encode_batch
from echo_stream.connectors.kafka.client import (
    check_servers,
    check_topic,
    errors_for_people,
)
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.errors import ConfigError, SettingName, SourceError
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.samples import Samples, label_of

_LINGER_MS = 20  # fills batches; with 256 KiB of them the producer is twenty times faster
BATCH_BYTES = 256 * 1024
MAX_REQUEST_BYTES = 16 * 1024**2
_FLUSH_SECONDS = 60
MAX_BLOCK_MS = 10_000  # to wait for a topic that is not there, or a broker that takes nothing
_REPORT_EVERY = 1_000  # messages

Message: TypeAlias = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers. Kafka takes no message that has neither key nor value."""


@dataclass(frozen=True, slots=True)
class ProduceConfig:
    """Where to send samples, and how.

    Attributes
    ----------
    topic : str
        Created, with so many partitions, if it does not exist.
    bootstrap_servers : str
        Comma-separated HOST:PORT.
    message_format : "npy", "raw", "json" or "arrow"
    partitions : int
    rate : float or None
        Messages a second; None: as fast as it goes.
    samples_per_message : int
        Arrow takes more than one.
    client : ClientConfig
        How to connect.
    """

    topic: str
    bootstrap_servers: str
    message_format: SampleFormat | Literal["arrow"] = "npy"
    partitions: int = 1
    rate: float | None = None
    samples_per_message: int = 1
    client: ClientConfig = field(default_factory=ClientConfig)

    def __post_init__(self) -> None:
        """Refuse what no broker could do."""
        check_servers(self.bootstrap_servers)
        check_topic(self.topic, "topic")
        check_choice("message_format", self.message_format, (*get_args(SampleFormat), "arrow"))
        for name in ("samples_per_message", "partitions"):
            check_whole(name, getattr(self, name), at_least=1)
        if self.rate is not None:
            check_number("rate", self.rate, above=0)
        if self.samples_per_message > 1 and self.message_format != "arrow":
            raise ConfigError(
                SettingName("message_format"),
                f" {self.message_format} has one sample in a message; with ",
                SettingName("samples_per_message"),
                " use arrow",
            )


def produce_samples(
    batches: Iterable[Samples],
    config: ProduceConfig,
    *,
    on_sent: Callable[[int], None] | None = None,
) -> int:
    """Send samples in their order; return the number of messages when all are acknowledged.

    A batch is asked for when the one before has been handed over. Key and header `id` are
    the id, header `label` the label; Arrow has columns for them. See `produce_messages`.
    """
    return produce_messages(_messages(batches, config), config, on_sent=on_sent)


def produce_messages(
    messages: Iterable[Message],
    config: ProduceConfig,
    *,
    on_sent: Callable[[int], None] | None = None,
) -> int:
    """Send messages in their order, and return their number when all are acknowledged.

    All replicas acknowledge, and a retry makes no duplicate.

    Raises
    ------
    SourceError
        If the broker does not answer or refuses a message.
    """
    with errors_for_people(config.bootstrap_servers, f"send to topic {config.topic}"):
        ensure_topic(config)
        options = config.client.for_client(
            KafkaProducer,
            config.bootstrap_servers,
            linger_ms=_LINGER_MS,
            batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=MAX_BLOCK_MS,
        )
        producer = KafkaProducer(**options)
        try:
            return _send_all(producer, messages, config, on_sent)
        finally:
            producer.close()


def _send_all(
    producer: KafkaProducer,
    messages: Iterable[Message],
    config: ProduceConfig,
    on_sent: Callable[[int], None] | None,
) -> int:
    """Send every message, at the rate asked for, and wait for the acknowledgements."""
    failures: list[Exception] = []
    started = time.monotonic()
    n = 0
    for key, value, headers in messages:
        if config.rate is not None:
            time.sleep(max(0.0, started + n / config.rate - time.monotonic()))
        try:
            sent = producer.send(config.topic, value=value, key=key, headers=list(headers))
        except KafkaTimeoutError as err:
            msg = (
                f"{config.bootstrap_servers} has not taken a message for topic {config.topic} "
                f"for {MAX_BLOCK_MS / 1_000:.0f} s ({n} are sent); see whether the topic is there, "
                "and create it if the broker creates none"
            )
            raise SourceError(msg) from err
        sent.add_errback(failures.append)
        if on_sent is not None and n % _REPORT_EVERY == 0:
            on_sent(n)
        n += 1
        if failures:
            break
    producer.flush(_FLUSH_SECONDS)
    if failures:
        msg = f"the broker refused a message for topic {config.topic}: {failures[0]}"
        raise SourceError(msg) from failures[0]
    return n


def _messages(batches: Iterable[Samples], config: ProduceConfig) -> Iterator[Message]:
    """Yield key, value and headers of every message."""
    if config.message_format == "arrow":
        for samples in _regrouped(batches, config.samples_per_message):
            yield from encode_batch(samples)
        return
    for samples in batches:
        for row in range(len(samples)):
            label = None if samples.labels is None else label_of(samples.labels[row])
            yield encode(samples.x[row], str(samples.ids[row]), label, config.message_format)


def _regrouped(batches: Iterable[Samples], n: int) -> Iterator[Samples]:
    """Yield the same samples n at a time, and the rest."""
    waiting = SampleBuffer()
    for samples in batches:
        rest = samples
        while len(rest):
            missing = n - len(waiting)
            waiting.append(rest[:missing])
            rest = rest[missing:]
            if len(waiting) == n:
                yield waiting.drain()
    if len(waiting):
        yield waiting.drain()


def ensure_topic(config: ProduceConfig) -> None:
    """Create the topic unless it exists."""
    topic: dict[str, Any] = {"num_partitions": config.partitions, "replication_factor": -1}
    options = config.client.for_client(KafkaAdminClient, config.bootstrap_servers)
    with KafkaAdminClient(**options) as admin:
        if config.topic in admin.list_topics():
            return
        try:
            admin.create_topics({config.topic: topic}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return  # another process was faster
