"""A real consumer on a real broker, killed and started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.coreset.snapshot import Snapshot
from tests.support.commands import newest_checkpoint
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

N = 30_000
BUDGET = 200
CHECKPOINT_EVERY = 1_000
START_SECONDS = 120  # importing torch on a busy machine takes a while
OPTIONS = ["--preset", "paper", "--budget", str(BUDGET), "--epochs", "1", "--warmup", "2000"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write thirty thousand labelled points in fifty clusters."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 50, N)
    x = rng.normal(size=(50, 32))[labels] + rng.normal(0, 0.3, (N, 32))
    path = tmp_path_factory.mktemp("data") / "points.npz"
    np.savez(path, x=x.astype(np.float32), y=labels)
    return path


def send(data: Path, topic: str, broker: Broker) -> None:
    """Send the points to a topic."""
    produce_samples([read_file(data)], ProduceConfig(topic, broker.bootstrap, "raw"))


def consumer(topic: str, state: Path, broker: Broker) -> list[str]:
    """Return the command of a consumer that stops at the end."""
    source = ["--topic", topic, "--bootstrap-servers", broker.bootstrap, "--until-end"]
    schedule = ["--checkpoint-every", str(CHECKPOINT_EVERY)]
    return [
        sys.executable, "-m", "echo_stream", "run", "--state", str(state),
        *source, *schedule, *OPTIONS,
    ]  # fmt: skip


def run_to_the_end(topic: str, state: Path, broker: Broker) -> Snapshot:
    """Run a consumer to the end and return its last snapshot."""
    subprocess.run(consumer(topic, state, broker), check=True, capture_output=True)
    return read_snapshot(find_snapshot(state, None))


def kill_half_way(topic: str, state: Path, broker: Broker) -> int:
    """Start a consumer, SIGKILL it once it is half-way, and return what it had counted."""
    command = consumer(topic, state, broker)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + START_SECONDS
        while newest_checkpoint(state)["n"] < N // 2:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
    return int(newest_checkpoint(state)["n"])


def rows_of(snapshot: Snapshot) -> list[tuple[str, str, float]]:
    """Return what identifies the rows of a coreset."""
    rows = snapshot.rows
    return list(zip(rows.samples.ids, rows.roles, rows.weights.tolist(), strict=True))


def test_a_killed_consumer_ends_with_the_coreset_of_an_undisturbed_one(
    data: Path, broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """One partition, SIGKILL half-way, start again: the same coreset, sample for sample."""
    topic = make_topic(partitions=1)
    send(data, topic, broker)
    before = kill_half_way(topic, tmp_path / "killed", broker)
    assert N // 2 <= before < N
    resumed = run_to_the_end(topic, tmp_path / "killed", broker)
    undisturbed = run_to_the_end(topic, tmp_path / "undisturbed", broker)
    assert resumed.n == undisturbed.n == N
    assert rows_of(resumed) == rows_of(undisturbed)
    assert resumed.manifest["generation"] == undisturbed.manifest["generation"]
