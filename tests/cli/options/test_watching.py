"""The line that a terminal shows while a run goes on."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from echo_stream.cli.output.watching import status_line
from echo_stream.connectors.runner.monitor import Reading, RunMonitor
from echo_stream.run.observer import PartitionProgress
from echo_stream.run.report import RunReport
from tests.support.commands import TINY, write_data
from tests.support.crashes.environment import user_environment

LINE = r"(warming up|running|training|stopping): [\d,]+ counted, [\d,]+/s"


def on_terminal(*words: object) -> str:
    """Run a command whose stderr is a terminal, and return what that has shown."""
    terminal, end = pty.openpty()
    environment = {**user_environment(), "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "echo_stream", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=environment) as process:
        os.close(end)
        shown = b""
        try:
            while chunk := os.read(terminal, 65_536):
                shown += chunk
        except OSError:
            pass  # so does Linux say that the other end is closed
        os.close(terminal)
        assert process.wait() == 0, shown
    return shown.decode()


@pytest.mark.slow
def test_a_terminal_shows_a_line(tmp_path: Path) -> None:
    """Phase, samples and rate are there while it runs, and log lines do not break it."""
    data = write_data(tmp_path / "data.npz")
    words = ["run", data, "--state", tmp_path / "state", *TINY, "--log-level", "info"]
    shown = on_terminal(*words)
    assert re.search(LINE, shown), shown
    for line in shown.splitlines():
        assert not re.search(LINE + ".* INFO ", line), line
    assert "checkpoint is durable" in shown


def test_the_line_has_what_is_known() -> None:
    """Lag, coreset, what is known of it and rejected messages come in once there are any."""
    monitor = RunMonitor()
    assert status_line(monitor) == "starting: 0 counted, 0/s"
    monitor.report = RunReport(n=12_345, rejected=2)
    monitor.reading = Reading({"t/0": 5}, {"t/0": PartitionProgress(1_005, None, 5, 50)})
    monitor.snapshot_manifest = {"num_distinct": 1_000, "certified_fraction": 0.9876}
    assert status_line(monitor) == (
        "starting: 12,345 counted, 0/s, lag 1,000 (0.0 s), coreset 1,000, 98.8% certified, "
        "2 rejected"
    )
    monitor.snapshot_manifest = {"num_distinct": 1_000, "coverage_at_least": 0.875}
    assert "coreset 1,000, 87.5% covered, at least, 2 rejected" in status_line(monitor)


def test_lag_in_seconds_is_the_age_of_the_newest_counted() -> None:
    """Of a partition that is behind; one that has all is at 0, one not read yet has none."""
    now_ms = 1_000_000
    reading = Reading(
        {"t/0": 5, "t/1": 5, "t/2": 0},
        {
            "t/0": PartitionProgress(9, now_ms - 2_500, 5, 50),
            "t/1": PartitionProgress(5, now_ms - 9_000, 5, 50),
            "t/2": PartitionProgress(9, None, 0, 0),
        },
    )
    assert reading.lag_records() == {"t/0": 4, "t/1": 0, "t/2": 9}
    assert reading.lag_seconds(now_ms / 1_000) == {"t/0": 2.5, "t/1": 0.0}
