"""Real consumers of one group on a real broker, which share a state."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_stream import EngineConfig
from echo_stream.connectors.claims import Claims
from echo_stream.connectors.group_state import GroupState
from echo_stream.connectors.state_locks import short_lock
from tests.broker import Broker
from tests.cli.commands import answer, on
from tests.lives import Life, Nursery

PARTITIONS = 4
LIMIT_S = 240.0
CONFIG = EngineConfig(budget=100, preset="paper", epochs=1)
OPTIONS = ("--preset", "paper", "--budget", 100, "--epochs", 1)
CLIENT = """
[kafka]
session_timeout_ms = {session_timeout_ms}
heartbeat_interval_ms = 500
max_poll_interval_ms = 10000
"""


@dataclass(slots=True)
class Stage:
    """A topic, and a state that a group shares.

    Attributes
    ----------
    topic : str
        Which the group is named after.
    state : Path
    broker : Broker
    nursery : Nursery
    session_timeout_ms : int
        After which a member that says nothing is taken to be dead.
    """

    topic: str
    state: Path
    broker: Broker
    nursery: Nursery
    session_timeout_ms: int = 5_000

    @contextmanager
    def member(self, name: str, *more: object) -> "Iterator[Member]":
        """Start a member, which ends with the block at the latest."""
        settings = self.state.with_name("settings.toml")
        settings.write_text(CLIENT.format(session_timeout_ms=self.session_timeout_ms))
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

    def num_durable(self) -> int:
        """Return how many samples are durable."""
        if not (self.state / "group.json").exists():
            return 0
        with closing(GroupState(self.state, self.topic)) as state:
            return sum(segment.n for segment in state.current())

    def status(self) -> Any:
        """Return what `status` says of the group."""
        return answer("status", "--state", self.state)

    def position(self) -> int:
        """Return how many messages are counted by those who live, as `status` says."""
        status = self.status()
        counted = {name: each["position"] for name, each in status["partitions"].items()}
        for member in status["members"]:
            if member["life"] == "alive":
                for name, offset in member["position"].items():
                    counted[name] = max(counted[name], offset)
        return sum(counted.values())


@dataclass(slots=True)
class Member:
    """A process of the group, or beside it."""

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

    def leave(self) -> Any:
        """Tell it to stop, and return its report, see `finish`."""
        self.signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> Any:
        """Wait until it has ended, which it has to do well, and return its report."""
        wait_for(lambda: self.life.has_ended)
        self.is_waited_for = True
        ended = self.life.wait()
        assert ended.exit_code == 0, ended.stderr
        return json.loads(ended.stdout)

    def end(self) -> None:
        """Kill it if it lives."""
        if self.is_waited_for:
            return
        self.is_waited_for = True
        if not self.life.has_ended:
            self.signal(signal.SIGKILL)
        self.life.wait()

    def said(self) -> str:
        """Return what it has written to stderr."""
        return self.life.said()


def wait_for(is_so: Callable[[], bool], *members: Member) -> None:
    """Wait until something has happened that the members do."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        for member in members:
            assert not member.life.has_ended, member.said()
        assert time.monotonic() < deadline, [member.said() for member in members]
        time.sleep(0.1)
