"""The paper's preset on Fashion-MNIST: time and memory of a build, and stream against batch.

Run `python -m benchmarks.speed.fashion_mnist DATA`, with DATA a folder of the four IDX
files. Prints JSON.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.command import call
from benchmarks.data import load
from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.connectors.storage.engine_files import read_generation
from echo_stream.connectors.storage.snapshot_files import read_snapshot

BUDGET = 600
POLL_SECONDS = 0.05


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Of the encoder and the shuffling.")
def main(*, data: Path, seed: int) -> None:
    """Measure on DATA, a folder with Fashion-MNIST's IDX files."""
    images = load("fashion-mnist", [data])
    x, y = images.x_train, images.y_train
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "train.npz"), x=x, y=y)
        out = Path(folder, "coreset")
        command = ["build", f"{folder}/train.npz", "--budget", str(BUDGET), "--preset", "paper"]
        result: dict[str, Any] = {
            "machine": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "seed": seed,
            "build": timed([*command, "--seed", str(seed), "--out", str(out)]),
        }
        batch = read_snapshot(out)
        result["stream"] = one_pass(x, y, batch, EchoCoreset(
            BUDGET, preset="paper", seed=seed, generation=read_generation(out)
        ))  # fmt: skip
    click.echo(json.dumps(result, indent=2))


def timed(arguments: list[str]) -> dict[str, float]:
    """Run echo-stream in a process of its own; return its seconds and peak anonymous MiB."""
    started, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "echo_stream", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_kib(process.pid))
            time.sleep(POLL_SECONDS)
    return {"seconds": round(time.perf_counter() - started, 1), "peak_mib": round(peak / 1024)}


def anonymous_kib(process: int) -> int:
    """Return a process's resident anonymous memory in KiB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def one_pass(x: Array, y: Array, batch: Snapshot, engine: EchoCoreset) -> dict[str, float]:
    """Stream the samples in a random order; return the share of the batch's rows chosen."""
    order = np.random.default_rng(0).permutation(len(x))
    started = time.perf_counter()
    engine.partial_fit(x[order], y[order], ids=order)
    seconds = time.perf_counter() - started
    snapshot = engine.snapshot()
    shares = {role: equal_share(batch, snapshot, role) for role in ("core", "support")}
    held = snapshot.manifest["num_held"] / snapshot.n
    return {"seconds": round(seconds, 1), "held_share": round(held, 3), **shares}


def equal_share(batch: Snapshot, stream: Snapshot, role: str) -> float:
    """Return the share of the batch's samples of a role that the stream has chosen too."""
    expected, ours = (
        set(snapshot.rows.samples.ids[snapshot.rows.roles == role]) for snapshot in (batch, stream)
    )
    return round(len(expected & ours) / len(expected), 4)


if __name__ == "__main__":
    call(main)
