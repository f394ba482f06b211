"""Real consumers of one group on a real broker: they join, leave, are stopped and killed."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.claims import Claims
from echo_stream.connectors.engine_files import write_generation
from echo_stream.connectors.group_merge import merge_group
from echo_stream.connectors.group_state import GroupState
from echo_stream.connectors.kafka_sink import ProduceConfig, produce_samples
from echo_stream.connectors.snapshot_files import read_snapshot
from echo_stream.connectors.snapshots import find_snapshot
from echo_stream.connectors.state_locks import short_lock
from echo_stream.samples import Samples, as_objects
from echo_stream.source import ArraySource
from echo_stream.validation import as_samples
from tests.broker import Broker
from tests.cli.commands import answer, on
from tests.conftest import MakeTopic
from tests.lives import Life, Nursery
from tests.same_coreset import assert_nothing_certified_is_wrong, assert_same_sums

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]

N = 12_000
PARTITIONS = 4
LIMIT_S = 240.0
CONFIG = EngineConfig(budget=100, preset="paper", epochs=1)
OPTIONS = ["--preset", "paper", "--budget", "100", "--epochs", "1", "--checkpoint-every", "1s"]
CLIENT = """
[kafka]
session_timeout_ms = 5000
heartbeat_interval_ms = 500
max_poll_interval_ms = 10000
"""


@dataclass(slots=True)
class Stage:
    """A topic, a state that a group shares, and what has been sent so far."""

    topic: str
    state: Path
    broker: Broker
    nursery: Nursery
    samples: Samples
    num_sent: int = 0

    def send(self, num_samples: int) -> None:
        """Send some more samples, and return at once when they are there."""
        rows = slice(self.num_sent, self.num_sent + num_samples)
        config = ProduceConfig(self.topic, self.broker.bootstrap, "raw")
        produce_samples([self.samples[rows]], config)
        self.num_sent += num_samples

    @contextmanager
    def member(self, name: str, *more: str) -> "Iterator[Member]":
        """Start a member, which ends with the block at the latest."""
        settings = self.state.with_name("settings.toml")
        settings.write_text(CLIENT, encoding="utf-8")
        life = self.nursery.begin(
            "run", "--config", settings, *on(self.broker, self.topic),
            "--group", self.topic, "--state", self.state, *OPTIONS, *more, name=name,
        )  # fmt: skip
        member = Member(life)
        try:
            yield member
        finally:
            member.end()

    def owners(self) -> set[str]:
        """Return the ids of the processes that count partitions now."""
        claims = Claims(self.state / "claims")
        newest = [claims.newest(f"{self.topic}/{number}") for number in range(PARTITIONS)]
        return {claim.member.split("-")[-2] for claim in newest if claim and claim.segment}

    def num_counted(self) -> int:
        """Return how many samples are durable."""
        if not (self.state / "group.json").exists():
            return 0
        with closing(GroupState(self.state, self.topic)) as state:
            return sum(segment.n for segment in state.current())


@dataclass(slots=True)
class Member:
    """A process of the group."""

    life: Life
    is_waited_for: bool = False

    @property
    def pid(self) -> str:
        """Its id, as part of its name in the state."""
        return str(self.life.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.life.signal(number)

    def freeze(self, state: Path) -> None:
        """Stop it while nobody has the group's lock: whoever is stopped with it stops all."""
        with short_lock(state / "group.lock"):
            self.signal(signal.SIGSTOP)

    def finish(self) -> int:
        """Wait until it has ended, and return its exit code."""
        wait_for(lambda: self.life.has_ended)
        return self.end()

    def end(self) -> int:
        """Kill it if it lives, and return its exit code."""
        if self.is_waited_for:
            return 0
        self.is_waited_for = True
        if not self.life.has_ended:
            self.signal(signal.SIGKILL)
        return self.life.wait().exit_code

    def said(self) -> str:
        """Return what it has written to stderr."""
        return self.life.said()


def told(stage: Stage) -> Any:
    """Return what `status` says of the group."""
    return answer("status", "--state", stage.state)


def wait_for(is_so: Callable[[], bool], *members: Member) -> None:
    """Wait until something has happened that the members do."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        for member in members:
            assert not member.life.has_ended, member.said()
        assert time.monotonic() < deadline, [member.said() for member in members]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Return labelled points in fifty clusters, each with its id."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 50, N)
    x = rng.normal(size=(50, 16))[labels] + rng.normal(0, 0.3, (N, 16))
    return as_samples(x.astype(np.float32), labels, [f"id-{row}" for row in range(N)])


@pytest.fixture
def stage(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> Stage:
    """Create a topic of four partitions."""
    topic = make_topic(partitions=PARTITIONS)
    return Stage(topic, tmp_path / "state", broker, nursery, samples)


def test_members_that_join_leave_and_die_count_as_one_undisturbed_run(
    stage: Stage, samples: Samples, tmp_path: Path
) -> None:
    """SIGKILL, SIGTERM, SIGSTOP and two joins: the same bits, and the same coreset after repair."""
    batch = EchoCoreset.from_config(CONFIG).fit_samples(samples)
    generation = ("--generation", str(write_generation(batch.generation_, tmp_path / "trained")))
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(stage.member(name, *generation)) for name in ("a", "b", "c")
        )
        stage.send(3_000)
        wait_for(lambda: stage.owners() == {first.pid, second.pid, third.pid}, first, second, third)
        wait_for(lambda: stage.num_counted() > 500, first, second, third)
        third.signal(signal.SIGKILL)
        fourth = stack.enter_context(stage.member("d", *generation))
        stage.send(3_000)
        wait_for(lambda: stage.owners() == {first.pid, second.pid, fourth.pid}, first, second)
        second.signal(signal.SIGTERM)
        assert second.finish() == 0, second.said()
        stage.send(2_000)
        wait_for(lambda: stage.owners() == {first.pid, fourth.pid}, first, fourth)
        first.freeze(stage.state)
        stage.send(2_000)
        wait_for(lambda: stage.owners() == {fourth.pid}, fourth)
        first.signal(signal.SIGCONT)
        wait_for(lambda: first.pid in stage.owners(), first, fourth)
        assert "WARNING" in first.said()
        stage.send(2_000)
        wait_for(lambda: stage.num_counted() == N, first, fourth)
        wait_for(lambda: told(stage)["lag_records_total"] == 0, first, fourth)
        status = told(stage)
        alive = {str(each["pid"]) for each in status["members"] if each["life"] == "alive"}
        assert alive == {first.pid, fourth.pid}
        assert (status["life"], status["n"]) == ("alive", N)
        counting = {each["member"].split("-")[-2] for each in status["partitions"].values()}
        assert counting == {first.pid, fourth.pid}
        assert sum(each["position"] for each in status["partitions"].values()) == N
        lags = [each["lag_records"] for each in status["partitions"].values()]
        assert lags == [0] * PARTITIONS
        for member in (first, fourth):
            member.signal(signal.SIGTERM)
            assert member.finish() == 0, member.said()
    undisturbed = EchoCoreset.from_config(CONFIG, generation=batch.generation_)
    undisturbed.update(samples)
    ours = read_snapshot(find_snapshot(stage.state, None))
    assert_same_sums(ours, undisturbed.snapshot())
    assert_nothing_certified_is_wrong(ours, batch.snapshot())
    with closing(GroupState(stage.state, stage.topic)) as state:
        merged = merge_group(state, CONFIG, device="cpu").engine
    assert merged is not None
    merged.repair(ArraySource(samples))
    repaired = merged.snapshot().rows
    assert repaired.samples.ids.tolist() == batch.snapshot().rows.samples.ids.tolist()
    assert repaired.weights.tolist() == batch.snapshot().rows.weights.tolist()


def test_a_member_without_partitions_takes_the_snapshot_that_it_is_asked_for(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Of what the others have counted."""
    stage = Stage(make_topic(partitions=1), tmp_path / "state", broker, nursery, samples)
    batch = EchoCoreset.from_config(CONFIG).fit_samples(samples)
    generation = ("--generation", str(write_generation(batch.generation_, tmp_path / "trained")))
    stage.send(3_000)
    with ExitStack() as stack:
        both = [
            stack.enter_context(stage.member(name, *generation, "--snapshot-every", "never"))
            for name in ("a", "b")
        ]
        wait_for(lambda: len(list((stage.state / "members").glob("*.lock"))) == len(both), *both)
        wait_for(lambda: stage.num_counted() == 3_000 and len(stage.owners()) == 1, *both)
        (idle,) = [member for member in both if member.pid not in stage.owners()]
        idle.signal(signal.SIGUSR1)
        wait_for(lambda: any((stage.state / "snapshots").glob("0*")), *both)
        assert read_snapshot(find_snapshot(stage.state, None)).n == 3_000


def test_one_member_trains_and_all_end_together(stage: Stage, samples: Samples) -> None:
    """Without a generation one member trains it; with --until-end all stop at the end."""
    stage.send(6_000)
    with ExitStack() as stack:
        members = [
            stack.enter_context(stage.member(name, "--until-end", "--warmup", "500"))
            for name in ("a", "b")
        ]
        for member in members:
            assert member.finish() == 0, member.said()
    snapshot = read_snapshot(find_snapshot(stage.state, None))
    assert snapshot.n == 6_000
    assert len(list((stage.state / "generations").iterdir())) == 1
    assert set(snapshot.rows.samples.ids) <= set(as_objects(samples.ids[:6_000].tolist()))
