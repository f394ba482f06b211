"""Topics of Kafka as a source, with offsets of our own.

Partitions are assigned by hand and positions are numbers that the caller keeps
(in its checkpoints); what is committed to Kafka is a mirror for lag monitors.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, decode
from echo_stream.connectors.kafka_client import (
    COMMON_OPTIONS,
    check_servers,
    check_topic,
    errors_for_people,
)
from echo_stream.errors import ShapeError, SourceError, StateError
from echo_stream.samples import Origin, Samples, as_objects
from echo_stream.source import Batch, RejectedSample
from echo_stream.validation import SampleSchema

logger = logging.getLogger(__name__)

POLL_TIMEOUT_MS = 250  # a stop that is asked for waits at most this long
MAX_PARTITION_FETCH_BYTES = 8 * 1024**2
FETCH_MIN_BYTES = 64 * 1024
FETCH_MAX_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Which topics to read, from where, and how to read their messages.

    Attributes
    ----------
    topics : tuple of str
    bootstrap_servers : str
        Comma-separated HOST:PORT.
    codec : CodecConfig
    start : "earliest" or "latest"
        Where a partition without a known position begins.
    until_end : bool
        Stop at the end of each partition as it is when the source is opened.
    """

    topics: tuple[str, ...]
    bootstrap_servers: str
    codec: CodecConfig = field(default_factory=CodecConfig)
    start: Literal["earliest", "latest"] = "earliest"
    until_end: bool = False

    def __post_init__(self) -> None:
        """Refuse names that no broker could have."""
        check_servers(self.bootstrap_servers)
        for topic in self.topics:
            check_topic(topic)


class KafkaSource:
    """Read topics partition by partition, each in its order.

    Raises
    ------
    SourceError
        If no broker answers, or a topic does not exist.

    Notes
    -----
    The client gets no deserialisers: kafka-python 3.0 hangs for ever after one raises.
    Messages that are no samples come out as `RejectedSample`; positions pass over them.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._schema: SampleSchema | None = None
        self._exhausted = False
        with self._errors("connect to the broker"):
            self._consumer = KafkaConsumer(
                bootstrap_servers=config.bootstrap_servers.split(","),
                client_id="echo-stream",
                group_id=f"echo-stream.{'.'.join(config.topics)}",
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
                fetch_min_bytes=FETCH_MIN_BYTES,
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                **COMMON_OPTIONS,
            )
        self._partitions = self._assign()
        self._next = self._limits(config.start)
        self._ends = self._limits("latest")
        self._seek_all()

    @property
    def name(self) -> str:
        """What to call the source in messages."""
        return f"topic {', '.join(self._config.topics)}"

    @property
    def is_exhausted(self) -> bool:
        """Whether every partition has reached the end that was known at the start."""
        return self._exhausted

    def next_batch(self, max_samples: int) -> Batch:
        """Wait up to a quarter of a second for messages, and decode at most max_samples."""
        with self._errors("read"):
            polled = self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=max_samples)
        # The client's order of partitions is arbitrary.
        records = [record for partition in sorted(polled) for record in polled[partition]]
        batch = self._decode([record for record in records if self._is_next(record)])
        self._notice_the_end()
        return batch

    def position(self) -> dict[str, int]:
        """Return the next offset of each "topic/partition"."""
        return {f"{tp.topic}/{tp.partition}": offset for tp, offset in sorted(self._next.items())}

    def seek(self, position: Mapping[str, int]) -> None:
        """Continue from a position. Partitions that it does not name begin at their beginning.

        Raises
        ------
        StateError
            If an offset is not in the log any more, or not yet.
        """
        first, last = self._limits("earliest"), self._limits("latest")
        for partition in self._partitions:
            offset = position.get(f"{partition.topic}/{partition.partition}", first[partition])
            if not first[partition] <= offset <= last[partition]:
                msg = (
                    f"the state continues {partition.topic}/{partition.partition} at offset "
                    f"{offset}, but the topic holds {first[partition]} to {last[partition]}; it "
                    "was recreated or its retention is too short: start with another --state"
                )
                raise StateError(msg)
            self._next[partition] = offset
        self._exhausted = False
        self._seek_all()

    def commit(self) -> None:
        """Mirror the positions to the group, for lag monitors. A failure is only logged."""
        offsets = {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in self._next.items()}
        try:
            self._consumer.commit_async(offsets, callback=_log_failure)
        except KafkaError as err:
            _log_failure(offsets, err)

    def expect(self, schema: SampleSchema) -> None:
        """Reject messages of any other schema from now on."""
        self._schema = schema

    def describe(self) -> dict[str, Any]:
        """Return what identifies the source."""
        return {"kind": "kafka", "topics": list(self._config.topics)}

    def close(self) -> None:
        """Close the client."""
        with self._errors("close the client"):
            self._consumer.close()

    def _errors(self, doing: str) -> Any:
        """Return the guard that turns the client's errors into ours."""
        return errors_for_people(self._config.bootstrap_servers, f"{doing} ({self.name})")

    def _assign(self) -> list[TopicPartition]:
        """Take all partitions of all topics."""
        found = []
        for topic in self._config.topics:
            with self._errors("look up the topic"):
                numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise self._unknown(topic)
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(found)
        return found

    def _unknown(self, topic: str) -> SourceError:
        """Return the error for a topic that does not exist."""
        with self._errors("list the topics"):
            known = sorted(self._consumer.topics())
        self._consumer.close()
        return SourceError(
            f"topic {topic} does not exist at {self._config.bootstrap_servers}; "
            f"topics there: {', '.join(known) or 'none'}"
        )

    def _limits(self, which: Literal["earliest", "latest"]) -> dict[TopicPartition, int]:
        """Return the first or the next offset of each partition, as the broker says it now."""
        ask = (
            self._consumer.beginning_offsets if which == "earliest" else self._consumer.end_offsets
        )
        with self._errors("ask for offsets"):
            return dict(ask(self._partitions))

    def _seek_all(self) -> None:
        """Tell the client where to read on."""
        for partition, offset in self._next.items():
            self._consumer.seek(partition, offset)
        self._notice_the_end()

    def _is_next(self, record: Any) -> bool:
        """Move the position past a record; False for one that has been counted already."""
        partition = TopicPartition(record.topic, record.partition)
        if record.offset < self._next[partition]:
            logger.warning("record below the position dropped: %s/%s", partition, record.offset)
            return False
        self._next[partition] = record.offset + 1
        return True

    def _decode(self, records: Sequence[Any]) -> Batch:
        """Turn records into samples of one schema, and into rejected ones."""
        samples: list[tuple[Decoded, Origin]] = []
        rejected: list[RejectedSample] = []
        for place, record in enumerate(records):
            origin = Origin(record.topic, record.partition, record.offset, record.timestamp)
            try:
                decoded = decode(record.key, record.value, record.headers, self._config.codec)
                self._check_schema(decoded)
            except (DecodeError, ShapeError) as err:
                rejected.append(_rejected(record, origin, err, place))
            else:
                samples.append((decoded, origin))
        return Batch(_as_batch(samples), rejected)

    def _check_schema(self, decoded: Decoded) -> None:
        """Refuse a sample unlike those before it; the first one decides."""
        x = decoded.x[np.newaxis]
        if self._schema is None:
            self._schema = SampleSchema.of(x)
        self._schema.check(x)

    def _notice_the_end(self) -> None:
        """Tell whether all partitions have reached their ends; markers count as read."""
        if self._config.until_end and not self._exhausted:
            self._exhausted = all(
                max(self._next[partition], self._consumer.position(partition)) >= end
                for partition, end in self._ends.items()
            )


def _as_batch(samples: list[tuple[Decoded, Origin]]) -> Samples | None:
    """Put decoded samples side by side; None if there are none."""
    if not samples:
        return None
    ids = [
        decoded.id or f"{origin.topic}-{origin.partition}-{origin.offset}"
        for decoded, origin in samples
    ]
    return Samples(
        x=np.stack([decoded.x for decoded, _ in samples]),
        ids=as_objects(ids),
        labels=as_objects([decoded.label for decoded, _ in samples]),
        origins=as_objects([origin for _, origin in samples]),
    )


def _rejected(
    record: Any, origin: Origin, err: DecodeError | ShapeError, place: int
) -> RejectedSample:
    """Return a record that is no sample, as it arrived."""
    return RejectedSample(
        reason=err.reason if isinstance(err, DecodeError) else "schema",
        message=str(err),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        origin=origin,
        place=place,
    )


def _log_failure(_offsets: object, result: object) -> None:
    """Log a commit that failed; positions are safe in the checkpoint, and the next one mends it."""
    if isinstance(result, Exception):
        logger.info("mirroring offsets failed: %s", result)
