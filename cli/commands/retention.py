"""`echo-stream snapshots verify`, `pin`, `unpin` and `prune`: the upkeep of a store."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import (
    format_option,
    needed_state,
    option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output.output import emit, emit_rows


@click.command(cls=Command)
@state_option
@snapshot_option
@format_option
def verify(*, state: Path | None, snapshot: str | None, output_format: str) -> None:
    """Check every byte of all snapshots, or of one, against their checksums.

    Exit code 4 when one is damaged.

    \b
    Example:
      echo-stream snapshots verify --state DIR
    """
    from echo_stream.connectors.storage.verification import verify_snapshots  # noqa: PLC0415
    from echo_stream.errors import SnapshotError  # noqa: PLC0415

    rows = verify_snapshots(state, snapshot)
    emit_rows(rows, output_format)
    damaged = [row["snapshot"] for row in rows if not row["whole"]]
    if damaged:
        msg = f"{len(damaged)} of {len(rows)} snapshots are damaged: {', '.join(damaged)}"
        raise SnapshotError(msg)


@click.command(cls=Command)
@state_option
@snapshot_option
def pin(*, state: Path | None, snapshot: str | None) -> None:
    """Keep a snapshot, the newest by default, from being pruned.

    \b
    Example:
      echo-stream snapshots pin --state DIR
    """
    from echo_stream.connectors.storage.retention import pin_snapshot  # noqa: PLC0415

    emit({"snapshot": pin_snapshot(state, snapshot), "pinned": True})


@click.command(cls=Command)
@state_option
@snapshot_option
def unpin(*, state: Path | None, snapshot: str | None) -> None:
    """Let a snapshot, the newest by default, be pruned again.

    \b
    Example:
      echo-stream snapshots unpin --state DIR --snapshot ID
    """
    from echo_stream.connectors.storage.retention import unpin_snapshot  # noqa: PLC0415

    emit({"snapshot": unpin_snapshot(state, snapshot), "pinned": False})


@click.command(cls=Command)
@state_option
@option("--keep", type=click.IntRange(1), help="How many of the newest stay.")
@option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def prune(*, state: Path | None, keep: int | None, dry_run: bool) -> None:
    """Remove all snapshots but the newest, those that are pinned and those being read.

    A consumer may be running: `run --keep-snapshots N` does the same after each snapshot.

    \b
    Example:
      echo-stream snapshots prune --state DIR --keep 10 --dry-run
    """
    if keep is None:
        msg = "give --keep N, how many of the newest stay"
        raise click.UsageError(msg)
    from dataclasses import asdict  # noqa: PLC0415

    from echo_stream.connectors.storage.retention import prune_snapshots  # noqa: PLC0415

    emit(asdict(prune_snapshots(needed_state(state), keep=keep, dry_run=dry_run)))
