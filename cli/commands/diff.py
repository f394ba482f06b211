"""`echo-stream snapshots diff`: what came and went between two snapshots."""

from pathlib import Path
from typing import Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import data_format_option, option, state_option
from echo_stream.cli.output.output import emit, emit_parquet, emit_rows

BY = ("label", "role", "cell", "sample")


@click.command(cls=Command)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", required=False)
@state_option
@option("--by", type=click.Choice(BY), help="Rows by this alone; default: all of them, as JSON.")
@data_format_option
def diff(
    *, before: str, after: str | None, state: Path | None, by: str | None, output_format: str
) -> None:
    """Compare snapshot A with B, by default the newest: ids within --state, or paths.

    Which samples entered, left and stayed, by label, role and cell, and how far the
    counts of cells have drifted.

    \b
    Example:
      echo-stream snapshots diff ID --state DIR --by label --format table
    """
    if by is None and output_format != "json":
        msg = f"--format {output_format} needs --by {', '.join(BY[:-1])} or {BY[-1]}"
        raise click.UsageError(msg)
    from echo_stream.connectors.storage.snapshot_diff import diff_snapshots  # noqa: PLC0415

    found = diff_snapshots(state, before, after)
    if by is None:
        emit(found)
        return
    rows = _rows(found, by)
    if output_format == "parquet":
        import pyarrow as pa  # noqa: PLC0415 - slow to import

        emit_parquet(pa.Table.from_pylist(rows))
    else:
        emit_rows(rows, output_format)


def _rows(found: dict[str, Any], by: str) -> list[dict[str, Any]]:
    """Return the part of a difference that is asked for, as rows."""
    if by == "sample":
        changes = ("entered", "left")
        return [{"id": name, "change": change} for change in changes for name in found[change]]
    rows: list[dict[str, Any]] | None = found[f"by_{by}"]
    if rows is None:
        msg = "the snapshots are of two generations, whose cells cannot be compared"
        raise click.UsageError(msg)
    return rows
