"""Three consumers of one group that are killed, stopped, frozen and told to leave, all the time.

`make kills` kills them more often than `make test` does.
"""

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.storage.engine_files import write_generation
from tests.support.clusters import clustered, produce_words
from tests.support.commands import on
from tests.support.crashes.lives import Life, Nursery, wait_for
from tests.support.kafka.broker import Broker
from tests.support.kafka.group_stage import CONFIG, OPTIONS, PARTITIONS, Stage
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch

pytestmark = pytest.mark.real_kafka

KILLS = int(os.environ.get("ECHO_STREAM_KILLS", "10"))  # make kills sets more
N = 2_000 * KILLS
MEMBERS = 3
LEAVES_EVERY = 5  # kills, and as often one leaves in order
SESSION_MS = 2_500
OFTEN = ("--checkpoint-every", "1s", "--snapshot-every", "5s")


@dataclass(slots=True)
class Cast:
    """The members that live, of whom one after another is killed.

    Attributes
    ----------
    stage : Stage
    stack : ExitStack
        Where they end at the latest.
    words : tuple
        Options of each.
    alive : list of Life
    killed_at : list of int
        Messages that had been counted when one was killed, as the status says.
    durable : list of int
        Samples that were durable then.
    """

    stage: Stage
    stack: ExitStack
    words: tuple[object, ...]
    alive: list[Life] = field(default_factory=list)
    num_begun: int = 0
    killed_at: list[int] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)

    def join(self) -> None:
        """Let one more member join."""
        self.num_begun += 1
        member = self.stage.member(f"member-{self.num_begun}", *self.words)
        self.alive.append(self.stack.enter_context(member))

    def wait_for_all(self) -> None:
        """Wait until each of them counts partitions, and all partitions are theirs."""
        wait_for(lambda: set(self.stage.owners()) == {each.pid for each in self.alive}, *self.alive)

    def kill_at(self, n: int, member: Life) -> None:
        """SIGKILL a member once the group has counted so many messages; another one joins."""
        wait_for(lambda: self.stage.num_counted() >= n, *self.alive)
        self.killed_at.append(self.stage.num_counted())
        self.alive.remove(member)
        member.kill()
        self.durable.append(self.stage.num_durable())
        self.join()

    def replace(self, member: Life) -> None:
        """Let a member leave in order, which has begun, and another one join."""
        wait_for(lambda: member.pid in self.stage.owners(), *self.alive)
        self.alive.remove(member)
        member.leave()
        self.join()

    def freeze(self, member: Life) -> None:
        """Stop a member until the others have taken its partitions over; then it goes on."""
        others = {each.pid for each in self.alive if each is not member}
        self.stage.freeze(member)
        wait_for(lambda: set(self.stage.owners()) == others, *self.alive)
        member.signal(signal.SIGCONT)
        self.wait_for_all()
        assert "WARNING" in member.said()


def test_members_that_join_leave_and_die_count_as_one_undisturbed_run(
    broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """SIGKILLs at random places of a stream that goes on: nothing lost, nothing twice."""
    seed, samples = int(os.environ.get("ECHO_STREAM_SEED", "0")), clustered(N)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = ("--generation", write_generation(batch.generation_, tmp_path / "trained"))
    topic = make_topic(partitions=PARTITIONS)
    stage = Stage(topic, tmp_path / "state", broker, nursery, SESSION_MS)
    with ExitStack() as stack:
        cast = Cast(stage, stack, (*generation, *OFTEN))
        kill_all(
            cast, np.random.default_rng(seed), produce_words(samples, on(broker, topic), tmp_path)
        )
        print(f"{seed=} {cast.killed_at=} {cast.durable=}")  # noqa: T201 - shown when it fails
        assert len(cast.killed_at) == KILLS
        assert sum(0 < n < N for n in cast.durable) >= 0.6 * KILLS
        # They lie anywhere between two checkpoints, not at checkpoints alone.
        assert any(n < told for n, told in zip(cast.durable, cast.killed_at, strict=True))
        wait_for(lambda: stage.num_durable() == N, *cast.alive)
        cast.wait_for_all()
        wait_for(lambda: lags(stage) == [0] * PARTITIONS, *cast.alive)
        assert_status_is_of(cast)
        for member in cast.alive:
            member.leave()
    # Who has left last has cleared away what those who were killed had begun to write.
    assert list((stage.state / "members").iterdir()) == list(stage.state.rglob(".tmp-*")) == []
    alone = [*on(broker, topic), *OPTIONS, *generation, "--until-end"]
    assert nursery.succeed("run", *alone, "--state", tmp_path / "undisturbed")["n"] == N
    killed, undisturbed = (
        assert_as_the_batch(state, samples, batch)
        for state in (stage.state, tmp_path / "undisturbed")
    )
    assert killed.n == undisturbed.n == N


def kill_all(cast: Cast, rng: np.random.Generator, produce: list[object]) -> None:
    """Kill members while messages are being sent, so slowly that the stream outlasts it."""
    began = time.monotonic()
    for _ in range(MEMBERS):
        cast.join()
    cast.wait_for_all()
    limit_s = KILLS * (time.monotonic() - began + SESSION_MS / 1_000)
    sending = cast.stage.nursery.life(*produce, "--rate", N / limit_s, name="produce")
    producer = cast.stack.enter_context(sending)
    for kill in range(KILLS):
        before = cast.killed_at[-1] if kill else 0
        stretch = int(rng.integers(1, 5 * N // (4 * KILLS)))
        cast.kill_at(min(before + stretch, N), cast.alive[rng.integers(MEMBERS)])
        if kill % LEAVES_EVERY == LEAVES_EVERY - 1:
            cast.replace(cast.alive[rng.integers(MEMBERS)])
        if kill == KILLS // 2:
            cast.wait_for_all()
            cast.freeze(cast.alive[rng.integers(MEMBERS)])
    producer.finish()


def lags(stage: Stage) -> list[int | None]:
    """Return the lag of each partition, as `status` says; None where its member has not said."""
    return [each["lag_records"] for each in stage.status()["partitions"].values()]


def assert_status_is_of(cast: Cast) -> None:
    """Check what `status` says once all has been counted."""
    status: dict[str, Any] = cast.stage.status()
    pids = {member.pid for member in cast.alive}
    assert {each["pid"] for each in status["members"] if each["liveness"] == "alive"} == pids
    assert (status["liveness"], status["n"]) == ("alive", N)
    partitions = status["partitions"].values()
    assert {int(each["member"].split("-")[-2]) for each in partitions} == pids
    assert sum(each["offset"] for each in partitions) == N
