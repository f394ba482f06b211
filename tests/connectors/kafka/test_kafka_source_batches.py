"""A source takes batches whole from a real broker, and says which one is damaged."""

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka._client_patches import unpacking as kafka_unpacking
from echo_stream.connectors.kafka._client_patches.unpacking import unpacked
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.records import Records
from echo_stream.connectors.kafka.source import KafkaSource
from echo_stream.samples.source import RejectedSample, Skipped
from tests.support.commands import send
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic


def test_a_source_unpacks_quickly(
    broker: Broker, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the client that is installed, whose parts have no promise to stay."""
    topic, numbers, batches_of = make_topic(), 20, []

    def noted(*arguments: Any) -> Records:
        batches_of.append(arguments)
        return unpacked(*arguments)

    monkeypatch.setattr(kafka_unpacking, "unpacked", noted)
    send(broker, topic, [np.full(2, i, np.float32).tobytes() for i in range(numbers)])
    config = KafkaConfig((topic,), broker.bootstrap, CodecConfig("raw", "float32", (2,)))
    found: list[float] = []
    with closing(KafkaSource(config)) as source:
        while len(found) < numbers:
            samples = source.next_batch(numbers).samples
            found += [] if samples is None else samples.x[:, 0].tolist()
    assert found == list(range(numbers))
    assert batches_of


class NoText(str):
    """A header's name that a producer sends as bytes which are no UTF-8."""

    def encode(self, *_: str) -> bytes:
        """Return what no text has."""
        return b"\xff\xfe"


@pytest.mark.parametrize("is_transactional", [False, True])
def test_a_header_of_any_name_is_no_harm(
    broker: Broker, make_topic: MakeTopic, *, is_transactional: bool
) -> None:
    """Brokers take any bytes for it, and nothing of ours has such a name."""
    topic = make_topic()
    x = np.full(2, 7, np.float32).tobytes()
    headers: list[tuple[str, bytes | None]] = [(NoText("name"), b"value"), ("id", b"seven")]
    if is_transactional:
        with KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(topic, x, headers=headers)
            producer.commit_transaction()
    else:
        send(broker, topic, [x], headers=headers)
    config = KafkaConfig((topic,), broker.bootstrap, CodecConfig("raw", "float32", (2,)))
    with closing(KafkaSource(config)) as source:
        while (samples := source.next_batch(1).samples) is None:
            pass
    assert samples.ids.tolist() == ["seven"]


@pytest.mark.parametrize("first", [0, 5, 7])
def test_a_source_goes_on_after_a_batch_that_cannot_be_unpacked(
    broker: Broker, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """It is one dead letter for all of its messages, also where reading begins within it."""
    topic = make_topic()
    values = [np.full(2, i, np.float32).tobytes() for i in range(15)]
    with KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=60_000) as producer:
        for start in (0, 5, 10):  # at each of them a batch begins
            for value in values[start : start + 5]:
                producer.send(topic, value)
            producer.flush()

    def damaged(batch: Any, *others: Any) -> Records:
        if batch.base_offset == 5:
            msg = "not of its size"
            raise ValueError(msg)
        return unpacked(batch, *others)

    monkeypatch.setattr(kafka_unpacking, "unpacked", damaged)
    config = KafkaConfig((topic,), broker.bootstrap, CodecConfig("raw", "float32", (2,)))
    found: list[float] = []
    rejected: list[RejectedSample] = []
    with closing(KafkaSource(config)) as source:
        source.seek({f"{topic}/0": first})
        while source.offsets() != {f"{topic}/0": 15}:
            batch = source.next_batch(2)
            found += [] if batch.samples is None else batch.samples.x[:, 0].tolist()
            rejected += batch.rejected
            assert batch.skipped == Skipped()
    assert found == [*range(first, 5), *range(10, 15)]
    (message,) = rejected
    begin = max(first, 5)
    assert (message.reason, message.num_messages) == ("batch", 10 - begin)
    assert message.origin is not None
    assert (message.origin.offset, message.last_offset) == (begin, 9)
    assert message.message.endswith(f"at offsets {begin} to 9 cannot be unpacked: not of its size")
