"""What an engine and its parts hold, for tests of what nothing public tells.

No other module of the tests reads private names for it.
"""

from typing import Any

from echo_stream import EchoCoreset
from echo_stream.engine.drift import DriftDetector
from echo_stream.samples.members import Member
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.pools.reservoir import Reservoir
from echo_stream.sketch.sketch import Sketch


def sketch_of(engine: EchoCoreset) -> Sketch:
    """Return an engine's sketch, which may not be flushed."""
    return engine._current.trained_sketch()


def fixed_sketch_of(engine: EchoCoreset) -> FixedSketch:
    """Return the sketch of an engine with fixed cells, which may not be flushed."""
    return engine._current.fixed_sketch("this")


def waiting_ids(engine: EchoCoreset) -> list[Any]:
    """Return the ids of the samples in the buffer of the warm-up."""
    samples = engine._current.warmup.buffer.peek()
    return [] if samples is None else samples.ids.tolist()


def detector_of(engine: EchoCoreset) -> DriftDetector | None:
    """Return what checks an engine's stream for drift, if anything does."""
    return engine._current.detector


def places_of(reservoir: Reservoir) -> list[tuple[int, Member]]:
    """Return what a reservoir holds, each with what decides on its place there."""
    return list(reservoir._entries)
