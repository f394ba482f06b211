"""How fast samples are counted, beside the bare arithmetic and the field's own summaries.

Run `python -m benchmarks.speed.engine`. Prints JSON. Rates are samples a second in one process,
over an early and a late window of a stream, whose medians over batches are the ones to compare;
`--rows` chooses what is measured.
"""

import json
import math
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.command import call
from benchmarks.speed.fashion_mnist import timed as timed_command
from benchmarks.speed.kernels import grid_kernels
from benchmarks.speed.peers import clustream, kmeans
from benchmarks.streams import ClusterStream, Consume, timed
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array

ROWS = ("kernels", "adaptive", "grid", "codebook", "kmeans", "clustream", "fit", "build", "growth")
CELLS = 500  # codewords, clusters, and nearly as many cells of the grid below
GRID = {"preset": "paper", "latent_encoder": "linear", "epochs": 5, "expected_n": 50_000}
ENGINES: dict[str, dict[str, Any]] = {
    "adaptive": {},
    "grid": GRID,
    "codebook": {"preset": "fixed"},
}
WARMUP = 10_000
CLUSTREAM_SAMPLES = 200  # at D = 784 it takes some 50 ms for each
NARROW = 64  # features of the rows that are about N rather than D


@click.command()
@click.option("--rows", multiple=True, type=click.Choice(ROWS), help="Default: all of them.")
@click.option("--dim", "dims", multiple=True, type=int, help="Features; default: 784 and 3,072.")
@click.option("--early", nargs=2, type=int, default=(200_000, 400_000), show_default=True)
@click.option("--late", nargs=2, type=int, default=(1_000_000, 1_200_000), show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of samples and engines.")
def main(
    *,
    rows: tuple[str, ...],
    dims: tuple[int, ...],
    early: tuple[int, int],
    late: tuple[int, int],
    seed: int,
) -> None:
    """Measure rates, the time of whole builds, and how time and state grow."""
    chosen = rows or ROWS
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seed": seed,
    }
    for dim in dims or (784, 3_072):
        stream = ClusterStream(dim, seed)
        found = rates(stream, chosen, early, late)
        result |= {f"D={dim}": found} if found else {}
    wholes = {"fit": whole_fit, "build": whole_build, "growth": growth}
    for name in [name for name in wholes if name in chosen]:
        result[name] = wholes[name](late[0], seed)
    click.echo(json.dumps(result, indent=2))


def rates(
    stream: ClusterStream, chosen: tuple[str, ...], early: tuple[int, int], late: tuple[int, int]
) -> dict[str, Any]:
    """Return the rates of the chosen rows over one stream."""
    found: dict[str, Any] = {}
    if "kernels" in chosen:
        found["kernels"] = timed(stream, *early, grid_kernels(stream.dim, CELLS, stream.seed))
    for name in [name for name in ENGINES if name in chosen]:
        found[name] = engine_rates(stream, ENGINES[name], early, late)
    if "kmeans" in chosen:
        found["kmeans"] = in_windows(stream, kmeans(CELLS, stream.seed), early, late)
    if "clustream" in chosen:
        found["clustream"] = timed(stream, 0, CLUSTREAM_SAMPLES, clustream(stream.seed))
    return found


def engine_rates(
    stream: ClusterStream, settings: dict[str, Any], early: tuple[int, int], late: tuple[int, int]
) -> dict[str, Any]:
    """Return an engine's rates in both windows, with what passes its thresholds there."""
    engine = EchoCoreset(CELLS, warmup=WARMUP, seed=stream.seed, **settings)
    passed = None if engine.config.is_adaptive else lambda: survivors(engine)
    found = in_windows(stream, engine.partial_fit, early, late, passed)
    return found | {"cells": engine.snapshot().manifest["num_cells"]}


def in_windows(
    stream: ClusterStream,
    consume: Consume,
    early: tuple[int, int],
    late: tuple[int, int],
    passed: Callable[[], int] | None = None,
) -> dict[str, Any]:
    """Return the rates of who takes in all of a stream, in two windows of it.

    What comes before a window is not timed, so that nobody is measured as it begins. `passed`
    tells how many samples have passed a threshold so far, of who has one.
    """
    found: dict[str, Any] = {}
    for start, (name, window) in zip(
        (0, early[1]), (("early", early), ("late", late)), strict=True
    ):
        for x, y in stream.batches(start, window[0]):
            consume(x, y)
        before = passed() if passed else 0
        found[name] = timed(stream, *window, consume)
        if passed:
            share = (passed() - before) / (window[1] - window[0])
            found[name]["survivors_per_1000"] = round(1_000 * share, 1)
    return found


def survivors(engine: EchoCoreset) -> int:
    """Return how many samples have passed a pool's threshold so far."""
    return engine._current.fixed_sketch("this").pools.num_passed


def whole_fit(n: int, seed: int) -> dict[str, float]:
    """Return the seconds of the default's `fit` on 60,000 x 784."""
    x = whole(ClusterStream(784, seed), min(n, 60_000))
    begun = time.perf_counter()
    EchoCoreset(CELLS, seed=seed).fit(x)
    return {"n": len(x), "seconds": round(time.perf_counter() - begun, 1)}


def whole_build(n: int, seed: int) -> dict[str, float]:
    """Return seconds and peak anonymous MiB of `echo-stream build` on 1,000,000 x 64."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npy")
        np.save(path, whole(ClusterStream(NARROW, seed), min(n, 1_000_000)))
        command = ["build", str(path), "--budget", str(CELLS), "--seed", str(seed)]
        return timed_command([*command, "--out", str(Path(folder, "coreset"))])


def growth(n: int, seed: int) -> dict[str, float]:
    """Return the exponent of time, and the growth of state, over the last factor of ten.

    Of the default after its warm-up, in 64 dimensions.
    """
    stream, n = ClusterStream(NARROW, seed), min(n, 1_000_000)
    engine = EchoCoreset(CELLS, seed=seed)
    timed(stream, 0, n // 100, engine.partial_fit)
    seconds, sizes = [], []
    for start, stop in ((n // 100, n // 10), (n // 10, n)):
        seconds.append((stop - start) / timed(stream, start, stop, engine.partial_fit)["rate"])
        sizes.append(engine.snapshot().manifest)
    last = sizes[-1]
    return {
        "exponent": round(math.log10(sum(seconds) / seconds[0]), 3),
        "state_bytes": last["state_bytes"],
        "state_ratio": round(last["state_bytes"] / sizes[0]["state_bytes"], 3),
        "bound_bytes": last["state_bytes_bound"],
    }


def whole(stream: ClusterStream, n: int) -> Array:
    """Return the first n samples of a stream at once."""
    return np.concatenate([x for x, _ in stream.batches(0, n)])


if __name__ == "__main__":
    call(main)
