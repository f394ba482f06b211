"""Fixtures of the engine's tests."""

from collections.abc import Iterator

import pytest
import torch

from echo_stream.sketch import sketch


@pytest.fixture(scope="module")
def small_blocks() -> Iterator[None]:
    """Cut blocks of 16 and keep small reservoirs: small clouds have epochs and drop samples.

    One thread: on a busy machine, threads that wait for each other take ten times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch, "BLOCK_SIZE", 16)
        patch.setattr("echo_stream.sketch.pools.reservoir.MIN_SIZE", 32)
        patch.setattr("echo_stream.sketch.pools.reservoir.SAMPLES_PER_CODEWORD", 2)
        yield
    torch.set_num_threads(threads)
