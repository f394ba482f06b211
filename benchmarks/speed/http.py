"""Time the first page of a coreset over HTTP, by clients that ask all the time.

Prints JSON: requests a second over loopback, milliseconds of the middle and the slowest
hundredth of the requests, and the processor time of the server for each. The server is a
process of its own, as `echo-stream serve` starts it.

    python -m benchmarks.speed.http --rows 5000 --clients 8
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.command import call
from benchmarks.speed.query import made
from echo_stream.connectors.storage.snapshot_files import write_snapshot

PAGE = "/api/v1/coreset?limit=100"


@click.command(help=__doc__)
@click.option("--rows", default=5_000, show_default=True, help="Of the coreset.")
@click.option("--clients", default=8, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
def main(rows: int, clients: int, seconds: float) -> None:
    """Write a snapshot, serve it, and ask."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        snapshot = made(rows, np.random.default_rng(0))
        unit = state / "snapshots" / snapshot.id
        write_snapshot(snapshot, unit, time="2026-01-01T00:00:00+00:00", offsets={})
        with served(state) as (address, server), ThreadPoolExecutor(clients) as pool:
            ask(address, 0.0)  # reads the snapshot
            start, start_cpu_s = time.perf_counter(), sum(server.cpu_times()[:2])
            asked = [pool.submit(ask, address, seconds) for _ in range(clients)]
            times = sorted(one for client in asked for one in client.result())
            elapsed_s = time.perf_counter() - start
            cpu_s = sum(server.cpu_times()[:2]) - start_cpu_s
    found = {
        "rows": rows,
        "clients": clients,
        "requests": len(times),
        "requests_per_s": round(len(times) / elapsed_s, 1),
        "median_ms": round(1_000 * statistics.median(times), 2),
        "server_cpu_ms": round(1_000 * cpu_s / len(times), 2),
        "p99_ms": round(1_000 * times[int(0.99 * len(times))], 2),
    }
    print(json.dumps(found, indent=2))


@contextmanager
def served(state: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a state in a process of its own; yields HOST:PORT and the process."""
    command = [sys.executable, "-m", "echo_stream", "serve", "--state", str(state)]
    with subprocess.Popen(
        [*command, "--http", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            # Warnings, of settings that mean nothing, come before.
            address = next(line for line in process.stderr if line.startswith("http://"))
            yield address.strip().removeprefix("http://"), psutil.Process(process.pid)
        finally:
            process.terminate()


def ask(address: str, seconds: float) -> list[float]:
    """Ask over one connection for so long, at least once; return the seconds of each request."""
    connection = http.client.HTTPConnection(address)
    end, times = time.perf_counter() + seconds, []
    while True:
        start = time.perf_counter()
        connection.request("GET", PAGE)
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - start)
        assert answer.status == 200, body
        if time.perf_counter() >= end:
            connection.close()
            return times


if __name__ == "__main__":
    call(main)
