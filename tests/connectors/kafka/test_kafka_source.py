"""Topics that change while they are read."""

from contextlib import closing

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.group_source import GroupSource
from echo_stream.connectors.kafka.poller import KafkaPoller
from echo_stream.connectors.kafka.source import KafkaSource
from echo_stream.errors import ConfigError, OffsetsError, StateError
from echo_stream.run.report import RunStats
from echo_stream.samples.source import Skipped
from tests.support.commands import send
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

VALUE = np.ones(2, np.float32).tobytes()
KEPT = {"retention.ms": "-1"}  # messages of 1970 would be deleted at once
CODEC = CodecConfig("raw", "float32", (2,))


def opened(broker: Broker, *topics: str, start: object = "earliest") -> KafkaSource:
    """Open topics."""
    return KafkaSource(KafkaConfig(topics, broker.bootstrap, CODEC, start))  # type: ignore[arg-type]  # parsed elsewhere


def read(source: KafkaSource, number: int) -> None:
    """Read so many samples."""
    while number:
        samples = source.next_batch(number).samples
        number -= 0 if samples is None else len(samples)


def test_log_that_loses_its_beginning_while_it_is_read(
    broker: Broker,
    make_topic: MakeTopic,
    admin: KafkaAdminClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that is too slow is told what is gone, not sent to another offset."""
    topic = make_topic()
    send(broker, topic, [VALUE] * 10)
    begin = KafkaPoller.begin

    def too_late(poller: KafkaPoller, positions: dict[TopicPartition, int]) -> None:
        admin.delete_records({TopicPartition(topic, 0): 6})
        begin(poller, positions)

    monkeypatch.setattr(KafkaPoller, "begin", too_late)
    with closing(opened(broker, topic)) as source:
        with pytest.raises(OffsetsError, match=r"/0 is counted up to offset 0, .* begins at 6 "):
            read(source, 10)
        assert source.offsets() == {f"{topic}/0": 0}


def test_topic_recreated_while_it_is_read(
    broker: Broker, make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    """Before offsets are stored, the broker is asked whether the topic is still the same."""
    topic = make_topic()
    send(broker, topic, [VALUE] * 10)
    with closing(opened(broker, topic)) as source:
        before = source.describe()
        read(source, 5)
        assert source.describe() == before
        read(source, 1)
        admin.delete_topics([topic])
        again = {topic: {"num_partitions": 1, "replication_factor": 1}}
        admin.create_topics(again, wait_for_metadata=True)
        with pytest.raises(StateError, match=f"the id of topic {topic} was"):
            source.describe()


def test_rebalances_of_a_group_are_counted(broker: Broker, make_topic: MakeTopic) -> None:
    """What is assigned, and what is handed over when a second member joins."""
    config = KafkaConfig((topic := make_topic(partitions=2),), broker.bootstrap, CODEC)
    stats, other = RunStats(), RunStats()
    with closing(GroupSource(config, topic, stats)) as source:
        joined(source, 2)
        assert stats.rebalances == {"assigned": 1, "revoked": 0, "lost": 0}
        with closing(GroupSource(config, topic, other)) as second:
            joined(second, 1)
            joined(source, 1)
        assert stats.rebalances == {"assigned": 1, "revoked": 1, "lost": 0}
        assert other.rebalances["assigned"] == 1


def joined(source: GroupSource, number: int) -> None:
    """Wait until so many partitions are assigned to a member."""
    while (assignment := source.assignment()) is None or len(assignment.partitions) != number:
        source.wait()


def test_order_of_topics_does_not_matter(broker: Broker, make_topic: MakeTopic) -> None:
    """Nor do repetitions: it is the same source."""
    one, two = make_topic(), make_topic()
    with (
        closing(opened(broker, one, two)) as source,
        closing(opened(broker, two, one, two)) as turned,
    ):
        assert turned.describe() == source.describe()
        assert (turned.name, turned.offsets()) == (source.name, source.offsets())
        turned.recognise(source.describe())


def test_other_topics_are_another_source(broker: Broker, make_topic: MakeTopic) -> None:
    """One more, one less, or a file: a state is of the topics that it was begun with."""
    one, two = make_topic(), make_topic()
    with closing(opened(broker, one)) as source, closing(opened(broker, one, two)) as both:
        for description in (both.describe(), {"kind": "file", "path": "x", "sha256": "0"}):
            with pytest.raises(StateError, match="give another state"):
                source.recognise(description)


def test_start_at_a_time_or_an_offset(broker: Broker, make_topic: MakeTopic) -> None:
    """A partition without anything so late begins at its end, one without an offset at its own."""
    topic = make_topic(partitions=3, configs=KEPT)
    for partition in (0, 1):
        for second in range(5 * (partition + 1)):
            send(broker, topic, [VALUE], partition=partition, timestamp_ms=1_000 * (second + 1))
    starts = {
        "earliest": [0, 0, 0],
        "latest": [5, 10, 0],
        1_000: [0, 0, 0],
        3_001: [3, 3, 0],
        5_001: [5, 5, 0],
        10_001: [5, 10, 0],
    }
    for start, offsets in starts.items():
        with closing(opened(broker, topic, start=start)) as source:
            assert list(source.offsets().values()) == offsets, start
    with closing(opened(broker, topic, start={(topic, 1): 7})) as source:
        assert source.offsets() == {f"{topic}/0": 0, f"{topic}/1": 7, f"{topic}/2": 0}
    with pytest.raises(ConfigError, match="give one from 0 to 10"):
        opened(broker, topic, start={(topic, 1): 11})


def test_markers_and_aborted_messages_at_the_end_are_passed(
    broker: Broker, make_topic: MakeTopic
) -> None:
    """Nothing is to be counted there: the lag is 0, and a restart does not read them again."""
    topic = make_topic()
    with KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic) as producer:
        producer.init_transactions()
        for number, end in ((3, "commit"), (2, "abort"), (1, "abort")):
            producer.begin_transaction()
            for _ in range(number):
                producer.send(topic, VALUE)
            producer.flush()
            getattr(producer, f"{end}_transaction")()
    with closing(opened(broker, topic)) as source:
        skipped = Skipped()
        while source.offsets() != {f"{topic}/0": 9}:
            skipped = skipped.plus(source.next_batch(10).skipped)
        skipped = skipped.plus(source.next_batch(10).skipped)
        assert source.progress()[f"{topic}/0"].end == 9
    assert skipped == Skipped(gaps=1 + (2 + 1) + (1 + 1))


def test_lag_counts_partitions_that_are_added(
    broker: Broker, make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    """From the moment on at which the client has heard of them."""
    topic = make_topic()
    client = ClientConfig(options={"metadata_max_age_ms": 200})
    config = KafkaConfig((topic,), broker.bootstrap, CODEC, client=client)
    with closing(KafkaSource(config)) as source:
        admin.create_partitions({topic: 3})
        send(broker, topic, [VALUE] * 5, partition=2)
        while f"{topic}/2" not in source.progress():
            samples = source.next_batch(1).samples
        counted = 0 if samples is None else len(samples)
        assert source.progress()[f"{topic}/2"].end == 5
        assert source.offsets() == {f"{topic}/0": 0, f"{topic}/1": 0, f"{topic}/2": counted}
        read(source, 5 - counted)


def test_partitions_that_are_added_wait_for_the_next_run_until_the_end(
    broker: Broker, make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    """The end is that of the topic as it was."""
    topic = make_topic()
    send(broker, topic, [VALUE])
    client = ClientConfig(options={"metadata_max_age_ms": 100})
    config = KafkaConfig((topic,), broker.bootstrap, CODEC, until_end=True, client=client)
    with closing(KafkaSource(config)) as source:
        admin.create_partitions({topic: 2})
        while not source.is_exhausted:
            source.next_batch(1)
        assert source.offsets() == {f"{topic}/0": 1}
