"""`echo-stream run` on a stream of which nothing comes."""

from pathlib import Path
from typing import Any

import pytest

from echo_stream.connectors.storage.units import list_units, read_manifest
from tests.support.commands import (
    RAW,
    TINY,
    VALUES,
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


def newest(state: Path) -> int:
    """Return the number of the newest checkpoint, 0 before there is one."""
    units = list_units(state / "checkpoints")
    return int(read_manifest(units[-1])["sequence"]) if units else 0


def test_an_idle_stream_writes_no_checkpoints(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """The last one is found to be whole at each interval, until something comes."""
    topic, state = make_topic(), tmp_path / "state"
    send(broker, topic, VALUES[:10])
    words = ["run", *on(broker, topic), *RAW, "--state", state, *TINY, "--warmup", 5]
    with command_process(*words, "--checkpoint-every", "100ms") as process:
        # At the beginning, and once ten samples are counted.
        wait_until(lambda: newest(state) and counted(state) == 10, process)
        written, before = newest(state), checkpoints(state)
        wait_until(lambda: checkpoints(state) > before + 5, process)
        assert newest(state) == written
        send(broker, topic, VALUES[10:12])
        wait_until(lambda: counted(state) == 12, process)
        process.terminate()
        assert finish(process).exit_code == 0


def told(state: Path) -> dict[str, Any]:
    """Return what the run tells of itself; nothing before it does."""
    result = run_command("status", "--state", state)
    return dict(result.json()) if result.stdout else {}


def counted(state: Path) -> int:
    """Return the durable offset in the only partition."""
    return sum(told(state).get("checkpoint_offsets", {}).values())


def checkpoints(state: Path) -> int:
    """Return how many checkpoints the run has come to."""
    return int(told(state)["checkpoints"])
