"""A member of a consumer group, with the client that is installed."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewPartitions

from echo_stream.connectors.kafka.config import CLIENT_OPTIONS
from echo_stream.connectors.kafka.group_source import Membership
from echo_stream.run.report import RunStats
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

LIMIT_S = 30.0
POLL_MS = 1  # and the broker answers between two polls
PAUSE_S = 0.05
SESSION_MS = 6_000  # the least that a broker allows


@contextmanager
def joined(
    broker: Broker, topic: str, more: Mapping[str, int] | None = None
) -> Iterator[tuple[KafkaConsumer, Membership]]:
    """Yield a client that joins a group of its own with its polls."""
    membership = Membership(topic, RunStats())
    options = {**CLIENT_OPTIONS, **membership.options(), "metadata_max_age_ms": 200, **(more or {})}
    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap, **options)) as consumer:
        membership.join(consumer, [topic])
        yield consumer, membership


def poll_until(consumer: KafkaConsumer, is_so: Callable[[], bool]) -> None:
    """Poll again and again, and never long enough for an answer."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, consumer.group_metadata()
        consumer.poll(POLL_MS)
        time.sleep(PAUSE_S)


def test_a_member_that_was_silent_for_a_session_joins_again(
    broker: Broker, make_topic: MakeTopic
) -> None:
    """What the group has assigned meanwhile is no longer its own."""
    topic = make_topic()
    session = {"session_timeout_ms": SESSION_MS, "heartbeat_interval_ms": 500}
    with joined(broker, topic, session) as (consumer, membership):
        poll_until(consumer, lambda: consumer.group_metadata().generation_id > 0)
        time.sleep(1.2 * SESSION_MS / 1_000)
        poll_until(consumer, lambda: membership.assignment(consumer) is not None)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            consumer.poll(100)
        assert membership.stats.rebalances == {"assigned": 1, "revoked": 0, "lost": 0}


def test_a_leader_whose_topic_grows_joins_again(broker: Broker, make_topic: MakeTopic) -> None:
    """Although each of its polls is over before the group has answered."""
    topic = make_topic()
    with joined(broker, topic) as (consumer, membership):

        def has(number: int) -> bool:
            assignment = membership.assignment(consumer)
            partitions = {TopicPartition(topic, each) for each in range(number)}
            return assignment is not None and assignment.partitions == partitions

        poll_until(consumer, lambda: has(1))
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
            admin.create_partitions({topic: NewPartitions(3)})
        poll_until(consumer, lambda: has(3))
