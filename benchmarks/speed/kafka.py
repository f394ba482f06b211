"""How fast a run reads Kafka, beside a loop that only polls, and what a checkpoint stalls.

Run `python -m benchmarks.speed.kafka`, with `--bootstrap-servers HOST:PORT` for a broker that is
there already. Prints JSON: messages a second of both sides over the same topics with the
same settings of the client, medians of interleaved repetitions, the loop in a process of
its own; the longest gaps between batches with checkpoints and without; and with
`--profile N` what both threads spend.
"""

import contextlib
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.command import call
from benchmarks.speed.kafka_profile import profiles
from benchmarks.speed.kafka_rates import Topic, polled, ran, settled
from benchmarks.speed.kafka_stall import stalls
from echo_stream.run.runtime import BATCH_SAMPLES
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


if __name__ == "__main__":
    call(main)
