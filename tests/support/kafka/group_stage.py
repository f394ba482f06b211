"""Real consumers of one group on a real broker, which share a state."""

import signal
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_stream import EngineConfig
from echo_stream.connectors.group.claims import Claims
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.storage.state_locks import short_lock
from tests.support.commands import answer, on
from tests.support.crashes.lives import Life, Nursery, wait_for
from tests.support.kafka.broker import Broker

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

    def member(self, name: str, *more: object) -> AbstractContextManager[Life]:
        """Start a member, which ends with the block at the latest."""
        settings = self.state.with_name("settings.toml")
        settings.write_text(CLIENT.format(session_timeout_ms=self.session_timeout_ms))
        return self.nursery.life(
            "run", "--config", settings, *on(self.broker, self.topic),
            "--group", self.topic, "--state", self.state, *OPTIONS, *more, name=name,
        )  # fmt: skip

    def freeze(self, member: Life) -> None:
        """Stop a member that counts partitions, while nobody has the group's lock.

        Whoever has the lock then stops all. Who counts nothing at that moment, between two
        terms, has nothing to lose.
        """

        def is_stopped() -> bool:
            with short_lock(self.state / "group.lock"):
                counts = member.pid in self.owners()
                if counts:
                    member.signal(signal.SIGSTOP)
            return counts

        wait_for(is_stopped, member)

    def owners(self) -> list[int | None]:
        """Return the id of the process that counts each partition now; None: nobody does."""
        claims = Claims(self.state / "claims")
        newest = [claims.newest(f"{self.topic}/{number}") for number in range(PARTITIONS)]
        return [
            int(claim.member.split("-")[-2]) if claim and claim.segment else None
            for claim in newest
        ]

    def num_durable(self) -> int:
        """Return how many samples are durable."""
        if not (self.state / "group.json").exists():
            return 0
        with closing(GroupState(self.state, self.topic)) as state:
            return sum(segment.n for segment in state.current())

    def status(self) -> Any:
        """Return what `status` says of the group."""
        return answer("status", "--state", self.state)

    def num_counted(self) -> int:
        """Return how many messages are counted by those who live, as `status` says."""
        status = self.status()
        counted = {name: each["offset"] for name, each in status["partitions"].items()}
        for member in status["members"]:
            if member["liveness"] == "alive":
                for name, offset in member["offsets"].items():
                    counted[name] = max(counted[name], offset)
        return sum(counted.values())
