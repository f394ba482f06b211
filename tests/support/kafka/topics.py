"""Topics: named, and read whole."""

import uuid
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tests.support.kafka.broker import Broker


def new_topic() -> str:
    """Return the name of a topic that does not exist."""
    return f"echo-stream-test-{uuid.uuid4().hex}"


def received(broker: Broker, topic: str) -> list[Any]:
    """Return the records of a topic, partition by partition."""
    with KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=None) as consumer:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = sum(consumer.end_offsets(partitions).values())
        records: list[Any] = []
        # An empty answer after ten seconds ends the loop too: the assertion then fails.
        while len(records) < ends and (batches := consumer.poll(timeout_ms=10_000)):
            records += [record for batch in batches.values() for record in batch]
    return sorted(records, key=lambda record: (record.partition, record.offset))


MakeTopic = Callable[..., str]
