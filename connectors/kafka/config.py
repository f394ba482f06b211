"""Which topics are read, and how the client that reads them is set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from echo_stream._common.checks import check_number, check_whole
from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.codecs.readers.custom import LoadedCodec
from echo_stream.connectors.kafka.client import check_servers, check_topic
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.decoding import OnTombstone
from echo_stream.encoders.encoder import Encoder
from echo_stream.errors import ConfigError, SettingName

Start: TypeAlias = Literal["earliest", "latest"] | int | Mapping[tuple[str, int], int]
"""The first offset, the next one, the first since a time (milliseconds since 1970), or one for
each partition."""

_FORMS = (
    "earliest, latest, a time (ISO 8601 or milliseconds since 1970) or TOPIC:PARTITION:OFFSET,..."
)


def parse_start(text: str) -> Start:
    """Read where to start, as people write it.

    Parameters
    ----------
    text : str
        `earliest`, `latest`, a time in ISO 8601 (UTC unless it names an offset) or as
        milliseconds since 1970, or `TOPIC:PARTITION:OFFSET` with commas between.

    Raises
    ------
    ConfigError
        It is none of these, or names a partition twice.

    Examples
    --------
    >>> parse_start("latest"), parse_start("1970-01-02"), parse_start("1970-01-02T01:00+01:00")
    ('latest', 86400000, 86400000)
    >>> parse_start("86400000"), parse_start("events:0:7,events:1:9")
    (86400000, {('events', 0): 7, ('events', 1): 9})
    """
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if _is_number(text):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return _offsets(text)
    return _milliseconds(time)


def _milliseconds(time: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    milliseconds = round(aware.timestamp() * 1_000)
    if milliseconds < 0:
        msg = f"a stream begins in 1970 at the earliest; got {time.isoformat()}"
        raise ConfigError(msg)
    return milliseconds


def _offsets(text: str) -> dict[tuple[str, int], int]:
    """Read TOPIC:PARTITION:OFFSET,..."""
    offsets: dict[tuple[str, int], int] = {}
    for part in text.split(","):
        words = part.strip().split(":")
        if len(words) != 3 or not (words[0] and _is_number(words[1]) and _is_number(words[2])):
            raise ConfigError(SettingName("start"), f" must be {_FORMS}; got {text!r}")
        partition = (words[0], int(words[1]))
        if partition in offsets:
            raise ConfigError(SettingName("start"), f" must name each partition once; got {text!r}")
        offsets[partition] = int(words[2])
    return offsets


def _is_number(text: str) -> bool:
    """Return whether a text is digits alone; int() takes more than that."""
    return text.isascii() and text.isdecimal()


def check_start(
    offsets: Mapping[tuple[str, int], int],
    first: Mapping[tuple[str, int], int],
    last: Mapping[tuple[str, int], int],
) -> None:
    """Refuse offsets of partitions that are not read, or outside their logs.

    Raises
    ------
    ConfigError
    """
    for (topic, number), offset in offsets.items():
        if (topic, number) not in first:
            words = f" names {topic}/{number}, which is not read; leave it out"
            raise ConfigError(SettingName("start"), words)
        begin, end = first[topic, number], last[topic, number]
        if not begin <= offset <= end:
            words = (
                f" of {topic}/{number} is offset {offset}, but its log begins at {begin} and ends "
                f"before {end}; give one from {begin} to {end}"
            )
            raise ConfigError(SettingName("start"), words)


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
_QUEUE_BYTES = 64 * 1024**2
BATCH_BYTES = 64 * 1024**2
_QUEUE_RECORDS = 50_000
_BROKER_TIMEOUT_SECONDS = 300.0


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
        Go on from offsets in another cluster or in a topic that has been recreated, or
        at offsets that are not there any more.
    client : ClientConfig
        How to connect.
    queue_bytes, queue_records : int
        Messages that may wait to be counted; fetching pauses while so much waits.
    max_batch_bytes : int
        What a batch of records may take, decompressed and with 256 bytes for each of them. A
        larger one is rejected as a whole.
    broker_timeout : float or None
        Seconds without any answer of a broker, after which reading fails; None: never.
    notes : Path or None
        Folder of a state for `DecodingNotes`. None: a message that kills its decoder kills the
        process each time that it is read.
    encoder : Encoder or None
        Makes the vectors of payloads, where codec says that one does.
    """

    topics: tuple[str, ...]
    bootstrap_servers: str
    codec: CodecConfig = field(default_factory=CodecConfig)
    start: Start = "earliest"
    until_end: bool = False
    on_tombstone: OnTombstone = "forget"
    accept_source: bool = False
    client: ClientConfig = field(default_factory=ClientConfig)
    queue_bytes: int = _QUEUE_BYTES
    queue_records: int = _QUEUE_RECORDS
    max_batch_bytes: int = BATCH_BYTES
    broker_timeout: float | None = _BROKER_TIMEOUT_SECONDS
    notes: Path | None = None
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        """Refuse names, batches and codecs that will not do."""
        if self.codec.is_encoded != (self.encoder is not None):
            msg = "a codec whose messages are encoded needs an encoder, and others need none"
            raise ConfigError(msg)
        codec = self.codec.codec
        if self.notes is not None and not isinstance(codec, LoadedCodec | None):
            msg = "crash recovery needs a codec loaded with load_codec"
            raise ConfigError(msg)
        check_servers(self.bootstrap_servers)
        for topic in self.topics:
            check_topic(topic, "topics")
        for name in ("queue_bytes", "queue_records", "max_batch_bytes"):
            check_whole(name, getattr(self, name), at_least=1)
        if self.broker_timeout is not None:
            check_number("broker_timeout", self.broker_timeout, above=0)
        if self.max_batch_bytes < self.codec.max_message_bytes:
            raise ConfigError(
                SettingName("max_batch_bytes"),
                " must be at least ",
                SettingName("max_message_bytes"),
                f", {self.codec.max_message_bytes}: messages come in batches; "
                f"got {self.max_batch_bytes}",
            )
