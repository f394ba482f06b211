"""Dead letters in a topic: the original and why it is none, acknowledged or said to be not."""

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from kafka import KafkaAdminClient

from echo_stream.config import EngineConfig
from echo_stream.connectors.app.consumer import consume
from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.message import PREFIX, from_record, smaller, to_message
from echo_stream.connectors.dead_letters.replay import replayable
from echo_stream.connectors.dead_letters.topic import DeadLetterTopic, read_originals, read_topic
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.records import Record
from echo_stream.connectors.kafka.sink import Message, ProduceConfig, produce_messages
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.connectors.runner.consumption import Consumption
from echo_stream.errors import InfrastructureError, SourceError
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunStats
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import ArraySource, RejectedSample
from tests.support.bad_messages import RAISES, dead_letter, messages, samples_with
from tests.support.commands import newest_checkpoint
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic, received

SMALL = {"max.message.bytes": "1000"}


def as_record(message: Message) -> Record:
    """Return a message as a consumer would get it."""
    return Record(Origin("dead letters", 1, 42, 0), *message)


def kept(broker: Broker, topic: str) -> list[RejectedSample | None]:
    """Return the dead letters of a topic."""
    return [each.sample for each in read_topic(topic, broker.bootstrap, ClientConfig())]


def opened(broker: Broker, topic: str, timeout_s: float = 20) -> DeadLetterTopic:
    """Open a topic for dead letters."""
    return DeadLetterTopic(ProduceConfig(topic, broker.bootstrap), RetryPolicy(timeout_s))


@settings(max_examples=60)
@given(messages)
def test_what_arrived_comes_back(message: RejectedSample) -> None:
    """Every byte, whatever has no value; only headers named as ours are not kept."""
    headers = tuple(header for header in message.headers if not header[0].startswith(PREFIX))
    sent = to_message(message)
    assert all(isinstance(value, bytes) for _, value in sent[2])
    assert not sent[0] is sent[1] is None
    found = from_record(as_record(sent))
    assert found.sample is not None
    assert (found.sample.headers, found.is_truncated) == (headers, False)
    assert (found.sample.key, found.sample.value) == (message.key, message.value)
    assert found.sample.origin == message.origin
    assert (found.sample.reason, found.sample.message) == (message.reason, message.message)


def test_attempts_outlive_the_round_trip() -> None:
    """A message that has been sent again is known to have been."""
    again = RejectedSample("decode", "bad", None, b"x", ((f"{PREFIX}attempts", b"2"),), None)
    assert from_record(as_record(to_message(again))).sample == again


def test_a_lost_batch_comes_back() -> None:
    """With its offsets and the number of its messages; it holds none that could be sent again."""
    batch = RejectedSample(
        "batch", "too large", None, None, (), Origin("t", 0, 3, 9), last_offset=7, num_messages=4
    )
    found = from_record(as_record(to_message(batch)))
    assert found.sample == batch
    assert replayable([found], [], max_attempts=3, originals=lambda _: {}).num_left_out == 1


def test_record_that_is_none_of_ours() -> None:
    """Somebody else's message in the topic is named, not taken for a dead letter."""
    for headers in ([], [(f"{PREFIX}reason", b"decode")]):
        assert from_record(as_record((None, b"x", headers))) == ("1:42", None, False, None)


def test_less_and_less_is_sent() -> None:
    """First the value goes, then key and headers, and then there is nothing more."""
    whole = to_message(RejectedSample("schema", "w" * 900, b"k", b"v", (("h", b"1"),), None))
    first = smaller(whole)
    assert first is not None
    assert (first[0], first[1], first[2][0]) == (b"k", b"", ("h", b"1"))
    second = smaller(first)
    assert second is not None
    assert (second[0], second[1]) == (None, b"")
    assert all(name.startswith(PREFIX) and len(value) <= 500 for name, value in second[2])
    assert smaller(second) is None
    for message in (first, second):
        assert from_record(as_record(message)).is_truncated


def test_original_with_headers_that_say_why(broker: Broker, make_topic: MakeTopic) -> None:
    """Names that monitors know from Kafka Streams and Connect."""
    topic = make_topic()
    bad = RejectedSample(
        "nonfinite", "x is NaN", b"k", b"\xff\n", (("id", b"7"),), Origin("t", 1, 42, 5),
        exception="DecodeError",
    )  # fmt: skip
    with closing(opened(broker, topic)) as dead_letters:
        dead_letters.write([bad])
        dead_letters.flush()
    (record,) = received(broker, topic)
    headers = dict(record.headers)
    engine = headers.pop(f"{PREFIX}engine")
    assert engine.startswith(b"echo-stream ")
    assert (record.key, record.value) == (b"k", b"\xff\n")
    assert headers == {
        "id": b"7",
        f"{PREFIX}reason": b"nonfinite",
        f"{PREFIX}exception": b"DecodeError",
        f"{PREFIX}message": b"x is NaN",
        f"{PREFIX}topic": b"t",
        f"{PREFIX}partition": b"1",
        f"{PREFIX}offset": b"42",
        f"{PREFIX}timestamp": b"5",
        f"{PREFIX}stage": b"decode",
        f"{PREFIX}attempts": b"1",
    }
    assert kept(broker, topic) == [bad]


def test_every_partition_is_read_to_its_end(broker: Broker, make_topic: MakeTopic) -> None:
    """Each dead letter once, partition by partition."""
    topic = make_topic(3)
    bad = [dead_letter(str(row).encode(), row) for row in range(50)]
    with closing(opened(broker, topic)) as dead_letters:
        for row in range(0, 50, 7):
            dead_letters.write(bad[row : row + 7])
            dead_letters.flush()
    found = [each.place for each in read_topic(topic, broker.bootstrap, ClientConfig())]
    places = [tuple(map(int, str(place).split(":"))) for place in found]
    assert places == sorted(set(places))
    samples = [sample for sample in kept(broker, topic) if sample is not None]
    assert sorted(int(sample.value or b"") for sample in samples) == list(range(50))


@pytest.mark.real_kafka
def test_too_large_for_the_topic(broker: Broker, make_topic: MakeTopic) -> None:
    """Its headers are there, and those beside it are whole."""
    topic = make_topic(configs=SMALL)
    large = RejectedSample(
        "decode", "no", b"k", random.Random(0).randbytes(2_000), (("id", b"7"),), None
    )
    huge = RejectedSample(
        "decode", "no", random.Random(1).randbytes(2_000), b"x", (("id", b"y" * 2_000),), None
    )
    with closing(opened(broker, topic)) as dead_letters:
        dead_letters.write([dead_letter(b"1"), large, dead_letter(b"2"), huge, dead_letter(b"3")])
        dead_letters.flush()
    found = list(read_topic(topic, broker.bootstrap, ClientConfig()))
    whole = [each.sample.value for each in found if each.sample and not each.is_truncated]
    assert sorted(value or b"" for value in whole) == [b"1", b"2", b"3"]
    cut = [each.sample for each in found if each.is_truncated]
    assert {(each.key, each.value, each.headers) for each in cut if each} == {
        (b"k", b"", (("id", b"7"),)),
        (None, b"", ()),
    }


def test_parts_are_sent_of_what_is_too_large(broker: Broker, make_topic: MakeTopic) -> None:
    """As much as the limit says, with the size of the whole."""
    topic, stats = make_topic(), RunStats()
    config = ProduceConfig(topic, broker.bootstrap)
    with closing(
        DeadLetterTopic(config, limits=DeadLetterLimits(10, 2**16), stats=stats)
    ) as dead_letters:
        dead_letters.write([dead_letter(b"x" * 11), dead_letter(b"y" * 10)])
        dead_letters.flush()
    found = list(read_topic(topic, broker.bootstrap, ClientConfig()))
    assert [(each.sample and each.sample.value, each.size_bytes) for each in found] == [
        (b"x" * 10, 11), (b"y" * 10, None),
    ]  # fmt: skip
    assert stats.dead_letters_truncated == 1


@pytest.mark.real_kafka
def test_the_whole_is_read_from_its_topic(broker: Broker, make_topic: MakeTopic) -> None:
    """Where it is still there, and begins as the part does; from elsewhere nothing comes."""
    topic = make_topic()
    produce_messages(
        [(b"k", value, [("h", b"1")]) for value in (b"first", b"x" * 700_000)],
        ProduceConfig(topic, broker.bootstrap),
    )
    *_, record = received(broker, topic)
    part = RejectedSample("decode", "no", b"k", b"x" * 10, (("h", b"1"),),
                          Origin(topic, 0, 1, record.timestamp))  # fmt: skip
    assert part.origin is not None
    elsewhere = (
        replace(part, origin=part.origin._replace(offset=0)),
        replace(part, origin=part.origin._replace(offset=2)),
        replace(part, origin=part.origin._replace(topic="echo-stream-none")),
        replace(part, origin=None),
    )
    found = read_originals([*elsewhere, part], broker.bootstrap, ClientConfig())
    assert found == {part.origin: replace(part, value=b"x" * 700_000)}


@pytest.mark.real_kafka
def test_topic_that_is_away(broker: Broker, make_topic: MakeTopic, admin: KafkaAdminClient) -> None:
    """The flush says so and keeps what was not acknowledged; later all of it is there."""
    topic = make_topic()
    with closing(opened(broker, topic, timeout_s=1)) as dead_letters:
        admin.delete_topics([topic])
        dead_letters.write([dead_letter(b"1")])
        words = rf"cannot send 1 dead letters to topic {topic} .* [Nn]othing has been skipped"
        with pytest.raises(InfrastructureError, match=words):
            dead_letters.flush()
        dead_letters.write([dead_letter(b"2")])
        admin.create_topics(
            {topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
        )
        dead_letters.flush()
    found = [sample.value for sample in kept(broker, topic) if sample is not None]
    assert sorted(value or b"" for value in found) == [b"1", b"2"]


def test_topic_to_read_that_is_not_there(broker: Broker) -> None:
    """It is named, and not created."""
    with pytest.raises(SourceError, match="there is no topic echo-stream-none"):
        kept(broker, "echo-stream-none")


@pytest.mark.real_kafka
def test_checkpoint_does_not_pass_what_is_not_acknowledged(
    broker: Broker, make_topic: MakeTopic, admin: KafkaAdminClient, tmp_path: Path
) -> None:
    """The run ends, the last checkpoint is from before, and the next run sends what is missing."""
    topic = make_topic()
    samples = samples_with({40: RAISES})
    features = "tests.support.bad_messages:picky"
    engine = EngineConfig(budget=8, warmup=25, features=features, auto_regenerate=False)
    config = RunConfig(checkpoint_every=Every(samples=10))

    def without_topic(_: RunStats) -> DeadLetterTopic:
        dead_letters = opened(broker, topic, timeout_s=1)
        admin.delete_topics([topic])
        return dead_letters

    def source() -> ArraySource:
        return ArraySource(samples)

    with pytest.raises(InfrastructureError, match="othing has been skipped"):
        consume(Consumption(source, tmp_path, engine, config, open_dead_letters=without_topic))
    assert newest_checkpoint(tmp_path)["offsets"]["row"] <= 40
    given = Consumption(
        source, tmp_path, engine, config, open_dead_letters=lambda _: opened(broker, topic)
    )
    report = consume(given)
    assert (report.n, report.rejected) == (59, 1)
    (sent,) = kept(broker, topic)
    assert sent is not None
    assert (sent.reason, sent.key) == ("feature", b"40")
