"""A group whose members share a state, without a broker."""

from collections.abc import Mapping
from pathlib import Path

from echo_stream import EngineConfig
from echo_stream.connectors.group.state import GroupState
from echo_stream.generation.generation import Generation

NAMES = [f"events/{number}" for number in range(4)]
LENGTH = 1_500  # samples of a partition; more than a block of the sketch
CONFIG = EngineConfig(budget=30, preset="paper", support=1, epochs=0, seed=3)
SOURCE = {"kind": "test"}


def member(state: Path) -> GroupState:
    """Open one more member of the group."""
    return GroupState(state, "counters")


def begin(state: GroupState, generation: Generation | None, first: int = 0) -> Mapping[str, int]:
    """Begin the group; return the recorded start."""
    return state.begin(CONFIG, SOURCE, lambda: dict.fromkeys(NAMES, first), generation).start
