"""What `benchmarks.selection` measures, each in a process of its own."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sklearn.decomposition
import sklearn.metrics  # noqa: F401 - the same

from benchmarks.child import Ready
from benchmarks.data import DataSet, load
from benchmarks.selectors.spaces import vectors
from benchmarks.selectors.submodular import greedy, of_apricot, similarities
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array, FloatArray

SIMILARITY_BYTES = 8  # of one pair
MEMORY_SHARE = 0.8  # of what is free, that may be taken
WARM_REPEATS = 5
STREAM_BATCH = 10_000  # samples made and counted at a time
NOISE = 8  # levels of brightness, so that samples that come again are others


class Clock:
    """Tells seconds and processor seconds since it was last asked."""

    def __init__(self) -> None:
        self._then = self._now()

    def lap(self, name: str) -> dict[str, float]:
        """Return both under the name of what has just been done."""
        now = self._now()
        seconds, cpu_seconds = (b - a for a, b in zip(self._then, now, strict=True))
        self._then = now
        return {f"{name}_s": seconds, f"{name}_cpu_s": cpu_seconds}

    def _now(self) -> tuple[float, float]:
        """Return the time by both clocks."""
        return time.perf_counter(), time.process_time()


def part_of(name: str, folders: Sequence[Path], n: int, seed: int) -> DataSet:
    """Return a data set with n of its training samples, drawn at random."""
    data = load(name, folders)
    rows = np.random.default_rng(seed).permutation(len(data.x_train))[:n]
    return data.part(np.sort(rows))


def peer(
    ready: Ready, name: str, folders: list[Path], n: int, budget: int, seed: int, method: str
) -> dict[str, Any]:
    """Choose by a function of apricot-select: similarities are the set-up.

    The library compiles its code anew in each call, which takes as long for a tiny one:
    `compile` is that, and part of `choose`. The first call of a process, which takes longer,
    is over when it is ready.
    """
    data = part_of(name, folders, n, seed)
    similar, found = set_up(ready, data, method)
    clock = Clock()
    core = greedy(of_apricot(method), similar, budget)
    return found | clock.lap("choose") | compiling(method) | {"core": core.tolist()}


def similarity_bytes(n: int) -> int:
    """Return how much the similarities of n samples take."""
    return SIMILARITY_BYTES * n**2


def is_free(n: int) -> bool:
    """Return whether there is room for the similarities of n samples."""
    return similarity_bytes(n) <= MEMORY_SHARE * psutil.virtual_memory().available


def touch_memory(n: int) -> None:
    """Write to as much memory as the similarities of n samples take, if there is, and free it."""
    if is_free(n):
        np.ones(similarity_bytes(n), np.uint8)


def set_up(ready: Ready, data: DataSet, method: str) -> tuple[FloatArray, dict[str, float]]:
    """Return the similarities that a peer chooses by, and what they take."""
    compiling(method)
    touch_memory(len(data.x_train))
    ready()
    clock = Clock()
    return similarities(vectors(data)), clock.lap("setup")


def compiling(method: str) -> dict[str, float]:
    """Return what a peer takes to choose from four samples, all of it compiling."""
    clock = Clock()
    greedy(of_apricot(method), np.eye(4), 2)
    return clock.lap("compile")


def ours(
    ready: Ready, name: str, folders: list[Path], n: int, budget: int, seed: int, _: str
) -> dict[str, Any]:
    """Build the coreset in fixed cells, set-up included, then choose again from its sketch."""
    data = part_of(name, folders, n, seed)
    _import_ours(data.x_train)
    touch_memory(n)
    ready()
    clock = Clock()
    engine = EchoCoreset(budget, preset="fixed", seed=seed, device="cpu").fit(data.x_train)
    found = clock.lap("setup")
    core = engine.indices_
    found |= clock.lap("choose") | {"core": core.tolist()}
    for _repeat in range(WARM_REPEATS):
        engine.snapshot()
    warm = clock.lap("warm")
    return found | {key: value / WARM_REPEATS for key, value in warm.items()}


def ours_streaming(
    ready: Ready, name: str, folders: list[Path], n: int, budget: int, seed: int, _: str
) -> dict[str, Any]:
    """Count n samples once, more than any machine has to hold; making them is not timed."""
    x = load(name, folders).x_train
    _import_ours(x)
    rng = np.random.default_rng(seed)
    engine = EchoCoreset(budget, preset="fixed", seed=seed, device="cpu")
    ready()
    totals = np.zeros(2)
    for start in range(0, n, STREAM_BATCH):
        batch = _noisy(x, min(STREAM_BATCH, n - start), rng)
        clock = Clock()
        engine.partial_fit(batch)
        totals += list(clock.lap("setup").values())
    clock = Clock()
    engine.snapshot()
    return {"setup_s": totals[0], "setup_cpu_s": totals[1]} | clock.lap("choose")


def _import_ours(x: Array) -> None:
    """Build a tiny coreset, so that what is imported when it is needed has been."""
    EchoCoreset(2, preset="fixed", device="cpu").fit(x[:50])


def _noisy(x: Array, n: int, rng: np.random.Generator) -> Array:
    """Return n samples drawn from x, each changed a little."""
    drawn = x[rng.integers(0, len(x), n)]
    noise = rng.integers(0, NOISE, drawn.shape, dtype=np.uint8)
    if drawn.dtype == np.uint8:
        return np.where(drawn > 255 - NOISE, drawn, drawn + noise).astype(np.uint8)
    return drawn + noise.astype(drawn.dtype) / 255
