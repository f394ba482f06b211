"""Time `echo-stream query` on a large snapshot, start-up included.

Prints JSON: the median seconds of several runs of each question, by the command, every time a
process of its own, and within one process; and the seconds to check all bytes of the snapshot
against their checksums, which a process does once, beside what each command takes.

    python -m benchmarks.speed.query --rows 50000
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks.command import call
from echo_stream._common.typing import Cell
from echo_stream.connectors.inspect.query import query_snapshot
from echo_stream.connectors.storage.snapshot_files import write_snapshot
from echo_stream.connectors.storage.units import verify_unit
from echo_stream.coreset.building import FORMAT_VERSION
from echo_stream.coreset.rows import CellRows, CoresetRows, EdgeRows
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.samples.samples import Samples, as_objects

QUESTIONS = {
    "labels": "SELECT label, count(*), sum(weight) FROM coreset GROUP BY label ORDER BY label",
    "join": "SELECT cells.cell, count, count(*) FROM coreset JOIN cells USING (cell) "
    "GROUP BY ALL ORDER BY count DESC LIMIT 10",
    "page": "SELECT id, role, label, weight FROM coreset ORDER BY selection_rank LIMIT 100",
    "payloads": "SELECT id, x FROM coreset ORDER BY selection_rank LIMIT 10",
}
CELLS = 2_000
PIXELS = 784
LABELS = 10


@click.command(help=__doc__)
@click.option("--rows", default=50_000, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(rows: int, repeats: int, seed: int) -> None:
    """Build a snapshot directly, and ask it."""
    print(json.dumps(measure(rows, repeats, seed), indent=2))


def measure(rows: int, repeats: int, seed: int) -> dict[str, object]:
    """Return the median seconds of each question, and of the check before it."""
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "snapshot"
        snapshot = made(rows, np.random.default_rng(seed))
        write_snapshot(snapshot, unit, time="2026-01-01T00:00:00+00:00", offsets={})
        size_bytes = sum(file.stat().st_size for file in unit.iterdir())
        seconds = {
            name: {
                "command": median(partial(ask_command, unit, sql), repeats),
                "in_process": median(partial(query_snapshot, unit, sql), repeats),
            }
            for name, sql in QUESTIONS.items()
        }
        check_s = median(partial(verify_unit, unit), repeats)
    return {
        "rows": rows,
        "size_bytes": size_bytes,
        "seconds": seconds,
        "check_seconds": check_s,
        "check_share": {
            name: round(check_s / each["command"], 3) for name, each in seconds.items()
        },
    }


def made(rows: int, rng: np.random.Generator) -> Snapshot:
    """Return a snapshot of random rows, as large as a real one of so many."""
    cells: list[Cell] = [(cell,) for cell in range(CELLS)]
    places = rng.integers(0, CELLS, rows)
    latents = rng.random((rows, 2))
    labels = rng.integers(0, LABELS, rows).tolist()
    samples = Samples(
        x=rng.integers(0, 256, (rows, PIXELS), dtype=np.uint8),
        ids=as_objects([f"sample-{row}" for row in range(rows)]),
        labels=as_objects(labels),
    )
    coreset = CoresetRows(
        samples=samples,
        roles=as_objects(["core"] * rows),
        ranks_in_cell=np.ones(rows, dtype=np.int64),
        cells=[cells[place] for place in places],
        degrees=np.full(rows, 2),
        cell_counts=np.full(rows, rows // CELLS),
        weights=np.ones(rows),
        certified=as_objects([True] * rows),
        latents=latents,
        maps=latents,
    )
    centroids = rng.random((CELLS, 2))
    means = rng.random((CELLS, PIXELS))
    counts = np.bincount(places, minlength=CELLS)
    edges = EdgeRows(cells[:-1], cells[1:], np.ones(CELLS - 1), np.zeros(CELLS - 1, dtype=bool))
    manifest = {
        "format_version": FORMAT_VERSION,
        "id": f"{rows:012d}-benchmark",
        "n": rows,
        "num_cells": CELLS,
        "num_distinct": rows,
        "certified_fraction": 1.0,
        "coverage_at_least": None,
        "generation": "benchmark",
        "provisional": False,
        "schema": {"shape": [PIXELS], "dtype": "uint8"},
    }
    return Snapshot(
        coreset,
        CellRows(cells, counts, np.full(CELLS, 2), centroids, centroids, means),
        edges,
        manifest,
    )


def ask_command(unit: Path, sql: str) -> None:
    """Run the command, and check that it answers."""
    command = [sys.executable, "-m", "echo_stream", "query", sql, "--snapshot", str(unit)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout)


def median(ask: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a question."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds), 3)


if __name__ == "__main__":
    call(main)
