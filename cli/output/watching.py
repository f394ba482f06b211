"""How a run is shown while it goes on: one line on a terminal, log lines elsewhere."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from echo_stream.cli.output.logs import STATUS_LOGGER

if TYPE_CHECKING:
    from rich.console import RenderableType

    from echo_stream.connectors.runner.monitor import RunMonitor

logger = logging.getLogger(STATUS_LOGGER)
logger.setLevel(logging.INFO)  # the handler decides

_REFRESH_HZ = 4
LOG_EVERY_S = 60.0


@contextmanager
def watched(total: int | None) -> "Iterator[RunMonitor]":
    """Show the progress of a run on stderr; yield the monitor that observes the run.

    Parameters
    ----------
    total : int or None
        Samples after which the run ends, if it is known.
    """
    from rich.console import Console
    from rich.live import Live

    from echo_stream.connectors.runner.monitor import RunMonitor

    monitor, console = RunMonitor(), Console(stderr=True)
    if not console.is_terminal:
        with _logged(monitor):
            yield monitor
        return
    with Live(
        get_renderable=lambda: _line(monitor, total),
        console=console,
        refresh_per_second=_REFRESH_HZ,
        transient=True,
        redirect_stdout=False,
    ):
        yield monitor


@contextmanager
def _logged(monitor: "RunMonitor") -> Iterator[None]:
    """Log a line a minute."""
    over = threading.Event()

    def log() -> None:
        while not over.wait(LOG_EVERY_S):
            logger.info("status", extra={"phase": monitor.current_phase, **_numbers(monitor)})

    thread = threading.Thread(target=log, name="status-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _line(monitor: "RunMonitor", total: int | None) -> "RenderableType":
    """Return the line of a moment, with a bar where an end is known."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    done, end = monitor.report.samples, total
    if monitor.current_phase == "training":
        done, end = monitor.epochs
    grid = Table.grid(padding=(0, 1))
    cells: list[RenderableType] = [status_line(monitor)]
    if end:
        cells.append(ProgressBar(total=end, completed=min(done, end), width=20))
    grid.add_row(*cells)
    return grid


def status_line(monitor: "RunMonitor") -> str:
    """Return phase, rate, lag, coreset and what is known of it in one line."""
    numbers = _numbers(monitor)
    words = [f"{numbers['n']:,} counted", f"{numbers['rate']:,.0f}/s"]
    if "lag_records" in numbers:
        words.append(f"lag {numbers['lag_records']:,} ({numbers['lag_seconds']:.1f} s)")
    if "coreset_size" in numbers:
        words.append(f"coreset {numbers['coreset_size']:,}")
        if numbers["certified_fraction"] is not None:
            words.append(f"{numbers['certified_fraction']:.1%} certified")
        if numbers["coverage_at_least"] is not None:
            words.append(f"{numbers['coverage_at_least']:.1%} covered, at least")
    if numbers["rejected"]:
        words.append(f"{numbers['rejected']:,} rejected")
    return f"{monitor.current_phase}: " + ", ".join(words)


def _numbers(monitor: "RunMonitor") -> dict[str, Any]:
    """Return what the line says, by name; without what is not known yet."""
    from echo_stream.connectors.runner.status import status_of

    status = status_of(monitor)
    found = {name: status[name] for name in ("n", "rate", "rejected")}
    if monitor.reading.partitions:
        found["lag_records"] = status["lag_records_total"]
        found["lag_seconds"] = status["lag_seconds_max"]
    if status["coreset_size"] is not None:
        shown = ("coreset_size", "certified_fraction", "coverage_at_least")
        found |= {name: status[name] for name in shown}
    return found
