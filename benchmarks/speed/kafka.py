"""How fast a run reads Kafka, beside a loop that only polls, and what a checkpoint stalls.

Run `python -m benchmarks.speed.kafka`, with `--bootstrap-servers HOST:PORT` for a broker that is
there already. Prints JSON: messages a second of both sides over the same topics with the
same settings of the client, medians of interleaved repetitions, the loop in a process of
its own; the longest gaps between batches with checkpoints and without; and with
`--profile N` what both threads spend.
"""

import contextlib
import cProfile
import json
import multiprocessing
import os
import platform
import pstats
import statistics
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import click
import torch

from benchmarks.command import call
from benchmarks.speed.kafka_rates import Topic, consumed_on, polled, ran, settled
from echo_stream.run.config import RunConfig
from echo_stream.run.runtime import BATCH_SAMPLES
from echo_stream.run.schedule import Every
from tests.support.kafka.broker import choose_broker

SETTLED = 200_000  # messages counted before anything is measured
SIZES = {64: 200_000, 768: 120_000}  # values of float32, and messages
STALL_DIMS = (196, 768)  # 784 and 3,072 bytes
STALL_SETTLED, STALL_MESSAGES = 60_000, 60_000
BUDGET = 500
FEWEST = 2 * BATCH_SAMPLES + 1  # fewer can come in one batch, and there is no gap between batches
STALL_BUDGET = 5_000


@click.command(help=__doc__)
@click.option("--bootstrap-servers", help="Default: a broker of its own.")
@click.option(
    "--messages",
    type=click.IntRange(min=FEWEST),
    help="To count before, and to measure; default: as above.",
)
@click.option("--repeats", default=5, show_default=True)
@click.option("--budget", default=BUDGET, show_default=True)
@click.option("--stall-budget", default=STALL_BUDGET, show_default=True)
@click.option("--profile", default=0, help="Lines of each thread's profile.")
@click.option("--seed", default=0, show_default=True)
def main(
    *,
    bootstrap_servers: str | None,
    messages: int | None,
    repeats: int,
    budget: int,
    stall_budget: int,
    profile: int,
    seed: int,
) -> None:
    """Measure both, one size after the other."""
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
    }
    with broker(bootstrap_servers) as servers:
        for dim, usual in SIZES.items():
            topic = Topic.new(servers, dim, messages or SETTLED, messages or usual)
            with settled(topic, budget, seed) as (state, fresh):
                measured = {"fresh": round(fresh), **compared(topic, state, budget, repeats)}
                if profile:
                    measured["profile"] = profiles(topic, state, budget, profile)
            result[f"{topic.size_bytes} bytes"] = measured
        for dim in STALL_DIMS:
            numbers = (messages, messages) if messages else (STALL_SETTLED, STALL_MESSAGES)
            topic = Topic.new(servers, dim, *numbers)
            with settled(topic, stall_budget, seed) as (state, _):
                measured = stalls(topic, state, stall_budget, repeats)
            result[f"stall at {topic.size_bytes} bytes"] = measured
    click.echo(json.dumps(result, indent=2))


@contextlib.contextmanager
def broker(servers: str | None) -> Iterator[str]:
    """Yield the address of a broker: of the one given, or of one that runs meanwhile."""
    if servers is not None:
        yield servers
        return
    with tempfile.TemporaryDirectory() as folder, choose_broker(Path(folder)) as own:
        yield own.bootstrap


def compared(topic: Topic, state: Path, budget: int, repeats: int) -> dict[str, Any]:
    """Return the rates of both sides, which take turns, and how they compare."""
    rates: dict[str, list[float]] = {"poll": [], "run": []}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        for _ in range(repeats + 1):
            rates["poll"].append(alone.submit(polled, topic, state).result())
            rates["run"].append(ran(topic, state, budget))
    for each in rates.values():
        del each[0]  # pages of the log came from the disk
    found: dict[str, Any] = {
        name: {
            "rate": round(statistics.median(each)),
            "slowest": round(min(each)),
            "fastest": round(max(each)),
        }
        for name, each in rates.items()
    }
    shares = [run / poll for poll, run in zip(rates["poll"], rates["run"], strict=True)]
    return {
        "messages": topic.messages,
        **found,
        "share": round(statistics.median(shares), 3),
        "load": round(os.getloadavg()[0], 2),
    }


def profiles(topic: Topic, state: Path, budget: int, lines: int) -> dict[str, list[str]]:
    """Return the dearest functions of the thread that counts and of the one that polls.

    Each is profiled in a run of its own, which is slower for it. Seconds are of the
    function itself, waiting for the other thread included.
    """
    profile = cProfile.Profile()
    consumed_on(topic, state, budget, RunConfig(last_snapshot=False), on_begin=profile.enable)
    profile.disable()
    return {
        "counts": dearest(profile, lines),
        "polls": dearest(polling_profile(topic, state, budget), lines),
    }


def polling_profile(topic: Topic, state: Path, budget: int) -> cProfile.Profile:
    """Profile the thread that polls, and no other."""
    profile = cProfile.Profile()

    def begin(_frame: FrameType, _event: str, _arg: object) -> None:
        """Hand a thread that has just begun over to the profiler, if it is the one."""
        if threading.current_thread().name == "echo-stream-poller":
            profile.enable()

    threading.setprofile(begin)
    try:
        ran(topic, state, budget)
    finally:
        threading.setprofile(None)
    return profile


def dearest(profile: cProfile.Profile, lines: int) -> list[str]:
    """Return what functions spend themselves, dearest first: seconds, calls, place."""
    stats = pstats.Stats(profile)
    spent = sorted(
        ((each[2], each[1], where) for where, each in stats.stats.items()),  # type: ignore[attr-defined]
        reverse=True,
    )
    return [
        f"{seconds:.3f} s, {calls} calls: {'/'.join(Path(file).parts[-2:])}:{line} {name}"
        for seconds, calls, (file, line, name) in spent[:lines]
    ]


EVERY_S = 1.0


def stalls(topic: Topic, state: Path, budget: int, repeats: int) -> dict[str, Any]:
    """Return milliseconds between batches, of runs with checkpoints each second and without.

    `freeze` is the longest that copying the state took on the run's own thread.
    """
    gaps: dict[str, list[float]] = {"with": [], "without": []}
    typical, freezes, number = [], [], 0
    for _ in range(repeats):
        for name, every in (("with", Every(seconds=EVERY_S)), ("without", None)):
            config = RunConfig(checkpoint_every=every, last_snapshot=False)
            watch = consumed_on(topic, state, budget, config)
            between = [1_000 * (later - earlier) for earlier, later in pairwise(watch.times)]
            gaps[name].append(max(between))
            if every is not None:
                number += watch.report.checkpoints - 1
                freezes.append(1_000 * watch.stats.max_checkpoint_stall_seconds)
            else:
                typical.append(statistics.median(between))
    return {
        "messages": topic.messages,
        "checkpoints": number,
        "freeze_ms": round(statistics.median(freezes), 1),
        "freeze_max_ms": round(max(freezes), 1),
        "longest_gap_ms": {name: round(statistics.median(each)) for name, each in gaps.items()},
        "usual_gap_ms": round(statistics.median(typical)),
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    call(main)
