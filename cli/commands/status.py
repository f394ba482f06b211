"""`echo-stream status`: what a run is doing, asked from another shell."""

from pathlib import Path
from typing import Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import format_option, needed_state, option, state_option
from echo_stream.cli.output.output import emit, emit_rows, say


@click.command(cls=Command)
@state_option
@format_option
@option(
    "--check", is_flag=True, help="Exit with code 1 unless a run is active and has reported lately."
)
@click.pass_context
def status(ctx: click.Context, *, state: Path | None, output_format: str, check: bool) -> None:
    """Show what the run over a state is doing, or how the last one ended.

    `liveness` is alive, ended, died (the next run continues from the newest
    checkpoint), or never (no run has begun yet). If a group shares the state, `members` describes
    each of its processes, and `partitions` has offsets and lag.

    \b
    Example:
      echo-stream status --state DIR --format table
    """
    from echo_stream.connectors.group.status import is_all_well, read_state_status

    folder = needed_state(state)
    found = read_state_status(folder)
    if found["liveness"] != "alive":
        say(_no_run(folder, found))
    if output_format == "json":
        emit(found)
    elif "group" in found:
        _show_group(found)
    else:
        emit_rows([{"what": name, "value": value} for name, value in found.items()], "table")
    if check and not is_all_well(found):
        ctx.exit(1)


def _show_group(found: dict[str, Any]) -> None:
    """Print the status of a group, its processes and its partitions."""
    whole = {name: value for name, value in found.items() if not isinstance(value, (dict, list))}
    emit_rows([whole], "table")
    names = ("member", "liveness", "phase", "samples", "rate", "lag_records_total", "age_s")
    if found["members"]:
        emit_rows([{name: member[name] for name in names} for member in found["members"]], "table")
    rows = [{"partition": name, **each} for name, each in found["partitions"].items()]
    emit_rows(rows, "table")


def _no_run(state: Path, found: dict[str, Any]) -> str:
    """Return what to say where no run is active."""
    if found["liveness"] == "never":
        return f"no run has begun over {state} yet"
    if "group" in found:
        ended = "died; the next ones continue" if found["liveness"] == "died" else "left"
        return f"no member of group {found['group']} is active over {state}; the last ones {ended}"
    if found["liveness"] == "ended":
        return (
            f"no run is active over {state}; the last one stopped at {found['updated']}: "
            f"{found['why']}"
        )
    return (
        f"no run is active over {state}; the last one (pid {found['pid']} on {found['host']}) died "
        f"after {found['updated']}; the next one continues from the newest checkpoint"
    )
