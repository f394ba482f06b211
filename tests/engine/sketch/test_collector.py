"""Counting samples makes objects that stay, and has the collector of cycles wait meanwhile."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream._common.collector import paused_collector

NUM_BLOCKS = 4


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """Have a list grow by one with each collection that begins."""
    begun: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            begun.append(phase)

    gc.callbacks.append(note)
    yield begun
    gc.callbacks.remove(note)


def test_it_runs_between_blocks(collections: list[str]) -> None:
    """Once or twice a block of 1,024 samples, where thousands of objects are made; then again."""
    x = np.random.default_rng(0).normal(size=(1_024 * NUM_BLOCKS, 4))
    stream = EchoCoreset(50, warmup=1_024, preset="fixed").partial_fit(x[:1_024])
    collections.clear()
    stream.partial_fit(x[1_024:])
    assert len(collections) <= 2 * NUM_BLOCKS
    assert gc.isenabled()


@pytest.mark.parametrize("is_on", [True, False])
def test_it_is_left_as_it_was(*, is_on: bool) -> None:
    """Also by an error; who has switched it off keeps it off."""
    (gc.enable if is_on else gc.disable)()
    try:
        with pytest.raises(LookupError), paused_collector():
            assert not gc.isenabled()
            raise LookupError
        assert gc.isenabled() is is_on
    finally:
        gc.enable()
