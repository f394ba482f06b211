"""A consumer that is killed again and again while its topics are being written.

`make kills` kills it more often than `make test` does.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.storage.engine_files import write_generation
from echo_stream.samples.samples import Samples
from tests.support.clusters import clustered, produce_words
from tests.support.commands import answer, newest_checkpoint, on
from tests.support.crashes.lives import Life, Nursery, wait_for
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch, certified

pytestmark = pytest.mark.real_kafka

KILLS = int(os.environ.get("ECHO_STREAM_KILLS", "10"))  # make kills sets more
N = 2_000 * KILLS
PARTITIONS = 4
LIFE_S = 1.5  # what a process has between its start and its kill: it tells its status each second
CONFIG = EngineConfig(budget=100, preset="paper", epochs=1)
OPTIONS = ("--preset", "paper", "--budget", 100, "--epochs", 1, "--checkpoint-every", "150ms")


@dataclass(slots=True)
class Lives:
    """A state, whose processes are killed one after another.

    Attributes
    ----------
    words : list
        The command that each of them runs.
    state : Path
    nursery : Nursery
    killed_at : list of int
        Messages that a process had counted when it was killed, as its status says.
    durable : list of int
        Messages that the newest checkpoint has counted then.
    """

    words: list[object]
    state: Path
    nursery: Nursery
    killed_at: list[int] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)

    @contextmanager
    def life(self) -> Iterator[Life]:
        """Start a process, and lend it when it reads the topic."""
        with self.nursery.life(*self.words, name="killed") as process:
            wait_for(lambda: self.counted(process) >= 0, process)
            yield process

    def counted(self, process: Life) -> int:
        """Return how many messages a process says that it has counted, -1 while it starts."""
        if not self.state.exists():
            return -1
        told = answer("status", "--state", self.state)
        if told.get("pid") != process.pid or told["phase"] != "running":
            return -1
        return sum(told["offsets"].values())

    def kill_at(self, n: int, process: Life) -> None:
        """SIGKILL a process once it has counted so many messages."""
        wait_for(lambda: self.counted(process) >= n, process)
        self.killed_at.append(self.counted(process))
        process.kill()
        self.durable.append(newest_checkpoint(self.state)["n"])

    @property
    def num_between(self) -> int:
        """How many of the kills lie between the first and the last checkpoint."""
        return sum(0 < n < N for n in self.durable)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Return labelled points in fifty clusters, each with its id."""
    return clustered(N)


@pytest.fixture(scope="module")
def batch(samples: Samples) -> EchoCoreset:
    """Return an engine that has counted all of them at once."""
    return EchoCoreset.from_config(CONFIG).fit_source(samples)


@pytest.fixture
def words(
    batch: EchoCoreset, broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> list[object]:
    """Return the command of a consumer of an empty topic, without its state."""
    generation = write_generation(batch.generation_, tmp_path / "trained")
    topic = make_topic(partitions=PARTITIONS)
    return ["run", *on(broker, topic), *OPTIONS, "--generation", generation]


def test_killed_again_and_again_it_ends_as_an_undisturbed_one(
    samples: Samples, batch: EchoCoreset, words: list[object], nursery: Nursery, tmp_path: Path
) -> None:
    """SIGKILLs at random places of a stream that goes on: nothing lost, nothing twice."""
    seed = int(os.environ.get("ECHO_STREAM_SEED", "0"))
    lives = Lives([*words, "--state", tmp_path / "killed"], tmp_path / "killed", nursery)
    kill_all(lives, np.random.default_rng(seed), produce_words(samples, words[1:5], tmp_path))
    print(f"{seed=} {lives.killed_at=} {lives.durable=}")  # noqa: T201 - shown when it fails
    assert len(lives.killed_at) == KILLS
    assert lives.num_between >= 0.6 * KILLS
    # They lie anywhere between two checkpoints, not at checkpoints alone.
    assert any(n < n_told for n, n_told in zip(lives.durable, lives.killed_at, strict=True))
    for state in (tmp_path / "killed", tmp_path / "undisturbed"):
        run_to_the_end(words, state)
    killed, undisturbed = (
        certified(assert_as_the_batch(state, samples, batch))
        for state in (tmp_path / "killed", tmp_path / "undisturbed")
    )
    common = killed.keys() & undisturbed.keys()
    assert common
    assert {place: killed[place] for place in common} == {
        place: undisturbed[place] for place in common
    }


def kill_all(lives: Lives, rng: np.random.Generator, produce: list[object]) -> None:
    """Start a process, and kill it and start the next one while messages are being sent.

    They are sent so slowly that the stream outlasts the kills on this machine as it is.
    """
    with ExitStack() as stack:
        began = time.monotonic()
        for kill in range(KILLS):
            with lives.life() as process:
                if kill == 0:
                    limit_s = KILLS * (time.monotonic() - began + LIFE_S)
                    produce = [*produce, "--rate", N / limit_s]
                    sending = lives.nursery.life(*produce, name="produce")
                    producer = stack.enter_context(sending)
                before = lives.killed_at[-1] if kill else 0
                stretch = int(rng.integers(1, 3 * N // (2 * KILLS)))
                lives.kill_at(min(before + stretch, N), process)
        producer.finish(limit_s)


def run_to_the_end(words: list[object], state: Path) -> None:
    """Run a consumer to the end of the topic."""
    report: dict[str, Any] = answer(*words, "--until-end", "--state", state)
    assert (report["n"], report["gaps"], report["rejected"]) == (N, 0, 0)
