"""`echo-stream snapshots`: list, show, compare, export, plot, verify, pin and prune."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Group
from echo_stream.cli.options.parameters import SHAPE
from echo_stream.cli.options.shared import (
    data_format_option,
    format_option,
    needed_state,
    option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output.output import emit, emit_parquet, emit_rows

if TYPE_CHECKING:
    from echo_stream.coreset.snapshot import Snapshot

_BY = ("label", "role", "cell", "sample")


@click.group(cls=Group)
def snapshots() -> None:
    """List, show, compare, export, plot, verify, pin and prune snapshots.

    \b
    Example:
      echo-stream snapshots list --state DIR
    """


@snapshots.command("list")
@state_option
@format_option
def list_(*, state: Path | None, output_format: str) -> None:
    """List the snapshots of a state, oldest first.

    \b
    Example:
      echo-stream snapshots list --state DIR --format table
    """
    from echo_stream.connectors.storage.snapshots import describe_snapshots

    emit_rows(describe_snapshots(needed_state(state)), output_format)


@snapshots.command()
@state_option
@snapshot_option
def show(*, state: Path | None, snapshot: str | None) -> None:
    """Show the manifest of a snapshot, by default of the newest.

    \b
    Example:
      echo-stream snapshots show --state DIR
    """
    from echo_stream.connectors.storage.snapshots import open_snapshot, snapshot_manifest

    with open_snapshot(state, snapshot) as unit:
        emit(snapshot_manifest(unit))


@snapshots.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", required=False)
@state_option
@option(
    "--by",
    type=click.Choice(_BY),
    help="Print one row per label, role, cell or sample. Default: everything, as JSON.",
)
@data_format_option
def diff(
    *, before: str, after: str | None, state: Path | None, by: str | None, output_format: str
) -> None:
    """Compare snapshot A with snapshot B, by default the newest.

    A and B are ids of snapshots in --state, or paths. The result has the samples that entered,
    left and stayed, by label, role and cell, and how far the counts of cells have drifted.

    \b
    Example:
      echo-stream snapshots diff ID --state DIR --by label --format table
    """
    if by is None and output_format != "json":
        msg = f"--format {output_format} needs --by {', '.join(_BY[:-1])} or {_BY[-1]}"
        raise click.UsageError(msg)
    from echo_stream.connectors.storage.snapshot_files import diff_snapshots

    found = diff_snapshots(state, before, after)
    if by is None:
        emit(found)
        return
    rows = _rows(found, by)
    if output_format == "parquet":
        import pyarrow as pa

        emit_parquet(pa.Table.from_pylist(rows))
    else:
        emit_rows(rows, output_format)


@snapshots.command()
@click.argument("destination", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option("--image-shape", type=SHAPE,
        help="Shape of images whose samples are vectors, such as 28,28.")  # fmt: skip
def export(
    *,
    destination: Path,
    state: Path | None,
    snapshot: str | None,
    image_shape: tuple[int, ...] | None,
) -> None:
    """Write the rows of a snapshot to DESTINATION: .npz, .parquet, or a new folder of images.

    The folder has a sub-folder of images for each label, and metadata.csv with ids, roles and
    weights.

    \b
    Example:
      echo-stream snapshots export coreset.npz --state DIR
    """
    from echo_stream.connectors.inspect.export import export_snapshot

    written = export_snapshot(_read(state, snapshot), destination, image_shape=image_shape)
    emit({"written": str(written)})


@snapshots.command()
@click.argument("destination", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option("--overwrite", is_flag=True, help="Replace DESTINATION if it exists.")
def plot(*, destination: Path, state: Path | None, snapshot: str | None, overwrite: bool) -> None:
    """Draw the map of a snapshot to DESTINATION, a .png: cells, graph, core and support.

    \b
    Example:
      echo-stream snapshots plot map.png --state DIR
    """
    from echo_stream.connectors.inspect.plot import plot_map

    emit({"written": str(plot_map(_read(state, snapshot), destination, overwrite=overwrite))})


@snapshots.command()
@state_option
@snapshot_option
@format_option
def verify(*, state: Path | None, snapshot: str | None, output_format: str) -> None:
    """Check every byte of all snapshots, or of one, against their checksums.

    The exit code is 4 if one is damaged.

    \b
    Example:
      echo-stream snapshots verify --state DIR
    """
    from echo_stream.connectors.storage.snapshots import verify_snapshots
    from echo_stream.errors import SnapshotError

    rows = verify_snapshots(state, snapshot)
    emit_rows(rows, output_format)
    damaged = [row["snapshot"] for row in rows if not row["intact"]]
    if damaged:
        msg = f"{len(damaged)} of {len(rows)} snapshots are damaged: {', '.join(damaged)}"
        raise SnapshotError(msg)


@snapshots.command()
@state_option
@snapshot_option
def pin(*, state: Path | None, snapshot: str | None) -> None:
    """Protect a snapshot, by default the newest, from being pruned.

    \b
    Example:
      echo-stream snapshots pin --state DIR
    """
    from echo_stream.connectors.storage.retention import pin_snapshot

    emit({"snapshot": pin_snapshot(state, snapshot), "pinned": True})


@snapshots.command()
@state_option
@snapshot_option
def unpin(*, state: Path | None, snapshot: str | None) -> None:
    """Let a snapshot, by default the newest, be pruned again.

    \b
    Example:
      echo-stream snapshots unpin --state DIR --snapshot ID
    """
    from echo_stream.connectors.storage.retention import unpin_snapshot

    emit({"snapshot": unpin_snapshot(state, snapshot), "pinned": False})


@snapshots.command()
@state_option
@option("--keep-newest", type=int, metavar="N",
        help="Number of the newest snapshots to keep.")  # fmt: skip
@option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
def prune(*, state: Path | None, keep_newest: int | None, dry_run: bool) -> None:
    """Remove old snapshots, but none that is pinned or being read.

    A run may be active over the state; `run --keep-snapshots N` does the same after each snapshot.

    \b
    Example:
      echo-stream snapshots prune --state DIR --keep-newest 10 --dry-run
    """
    if keep_newest is None:
        msg = "give --keep-newest N, the number of the newest snapshots to keep"
        raise click.UsageError(msg)
    from echo_stream.connectors.storage.retention import prune_snapshots

    emit(asdict(prune_snapshots(needed_state(state), keep_newest=keep_newest, dry_run=dry_run)))


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


def _read(state: Path | None, snapshot: str | None) -> "Snapshot":
    """Read the snapshot that the options name."""
    from echo_stream.connectors.storage.snapshot_files import read_snapshot
    from echo_stream.connectors.storage.snapshots import open_snapshot

    with open_snapshot(state, snapshot) as unit:
        return read_snapshot(unit)
