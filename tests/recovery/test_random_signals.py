"""SIGTERM at random times: a run ends well, and the next one goes on as if nothing had been.

`ECHO_STREAM_SEED` draws other times.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples
from tests.support.commands import TINY, command_process, finish, newest_checkpoint, on
from tests.support.crashes.lives import Nursery
from tests.support.same_coreset import outcome

N = 12_000
SIGNALS = 12
STARTING = 2  # signals while the interpreter is still importing
BUDGET_S = 25.0
AT_ONCE = {-signal.SIGTERM, 128 + signal.SIGTERM}  # before there is a run to be stopped


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Return random numbers; their seed is in the output of a test that fails."""
    seed = int(os.environ.get("ECHO_STREAM_SEED", "4"))
    print(f"seed of {request.node.name}: {seed}")  # noqa: T201
    return random.Random(seed)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a file that takes a while."""
    x = np.random.default_rng(2).normal(size=(N, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(N) % 3)
    return tmp_path / "data.npz"


@pytest.fixture(params=["file", pytest.param("topic", marks=pytest.mark.kafka)])
def source(request: pytest.FixtureRequest, data: Path) -> list[object]:
    """Return the words for reading the data from a file, or from a topic of one partition."""
    if request.param == "file":
        return [data]
    broker, make_topic = map(request.getfixturevalue, ("broker", "make_topic"))
    topic = make_topic(partitions=1)
    produce_samples([read_file(data)], ProduceConfig(topic, broker.bootstrap, "raw"))
    return [*on(broker, topic), "--until-end"]


def words(source: Sequence[object], state: Path) -> list[object]:
    """Return a run that writes checkpoints and snapshots all the time."""
    return [
        "run", *source, "--state", state, *TINY, "--warmup", 500,
        "--checkpoint-every", 1_000, "--snapshot-every", 4_000,
    ]  # fmt: skip


def test_signals_at_random_times(
    source: list[object], nursery: Nursery, tmp_path: Path, moments: random.Random
) -> None:
    """Exit code 0 within the budget, a state that loads, and in the end the same bits."""
    undisturbed, state = tmp_path / "undisturbed", tmp_path / "state"
    began = time.monotonic()
    nursery.succeed(*words(source, undisturbed))
    needed_s, expected = time.monotonic() - began, outcome(undisturbed)
    num_stopped = 0
    for _ in range(SIGNALS):
        before = newest_checkpoint(state)["n"]
        life = nursery.begin(*words(source, state))
        time.sleep(moments.uniform(0, needed_s * 2 / 3))
        told = time.monotonic()
        life.signal(signal.SIGTERM)
        ended = life.wait()
        assert time.monotonic() - told < BUDGET_S
        assert ended.exit_code == 0 or ended.exit_code in AT_ONCE, ended
        assert newest_checkpoint(state)["n"] >= before
        if ended.exit_code == 0:
            num_stopped += json.loads(ended.stdout)["end_reason"] == "stopped"
        if newest_checkpoint(state)["n"] == N:
            assert outcome(state) == expected
            shutil.rmtree(state)
    assert num_stopped >= SIGNALS // 4
    nursery.succeed(*words(source, state))
    assert outcome(state) == expected


def test_signals_while_it_starts(data: Path, tmp_path: Path, moments: random.Random) -> None:
    """A process that has not begun ends at once, as a shell expects, and leaves nothing half."""
    for _ in range(STARTING):
        with command_process(*words([data], tmp_path / "state")) as process:
            time.sleep(moments.uniform(0, 1))
            process.terminate()
            ended = finish(process)
        assert ended.exit_code in {0, *AT_ONCE}, ended
        assert "Traceback" not in ended.stderr
    assert list((tmp_path / "state").rglob(".tmp-*")) == []
