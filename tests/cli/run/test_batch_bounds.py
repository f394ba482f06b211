"""`echo-stream run` where batches of records are larger than they look."""

from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.support.commands import RAW, TINY, VALUES, answer, on
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

MEGABYTE = 1024**2
BOUNDS = ("--max-batch-bytes", MEGABYTE, "--max-message-bytes", MEGABYTE)
CODECS = ("gzip", "snappy", "lz4", "zstd")


def send_zeros(broker: Broker, topic: str, codec: str, number: int) -> None:
    """Send a batch of messages of a megabyte, which is a few kilobytes on the wire."""
    with KafkaProducer(
        bootstrap_servers=broker.bootstrap,
        compression_type=codec,
        linger_ms=60_000,
        batch_size=2 * number * MEGABYTE,
        max_request_size=2 * number * MEGABYTE,
    ) as producer:
        for _ in range(number):
            producer.send(topic, bytes(MEGABYTE))
        producer.flush()


def test_batches_of_every_codec_are_passed_over(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """All messages before and after them are counted, theirs are rejected, and none is a gap."""
    topic, state = make_topic(configs={"max.message.bytes": str(MEGABYTE)}), tmp_path / "state"
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for codec in CODECS:
            for value in VALUES[:5]:
                producer.send(topic, value)
            producer.flush()
            send_zeros(broker, topic, codec, number=3)
        producer.send(topic, VALUES[5])
    words = ["run", *on(broker, topic), *RAW, *BOUNDS, "--until-end", "--state", state, *TINY]
    report = answer(*words, "--bad-window", 25, "--max-bad-share", 0.2)
    assert (report["n"], report["rejected"], report["gaps"]) == (21, 12, 0)
    dead_letters = answer("dlq", "list", "--state", state)
    assert [dead_letter["offset"] for dead_letter in dead_letters] == [5, 13, 21, 29]
    assert [dead_letter["last_offset"] for dead_letter in dead_letters] == [7, 15, 23, 31]
    assert {
        (dead_letter["reason"], dead_letter["num_messages"]) for dead_letter in dead_letters
    } == {("batch", 3)}
    report = answer(*words)
    assert (report["n"], report["rejected"], report["samples"]) == (21, 0, 0)


def test_a_larger_bound_lets_them_in(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Then each is what it holds: here messages that are no samples."""
    topic = make_topic(configs={"max.message.bytes": str(MEGABYTE)})
    send_zeros(broker, topic, "gzip", number=3)
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for value in VALUES[:4]:
            producer.send(topic, value)
    state = tmp_path / "state"
    answer("run", *on(broker, topic), *RAW, "--until-end", "--state", state, *TINY)
    dead_letters = answer("dlq", "list", "--state", state)
    assert [(dead_letter["reason"], dead_letter["offset"]) for dead_letter in dead_letters] == [
        ("schema", offset) for offset in range(3)
    ]
