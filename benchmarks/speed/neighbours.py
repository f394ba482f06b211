"""What a build takes alone, and beside others that keep every core busy.

Run `python -m benchmarks.speed.neighbours`. Prints JSON: seconds of `echo-stream build` on made-up
samples, large ones and small ones, medians of `--repeats`, with torch's threads spinning for a
moment while they wait for each other and then asleep, as the command line has it, asleep at
once, and spinning for milliseconds, as OpenMP has it by itself.
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

from benchmarks.command import NATURAL, call
from benchmarks.evaluation.machine import machine

SHAPES = ((20_000, 784), (200_000, 64))  # samples, features
BUDGET = 500
SPIN = """
import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        break
while True:
    pass
"""
WAITING: dict[str, dict[str, str]] = {
    "for_a_moment": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # what libgomp takes where nothing is said
}


@click.command()
@click.option("--repeats", default=3, type=NATURAL, show_default=True)
def main(*, repeats: int) -> None:
    """Time builds alone and beside one busy process a core, in turn."""
    result: dict[str, object] = {"machine": machine()}
    for samples, features in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samples.npy"
            rng = np.random.default_rng(0)
            np.save(path, rng.integers(0, 256, (samples, features), dtype=np.uint8))
            found = {"alone_s": {name: median_seconds(path, name, repeats) for name in WAITING}}
            with busy_cores():
                found["beside_others_s"] = {
                    name: median_seconds(path, name, repeats) for name in WAITING
                }
        result[f"{samples} x {features}"] = found
    click.echo(json.dumps(result, indent=2))


def median_seconds(path: Path, waiting: str, repeats: int) -> float:
    """Return the median of the seconds that a build takes, its start included."""
    command = [sys.executable, "-m", "echo_stream", "build", str(path), "--budget", str(BUDGET)]
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            words = [*command, "--out", str(Path(folder) / "coreset")]
            started = time.perf_counter()
            known = {name for settings in WAITING.values() for name in settings}
            environment = {k: v for k, v in os.environ.items() if k not in known}
            environment |= WAITING[waiting]
            subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
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
