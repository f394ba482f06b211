"""Records as the client hands them out, and what waits of them in a source."""

from typing import NamedTuple

import numpy as np
from kafka import TopicPartition

from echo_stream.connectors.codecs import CodecConfig, Headers
from echo_stream.connectors.kafka.offsets import Offsets
from echo_stream.connectors.kafka.queue import WaitingRecords
from echo_stream.connectors.kafka.records import Records

RAW = CodecConfig("raw", "float32", (2,))


class Record(NamedTuple):
    """What is looked at of a record of the client's."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int
    topic: str = "events"
    partition: int = 3
    timestamp: int = 1_700_000_000_000


def records(*messages: tuple[bytes | None, bytes | None, Headers]) -> list[Record]:
    """Return messages as records, one offset after another."""
    return [Record(*message, offset) for offset, message in enumerate(messages)]


def raw(*values: float) -> bytes:
    """Return float32 numbers as raw bytes."""
    return np.array(values, np.float32).tobytes()


def waiting(given: list[Record]) -> WaitingRecords:
    """Let records wait as a source does."""
    partition = TopicPartition("events", 3)
    found = WaitingRecords(Offsets({partition: 0}))
    found.extend([(partition, Records.of(given))])
    return found
