"""What a build takes alone, and beside others that keep every core busy.

Run `python -m benchmarks.neighbours`. Prints JSON: seconds of `echo-stream build` on made-up
samples, medians of `--repeats`, with torch's threads asleep while they wait for each other, as
the command line has it, and spinning, as OpenMP has it by itself.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from benchmarks.command import call
from benchmarks.evaluation.machine import machine

FEATURES = 784
BUDGET = 500
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # what libgomp takes where nothing is said
SPIN = """
import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        break
while True:
    pass
"""
WAITING: dict[str, dict[str, str]] = {"asleep": {}, "spinning": SPINNING}


@click.command()
@click.option("--samples", default=20_000, show_default=True)
@click.option("--repeats", default=3, show_default=True)
def main(*, samples: int, repeats: int) -> None:
    """Time builds alone and beside one busy process a core, in turn."""
    result: dict[str, object] = {"machine": machine(), "samples": samples, "features": FEATURES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npy"
        rng = np.random.default_rng(0)
        np.save(path, rng.integers(0, 256, (samples, FEATURES), dtype=np.uint8))
        alone = {name: median_seconds(path, name, repeats) for name in WAITING}
        with busy_cores():
            beside = {name: median_seconds(path, name, repeats) for name in WAITING}
    result |= {"alone_s": alone, "beside_others_s": beside}
    result["spinning_to_asleep"] = {
        "alone": round(alone["spinning"] / alone["asleep"], 2),
        "beside_others": round(beside["spinning"] / beside["asleep"], 2),
    }
    click.echo(json.dumps(result, indent=2))


def median_seconds(path: Path, waiting: str, repeats: int) -> float:
    """Return the median of the seconds that a build takes, its start included."""
    command = [sys.executable, "-m", "echo_stream", "build", str(path), "--budget", str(BUDGET)]
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            words = [*command, "--out", str(Path(folder) / "coreset")]
            started = time.perf_counter()
            subprocess.run(words, env=os.environ | WAITING[waiting], check=True)
            times.append(time.perf_counter() - started)
    return round(statistics.median(times), 2)


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy for a while, by processes of another session.

    As services and containers are in control groups of their own: the system shares cores out
    among these, whatever the number of their threads.
    """
    cores = len(os.sched_getaffinity(0))
    command = [sys.executable, "-c", SPIN, str(cores - 1)]
    with subprocess.Popen(command, start_new_session=True) as others:
        try:
            yield
        finally:
            os.killpg(others.pid, signal.SIGKILL)


if __name__ == "__main__":
    call(main)
