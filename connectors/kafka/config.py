"""Which topics are read, and how the client that reads them is set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.codecs.custom import LoadedCodec
from echo_stream.connectors.kafka.client import check_servers, check_topic
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.decoding import OnTombstone
from echo_stream.connectors.kafka.start import Start
from echo_stream.errors import ConfigError

FETCH_MAX_BYTES = 16 * 1024**2  # what each broker may send ahead, beside the queue
CLIENT_OPTIONS: dict[str, Any] = {
    "client_id": "echo-stream",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "allow_auto_create_topics": False,
    "isolation_level": "read_committed",
    "max_partition_fetch_bytes": 8 * 1024**2,
    "fetch_max_bytes": FETCH_MAX_BYTES,
    "fetch_min_bytes": 64 * 1024,
    "fetch_max_wait_ms": 100,
}
QUEUE_BYTES = 64 * 1024**2
BATCH_BYTES = 64 * 1024**2
QUEUE_RECORDS = 50_000
BROKER_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Which topics to read, from where, and how to read their messages.

    Attributes
    ----------
    topics : tuple of str
        In any order.
    bootstrap_servers : str
        Comma-separated HOST:PORT.
    codec : CodecConfig
    start : Start
        Where a new stream begins; partitions that it does not name begin where their logs do.
    until_end : bool
        Stop at the end of each partition as it is when the source is opened.
    on_tombstone : {"forget", "ignore"}
        What a message without a value does.
    accept_source : bool
        Go on from a position of another cluster or of a topic that has been recreated, or
        at offsets that are not there any more.
    client : ClientConfig
        How to connect.
    queue_bytes, queue_records : int
        Messages that may wait to be counted; fetching pauses while so much waits.
    max_batch_bytes : int
        What a batch of records may take, decompressed and with 256 bytes for each of them. A
        larger one is no samples, as a whole.
    broker_timeout : float or None
        Seconds without any answer of a broker, after which reading fails; None: never.
    notes : Path or None
        Folder of a state for `DecodingNotes`. None: a message that kills its decoder kills the
        process each time that it is read.
    """

    topics: tuple[str, ...]
    bootstrap_servers: str
    codec: CodecConfig = field(default_factory=CodecConfig)
    start: Start = "earliest"
    until_end: bool = False
    on_tombstone: OnTombstone = "forget"
    accept_source: bool = False
    client: ClientConfig = field(default_factory=ClientConfig)
    queue_bytes: int = QUEUE_BYTES
    queue_records: int = QUEUE_RECORDS
    max_batch_bytes: int = BATCH_BYTES
    broker_timeout: float | None = BROKER_TIMEOUT_SECONDS
    notes: Path | None = None

    def __post_init__(self) -> None:
        """Refuse names, batches and codecs that will not do."""
        codec = self.codec.codec
        if self.notes is not None and not isinstance(codec, LoadedCodec | None):
            msg = "notes need a codec that another process can make: one of load_codec"
            raise ConfigError(msg)
        check_servers(self.bootstrap_servers)
        for topic in self.topics:
            check_topic(topic)
        if self.max_batch_bytes < self.codec.max_bytes:
            msg = (
                f"max_batch_bytes must be at least max_message_bytes, {self.codec.max_bytes}: "
                f"messages come in batches; got {self.max_batch_bytes}"
            )
            raise ConfigError(msg)
