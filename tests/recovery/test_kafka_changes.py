"""Late labels, tombstones and replaced samples on a real broker, through kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from tests.support.commands import newest_checkpoint
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

N = 8_000  # samples; more come with labels and tombstones
KEYS = 3_500  # so that samples are replaced, and some of them have been dropped before
KILLS = (0.3, 0.7)  # of the topic
DEADLINE_SECONDS = 120  # importing torch on a busy machine takes a while
OPTIONS = [
    "--until-end", "--preset", "paper", "--latent", "identity", "--budget", "100",
    "--warmup", "1500", "--on-duplicate", "replace", "--checkpoint-every", "150",
]  # fmt: skip


def send_all(topic: str, broker: Broker) -> int:
    """Send samples, and between them labels and tombstones; return how many messages."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 2)).astype(np.float32)
    keys = rng.integers(0, KEYS, (N, 3))
    headers = [("dtype", b"float32"), ("shape", b"2")]
    num_messages = 0
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for row in range(N):
            mine, labelled, gone = (str(key) for key in keys[row])
            producer.send(topic, key=mine.encode(), value=x[row].tobytes(), headers=headers)
            num_messages += 1
            if row % 2:
                value = json.dumps({"change": "label", "id": labelled, "y": f"late {row}"}).encode()
                producer.send(topic, value=value)
                num_messages += 1
            if row % 11 == 0:
                producer.send(topic, key=gone.encode(), value=None)
                num_messages += 1
        producer.flush()
    return num_messages


def consumer(topic: str, state: Path, broker: Broker) -> list[str]:
    """Return the command of a consumer that stops at the end."""
    source = ["--topic", topic, "--bootstrap-servers", broker.bootstrap]
    return [sys.executable, "-m", "echo_stream", "run", "--state", str(state), *source, *OPTIONS]


def kill_beyond(offset: int, command: list[str], state: Path, name: str) -> int:
    """Start a consumer, SIGKILL it once a checkpoint is beyond an offset; return the last one."""

    def reached() -> int:
        return int(newest_checkpoint(state).get("offsets", {}).get(name, 0))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while reached() < offset:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    return reached()


def final(command: list[str], state: Path) -> tuple[dict[str, Any], Any, bytes]:
    """Consume to the end; return the report, and the engine in the last checkpoint."""
    done = subprocess.run(command, check=True, capture_output=True)
    unit = max(state.glob("checkpoints/0*"))
    engine = newest_checkpoint(state)["engine"]
    return json.loads(done.stdout), engine, (unit / "sketch.safetensors").read_bytes()


def test_killed_consumers_end_as_an_undisturbed_one(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """One partition, two SIGKILLs: the same bits, labels, forgotten ids and counts included."""
    topic = make_topic(partitions=1)
    num_messages = send_all(topic, broker)
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = consumer(topic, killed, broker)
    for share in KILLS:
        offset = int(share * num_messages)
        assert offset <= kill_beyond(offset, command, killed, f"{topic}/0") < num_messages
    report, engine, sketch = final(command, killed)
    expected, its_engine, its_sketch = final(consumer(topic, undisturbed, broker), undisturbed)
    assert engine == its_engine
    assert sketch == its_sketch
    assert report["snapshots"] == expected["snapshots"]
    counts = {name: count for name, count in expected.items() if name.startswith("num_")}
    assert counts == {name: report[name] for name in counts}
    assert counts.pop("num_held_out") == 0
    assert all(counts.values()), counts
    assert (expected["samples"], expected["rejected"], counts["num_arrived"]) == (N, 0, N)
    assert counts["num_labelled"] + counts["num_label_missed"] == N // 2
    assert expected["n"] == N - counts["num_forgotten"] - counts["num_replaced"]
