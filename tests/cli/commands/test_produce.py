"""`echo-stream produce`, and the way of its messages: run, query, train."""

import time
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaConsumer

from echo_stream.connectors.kafka import sink as kafka_sink
from tests.support.commands import TINY, N, answer, content, refusal, write_data
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic, new_topic, received


def test_messages_carry_id_and_label(broker: Broker, data: Path) -> None:
    """The row number is key and header, the label a header, in the order of the rows."""
    topic = new_topic()
    shown = answer("produce", data, "--bootstrap-servers", broker.bootstrap, "--topic", topic)
    assert shown == {"topic": topic, "messages": N}
    records = received(broker, topic)
    assert [record.key for record in records] == [b"%d" % row for row in range(N)]
    assert dict(records[4].headers)["id"] == b"4"
    assert dict(records[4].headers)["label"] == b"1"


def test_topic_is_created_with_partitions(broker: Broker, data: Path) -> None:
    """--partitions is for a new topic; one that exists is used as it is."""
    topic = new_topic()
    words = ["produce", data, "--bootstrap-servers", broker.bootstrap, "--topic", topic]
    answer(*words, "--partitions", 3)
    answer(*words, "--partitions", 2)
    records = received(broker, topic)
    assert len(records) == 2 * N
    assert {record.partition for record in records} == {0, 1, 2}


@pytest.mark.parametrize("partitions", [1, 4])
def test_from_data_to_model(broker: Broker, tmp_path: Path, data: Path, partitions: int) -> None:
    """Produce, run, query, train: every sample is counted once, with its label."""
    topic, state = new_topic(), tmp_path / "state"
    kafka = ("--bootstrap-servers", broker.bootstrap, "--topic", topic)
    answer("produce", data, *kafka, "--partitions", partitions)
    report = answer("run", *kafka, "--until-end", "--state", state, *TINY)
    assert (report["n"], report["samples"], report["rejected"]) == (N, N, 0)
    (row,) = answer(
        "query",
        "SELECT sum(weight) AS weight, count(*) FILTER (label <> id::INT % 3) AS wrong, "
        "count(DISTINCT partition) AS partitions, min(topic) AS topic FROM coreset",
        "--state", state,
    )  # fmt: skip
    assert row == {
        "weight": pytest.approx(N, rel=1e-9), "wrong": 0, "partitions": partitions, "topic": topic,
    }  # fmt: skip
    shown = answer("train", "--state", state, "--model", "mlp", "--train-epochs", 1, "--test", data)
    assert (shown["snapshot"], shown["test_samples"]) == (report["snapshots"][-1], N)


@pytest.mark.parametrize("message_format", ["npy", "raw", "json"])
def test_every_format_brings_the_same_coreset(
    broker: Broker, tmp_path: Path, data: Path, message_format: str
) -> None:
    """The stream's snapshot is the one that a build of the file gives, bit for bit."""
    built = answer("build", data, "--out", tmp_path / "built", *TINY)
    kafka = ("--bootstrap-servers", broker.bootstrap, "--topic", new_topic())
    answer("produce", data, *kafka, "--message-format", message_format, "--partitions", 2)
    report = answer(
        "run", *kafka, "--until-end", "--state", tmp_path / "state", *TINY,
        "--generation", tmp_path / "built",
    )  # fmt: skip
    assert report["snapshots"] == [built["id"]]


def test_rate_slows_down(broker: Broker, tmp_path: Path) -> None:
    """At 20 messages a second, the eleventh cannot leave before half a second has passed."""
    data = write_data(tmp_path / "data.npz", 11)
    started = time.monotonic()
    kafka = ("--bootstrap-servers", broker.bootstrap, "--topic", new_topic())
    assert answer("produce", data, *kafka, "--rate", 20)["messages"] == 11
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        (("--partitions", 0), 2),
        (("--rate", 0), 2),
        (("--rate", "nan"), 2),
        (("--message-format", "csv"), 2),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_bad_options(
    broker: Broker, data: Path, options: tuple[object, ...], exit_code: int
) -> None:
    """What no broker could do is refused before one is asked: no topic is made."""
    topic = new_topic()
    kafka = ("--bootstrap-servers", broker.bootstrap, "--topic", topic)
    refusal("produce", data, *kafka, *options, exit_code=exit_code)
    with KafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        assert topic not in consumer.topics()


def test_bad_data_sends_nothing(broker: Broker, tmp_path: Path, make_topic: MakeTopic) -> None:
    """A file is checked whole, over all its chunks, before its first sample leaves."""
    x = np.zeros((N, 5_000), np.float32)  # a chunk is about a hundred of these
    x[-1, 0] = np.nan
    data = write_data(tmp_path / "data.npz", x=x)
    topic, before = make_topic(), content(tmp_path)
    refusal("produce", data, "--bootstrap-servers", broker.bootstrap, "--topic", topic, exit_code=1)
    assert received(broker, topic) == []
    assert content(tmp_path) == before


def test_a_topic_that_goes_away_ends_it_soon(
    broker: Broker, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the broker creates none; the client alone would wait for a minute."""
    monkeypatch.setattr(kafka_sink, "ensure_topic", lambda _: None)
    monkeypatch.setattr(kafka_sink, "MAX_BLOCK_MS", 1_000)
    topic = new_topic()
    words = ["produce", data, "--bootstrap-servers", broker.bootstrap, "--topic", topic]
    line = refusal(*words, exit_code=3)
    assert f"has not taken a message for topic {topic} for 1 s (0 are sent)" in line
