"""Messages of which the consumer's process dies, on a real broker."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from echo_stream import EchoCoreset
from echo_stream.connectors.dead_letters.files import read_dead_letters
from echo_stream.connectors.storage.engine_files import write_generation
from echo_stream.samples.samples import Samples
from echo_stream.samples.validation import as_samples
from tests.support.clusters import clustered
from tests.support.commands import on
from tests.support.crashes import deadly_codec
from tests.support.crashes.lives import Ended, Nursery
from tests.support.kafka.broker import Broker
from tests.support.kafka.group_stage import CONFIG, OPTIONS
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch

pytestmark = pytest.mark.real_kafka

N = 600
PARTITIONS = 2
DEADLY = {150: deadly_codec.SEGFAULT, 151: deadly_codec.ABORT, 400: deadly_codec.END}
"""What is sent before a good message of this number."""
CODEC = f"{deadly_codec.__name__}:DeadlyCodec"
MEMBER = ("--kafka", "session_timeout_ms=2000,heartbeat_interval_ms=500")
MOST_LIVES = 2 * len(DEADLY) + 1


def send_all(broker: Broker, topic: str, samples: Samples) -> None:
    """Send samples, and between them deadly messages."""
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for row, (x, id) in enumerate(zip(samples.x, samples.ids, strict=True)):
            partition = row % PARTITIONS
            if row in DEADLY:
                producer.send(topic, DEADLY[row], b"deadly", partition=partition)
            producer.send(topic, x.tobytes(), str(id).encode(), partition=partition)
        producer.flush()


def consume(nursery: Nursery, *words: object) -> tuple[list[Ended], Any]:
    """Start a consumer until one comes to the end of the topic; return the others, and its report.

    It dies at most once of each deadly message, and once more where it had not got as far.
    """
    dead = []
    while (ended := nursery.run(*words)).exit_code != 0:
        dead.append(ended)
        assert len(dead) < MOST_LIVES, dead
    return dead, json.loads(ended.stdout)


def set_aside(state: Path) -> dict[bytes, str]:
    """Return what became dead letters, and why; one can be there twice after a crash."""
    dead_letters = [dead_letter.sample for dead_letter in read_dead_letters(state / "dead-letters")]
    assert all(dead_letter and dead_letter.reason == "decode" for dead_letter in dead_letters)
    return {
        dead_letter.value or b"": dead_letter.message for dead_letter in dead_letters if dead_letter
    }


@pytest.mark.parametrize("is_member", [False, True])
def test_deadly_messages_are_passed(
    is_member: bool, broker: Broker, make_topic: MakeTopic, nursery: Nursery, tmp_path: Path
) -> None:
    """Each becomes a dead letter, and all others are counted once, alone and in a group."""
    points = clustered(N)
    samples = as_samples(points.x, ids=points.ids)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    topic, state = make_topic(partitions=PARTITIONS), tmp_path / "state"
    send_all(broker, topic, samples)
    dead, report = consume(
        nursery, "run", *on(broker, topic), "--state", state, *OPTIONS, "--until-end",
        "--generation", generation, "--checkpoint-every", 50, "--codec", CODEC,
        *(("--group", topic, *MEMBER) if is_member else ()),
    )  # fmt: skip
    assert {ended.exit_code for ended in dead} <= {-signal.SIGSEGV, -signal.SIGABRT, 3}
    assert dead
    assert set_aside(state) == {
        deadly_codec.SEGFAULT: "killed the decoder: SIGSEGV",
        deadly_codec.ABORT: "killed the decoder: SIGABRT",
        deadly_codec.END: "killed the decoder: exit code 3",
    }
    assert report["n"] == N
    assert_as_the_batch(state, samples, batch)
    assert not list((state / "decoding").iterdir())
