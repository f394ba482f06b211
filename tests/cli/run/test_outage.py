"""A consumer on the command line whose broker goes away in the middle of a run, or its log."""

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaAdminClient, TopicPartition

from tests.support.commands import (
    TINY,
    answer,
    command_process,
    finish,
    newest_checkpoint,
    on,
    send,
    wait_until,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

N = 240
VALUES = [x.tobytes() for x in np.random.default_rng(3).normal(size=(N, 4)).astype(np.float32)]


@pytest.fixture
def topic(restartable_broker: Broker, make_topic: MakeTopic) -> str:
    """Return a topic with the first half of the values."""
    name = make_topic()
    send(restartable_broker, name, VALUES[: N // 2])
    return name


@pytest.fixture
def words(restartable_broker: Broker, topic: str) -> list[object]:
    """Return a run that checkpoints often, without its state."""
    raw = ["--message-format", "raw", "--dtype", "float32", "--shape", "4"]
    options = [*on(restartable_broker, topic), *raw, *TINY, "--warmup", 50]
    return ["run", *options, "--checkpoint-every", "200ms"]


def test_broker_that_does_not_come_back(
    restartable_broker: Broker, topic: str, words: list[object], tmp_path: Path
) -> None:
    """After the time-out the run ends with a checkpoint and exit code 3; the state goes on."""
    state = tmp_path / "state"
    words = [*words, "--state", state]
    with command_process(*words, "--broker-timeout", "4s") as process:
        wait_until(lambda: newest_checkpoint(state)["n"] == N // 2, process)
        restartable_broker.stop()
        result = finish(process)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no broker at 127.0.0.1:" in result.stderr.splitlines()[-1]
    assert "start again when it is back" in result.stderr
    assert newest_checkpoint(state)["n"] == N // 2
    restartable_broker.start()
    send(restartable_broker, topic, VALUES[N // 2 :])
    resumed = answer(*words, "--until-end")
    assert (resumed["samples"], resumed["n"]) == (N // 2, N)


def test_log_that_the_disk_has_damaged(
    restartable_broker: Broker, topic: str, words: list[object], tmp_path: Path
) -> None:
    """What came before is counted; exit code 3 and a line name the batch, again and again.

    Where it stays so, its messages are given up at the broker: they are a gap then.
    """
    send(restartable_broker, topic, VALUES[N // 2 :])
    restartable_broker.stop()
    (segment,) = restartable_broker.log.parent.glob(f"data/{topic}-0/*.log")
    content = bytearray(segment.read_bytes())
    content[content.rindex(VALUES[-1])] ^= 1
    segment.write_bytes(content)
    restartable_broker.start()
    state = tmp_path / "state"
    for _ in range(2):
        with command_process(*words, "--state", state) as process:
            result = finish(process)
        assert (result.exit_code, result.stdout) == (3, "")
        said = r"at offsets (\d+) to (\d+) is not what was written; start again"
        ((first, last),) = re.findall(said, result.stderr)
        assert N // 2 <= int(first) == newest_checkpoint(state)["n"] <= int(last) < N
    behind, lost = int(last) + 1, int(last) + 1 - int(first)
    with closing(KafkaAdminClient(bootstrap_servers=restartable_broker.bootstrap)) as admin:
        admin.delete_records({TopicPartition(topic, 0): behind})
    send(restartable_broker, topic, VALUES[:3])
    report = answer(*words, "--state", state, "--until-end", "--accept-source")
    assert (report["samples"], report["n"]) == (N + 3 - behind, N + 3 - lost)
    assert report["gaps"] == lost
