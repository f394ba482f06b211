"""`echo-stream query`: ask snapshots in SQL."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options import data_format_option, option, snapshot_option, state_option
from echo_stream.cli.output import emit_parquet, emit_rows


@click.command(cls=Command)
@click.argument("sql")
@state_option
@snapshot_option
@data_format_option
@option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0,
        help="Seconds that the query may take.")  # fmt: skip
def query(
    *, sql: str, state: Path | None, snapshot: str | None, output_format: str, timeout: float
) -> None:
    """Run SQL over a snapshot, or over the history of all in --state.

    Tables: coreset, cells and edges of the snapshot; snapshots, one row each; and
    coreset_history, cells_history and edges_history, the rows of all snapshots with
    snapshot_id and snapshot_time.

    \b
    Example:
      echo-stream query --state DIR "SELECT label, count(*) FROM coreset GROUP BY label"
    """
    from echo_stream.connectors.query import query_snapshot, query_table  # noqa: PLC0415
    from echo_stream.connectors.snapshots import open_snapshot  # noqa: PLC0415

    with open_snapshot(state, snapshot) as unit:
        if output_format == "parquet":
            emit_parquet(query_table(unit, sql, state=state, timeout_s=timeout))
        else:
            emit_rows(query_snapshot(unit, sql, state=state, timeout_s=timeout), output_format)
