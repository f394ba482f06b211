"""`echo-stream query`: query snapshots in SQL."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from echo_stream.cli.command import Command, name_settings
from echo_stream.cli.options.shared import data_format_option, option, snapshot_option, state_option
from echo_stream.cli.output.output import emit_parquet, emit_rows, say, warn_provisional
from echo_stream.errors import EchoStreamError


@click.command(cls=Command)
@click.argument("sql")
@state_option
@snapshot_option
@data_format_option
@option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0,
        help="Seconds after which the query is stopped.")  # fmt: skip
def query(
    *, sql: str, state: Path | None, snapshot: str | None, output_format: str, timeout: float
) -> None:
    """Query a snapshot, or the history of all snapshots of a state, in SQL.

    The tables coreset, cells and edges are those of the snapshot. The table snapshots has one row
    per snapshot of --state. coreset_history, cells_history and edges_history have the rows of all
    of them, with snapshot_id and snapshot_time.

    \b
    Example:
      echo-stream query --state DIR "SELECT label, count(*) FROM coreset GROUP BY label"
    """
    from echo_stream.connectors.inspect.query import guarded, query_snapshot, query_table
    from echo_stream.connectors.storage.snapshots import open_snapshot

    ask: Callable[..., Any] = query_table if output_format == "parquet" else query_snapshot
    end = partial(_end, click.get_current_context())
    with open_snapshot(state, snapshot) as unit, guarded(timeout, end):
        found = ask(unit, sql, state=state, timeout_s=timeout)
        warn_provisional(unit)
    if output_format == "parquet":
        emit_parquet(found)
    else:
        emit_rows(found, output_format)


def _end(ctx: click.Context, err: EchoStreamError) -> None:
    """End the process as this error would, while the query goes on."""
    name_settings(err, ctx)
    say(f"Error: {err}")
    sys.stderr.flush()
    os._exit(1)
