"""`echo-stream run` while partitions are added to its topic."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaAdminClient

from tests.support.commands import (
    RAW,
    TINY,
    answer,
    command_process,
    finish,
    on,
    run_command,
    send,
    wait_until,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

X = np.random.default_rng(3).normal(size=(60, 2)).astype("<f4")
VALUES = [row.tobytes() for row in X]
SOON = ("--kafka", "metadata_max_age_ms=300", "--checkpoint-every", "500ms", "--warmup", 5)


@pytest.fixture
def grow(broker: Broker) -> Iterator[Callable[[str, int], object]]:
    """Yield what gives a topic more partitions."""
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
        yield lambda topic, number: admin.create_partitions({topic: number})


def fill(broker: Broker, topic: str, *numbers: int) -> None:
    """Send ten messages to each of some partitions, others to each."""
    for number in numbers:
        values = VALUES[10 * number : 10 * number + 10]
        send(broker, topic, values, partition=number)


def durable_offsets(state: Path) -> dict[str, Any]:
    """Return the durable offset of each partition, of a run or of a group; none before."""
    result = run_command("status", "--state", state)
    found = result.json() if result.stdout else {}
    if "members" in found:
        return {name: each["offset"] for name, each in found["partitions"].items()}
    return dict(found.get("checkpoint_offsets", {}))


@pytest.mark.parametrize("members", [0, 2], ids=["alone", "group"])
def test_added_partitions_are_counted_without_a_restart(
    broker: Broker,
    make_topic: MakeTopic,
    grow: Callable[[str, int], object],
    tmp_path: Path,
    members: int,
) -> None:
    """From their beginnings; and a restart counts nothing twice."""
    topic, state = make_topic(partitions=2), tmp_path / "state"
    run = ["run", *on(broker, topic), *RAW, "--state", state, *TINY, *SOON]
    run += ["--group", topic] if members else []
    fill(broker, topic, 0, 1)
    with ExitStack() as stack:
        processes = [stack.enter_context(command_process(*run)) for _ in range(max(members, 1))]
        old = {f"{topic}/{number}": 10 for number in range(2)}
        wait_until(lambda: durable_offsets(state) == old, processes[0])
        grow(topic, 4)
        fill(broker, topic, 2, 3)
        new = {f"{topic}/{number}": 10 for number in range(4)}
        wait_until(lambda: durable_offsets(state) == new, processes[0])
        for process in processes:
            process.terminate()
        assert {finish(process).exit_code for process in processes} == {0}
    fill(broker, topic, 2)
    report = answer(*run, "--until-end")
    assert (report["n"], report["gaps"], report["replayed"]) == (50, 0, 0)
    assert report["samples"] == 10
