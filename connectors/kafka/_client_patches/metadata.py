"""What a client knows of topics without asking a broker."""

from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition


def known_partitions(consumer: KafkaConsumer, topics: Iterable[str]) -> frozenset[TopicPartition]:
    """Return the partitions of topics that have a leader, as of the last metadata."""
    return frozenset(
        TopicPartition(topic, number)
        for topic in topics
        for number in consumer._cluster.available_partitions_for_topic(topic) or ()
    )
