"""`echo-stream query`: ask a snapshot in SQL."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options import format_option, snapshot_option, state_option
from echo_stream.cli.output import emit_rows


@click.command(cls=Command)
@click.argument("sql")
@state_option
@snapshot_option
@format_option
def query(*, sql: str, state: Path | None, snapshot: str | None, output_format: str) -> None:
    """Run SQL over a snapshot: tables coreset, cells and edges.

    \b
    Example:
      echo-stream query --state DIR "SELECT label, count(*) FROM coreset GROUP BY label"
    """
    from echo_stream.connectors.query import query_snapshot  # noqa: PLC0415 - imports duckdb
    from echo_stream.connectors.snapshots import find_snapshot  # noqa: PLC0415

    emit_rows(query_snapshot(find_snapshot(state, snapshot), sql), output_format)
