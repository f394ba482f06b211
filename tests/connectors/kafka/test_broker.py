"""The broker that tests are given does what the tests of the connectors rely on."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.support.kafka.apache_kafka import BrokerError
from tests.support.kafka.broker import Broker, choose_broker

MakeTopic = Callable[..., str]

needs_kcat = pytest.mark.skipif(
    shutil.which("kcat") is None, reason="needs kcat (Debian package kcat)"
)


def send(broker: Broker, topic: str, numbers: range, *, partitions: int = 1) -> None:
    """Send a message for each number, to the partition of the number modulo partitions."""
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for number in numbers:
            producer.send(
                topic,
                key=b"key %d" % number,
                value=b"value %d" % number,
                headers=[("number", b"%d" % number)],
                partition=number % partitions,
            )
        producer.flush()


def receive(broker: Broker, topic: str) -> tuple[dict[int, int], list[Any]]:
    """Return the end offset of each partition and the records before it, oldest first."""
    with KafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=None, enable_auto_commit=False
    ) as consumer:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        # An empty answer after ten seconds ends the loop too: the caller's assertion then fails.
        while len(records) < sum(ends.values()) and (batches := consumer.poll(timeout_ms=10_000)):
            records.extend(record for batch in batches.values() for record in batch)
    return {partition.partition: end for partition, end in ends.items()}, records


@pytest.mark.real_kafka
def test_broker_keeps_every_message(broker: Broker, make_topic: MakeTopic) -> None:
    """A thousand messages come back whole, and the end offsets count them exactly."""
    topic = make_topic(partitions=4)
    send(broker, topic, range(1_000), partitions=4)
    ends, records = receive(broker, topic)
    assert ends == dict.fromkeys(range(4), 250)
    assert len(records) == 1_000
    for record in records:
        number = 4 * record.offset + record.partition
        assert record.key == b"key %d" % number
        assert record.value == b"value %d" % number
        assert list(record.headers) == [("number", b"%d" % number)]


@pytest.mark.real_kafka
@pytest.mark.parametrize("end", [Broker.stop, Broker.kill])
def test_restart_keeps_data(
    restartable_broker: Broker, make_topic: MakeTopic, end: Callable[[Broker], None]
) -> None:
    """Messages from before a stop or a kill are there after it, at the same address."""
    topic = make_topic()
    send(restartable_broker, topic, range(10))
    end(restartable_broker)
    restartable_broker.start()
    send(restartable_broker, topic, range(10, 20))
    _, records = receive(restartable_broker, topic)
    assert [record.value for record in records] == [b"value %d" % n for n in range(20)]


@needs_kcat
@pytest.mark.real_kafka
def test_foreign_producer_is_read(broker: Broker, make_topic: MakeTopic) -> None:
    """Messages that kcat, built on another client library, produces are read with their keys."""
    topic = make_topic()
    command = ["kcat", "-P", "-b", broker.bootstrap, "-t", topic, "-K", ":"]
    subprocess.run([*command, "-H", "from=kcat"], input=b"a:1\nb:2\n", check=True, timeout=60)
    _, records = receive(broker, topic)
    assert [(record.key, record.value) for record in records] == [(b"a", b"1"), (b"b", b"2")]
    assert {header for record in records for header in record.headers} == {("from", b"kcat")}


def test_existing_broker_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broker named by the environment is used as it is, and is not ours to restart."""
    monkeypatch.setenv("ECHO_STREAM_TEST_BOOTSTRAP", "127.0.0.1:9092")
    chosen = choose_broker(tmp_path)
    assert chosen.bootstrap == "127.0.0.1:9092"
    assert chosen.is_apache
    assert not chosen.can_restart


def test_required_apache_kafka_without_java_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where Apache Kafka is required, a machine without Java and Maven is told what it lacks."""
    monkeypatch.delenv("ECHO_STREAM_TEST_BOOTSTRAP", raising=False)
    monkeypatch.setenv("ECHO_STREAM_REQUIRE_APACHE_KAFKA", "1")
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    with pytest.raises(BrokerError, match=r"default-jre-headless.*Debian package maven"):
        choose_broker(tmp_path)


def test_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error of a broker that ends at once carries the end of its log."""
    script = "echo no space left; exit 3"
    command = ("sh", "-c", script)
    doomed = Broker("127.0.0.1:1", is_apache=False, command=command, log=tmp_path / "log")
    with pytest.raises(BrokerError, match="no space left"):
        doomed.start()
