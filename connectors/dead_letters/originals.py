"""The original messages of dead letters that were cut, read from their topics."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import chain

from kafka import KafkaConsumer, TopicPartition

from echo_stream.connectors.dead_letters.topic import POLL_TIMEOUT_MS, open_reader
from echo_stream.connectors.kafka.client import errors_for_people
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.records import Record
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample

WAIT_S = 10.0  # for one message


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
        closing(open_reader(servers, client)) as consumer,
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
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and consumer.position(partition) <= origin.offset:
        for chunks in consumer.poll(POLL_TIMEOUT_MS, max_records=1).values():
            records: Iterator[Record] = chain.from_iterable(each.unpacked() for each in chunks)
            return next((record for record in records if record.origin == origin), None)
    return None


def _is_of(part: RejectedSample, record: Record) -> bool:
    """Tell whether a record is what a part was cut off."""
    return (
        (record.key or b"").startswith(part.key or b"")
        and (record.value or b"").startswith(part.value or b"")
        and (not part.headers or tuple(record.headers) == part.headers)
    )
