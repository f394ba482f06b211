"""What an engine and its parts hold, for tests of what nothing public tells.

No other module of the tests reads private names for it.
"""

from typing import Any

from echo_stream import EchoCoreset
from echo_stream.samples.members import Member
from echo_stream.sketch.pools.reservoir import Reservoir
from echo_stream.sketch.sketch import Sketch


def sketch_of(engine: EchoCoreset) -> Sketch:
    """Return an engine's sketch, which may have a tail that is not applied yet."""
    return engine._current.settled_sketch()


def waiting_ids(engine: EchoCoreset) -> list[Any]:
    """Return the ids of the samples that wait for the end of the warm-up."""
    samples = engine._current.waiting.peek()
    return [] if samples is None else samples.ids.tolist()


def places_of(reservoir: Reservoir) -> list[tuple[int, Member]]:
    """Return what a reservoir holds, each with what decides on its place there."""
    return list(reservoir._entries)
