"""`echo-stream snapshots`: what there is, one in full, exports, pictures and upkeep."""

from pathlib import Path
from typing import Any

import click

from echo_stream.cli.command import Group
from echo_stream.cli.commands.diff import diff
from echo_stream.cli.commands.retention import pin, prune, unpin, verify
from echo_stream.cli.options.parameters import Shape
from echo_stream.cli.options.shared import (
    format_option,
    needed_state,
    option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output.output import emit, emit_rows


@click.group(cls=Group)
def snapshots() -> None:
    """List, show, compare, export, draw, verify, pin and prune snapshots.

    \b
    Example:
      echo-stream snapshots list --state DIR
    """


for command in (diff, pin, prune, unpin, verify):
    snapshots.add_command(command)


@snapshots.command("list")
@state_option
@format_option
def list_(*, state: Path | None, output_format: str) -> None:
    """List the snapshots of a state, oldest first.

    \b
    Example:
      echo-stream snapshots list --state DIR --format table
    """
    from echo_stream.connectors.storage.snapshots import describe_snapshots  # noqa: PLC0415

    emit_rows(describe_snapshots(needed_state(state)), output_format)


@snapshots.command()
@state_option
@snapshot_option
def show(*, state: Path | None, snapshot: str | None) -> None:
    """Show the manifest of a snapshot, the newest by default.

    \b
    Example:
      echo-stream snapshots show --state DIR
    """
    from echo_stream.connectors.storage.snapshots import (  # noqa: PLC0415
        open_snapshot,
        snapshot_manifest,
    )

    with open_snapshot(state, snapshot) as unit:
        emit(snapshot_manifest(unit))


@snapshots.command()
@click.argument("target", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option("--image-shape", type=Shape(), help="Of images, where samples are vectors: 28,28.")
def export(
    *, target: Path, state: Path | None, snapshot: str | None, image_shape: tuple[int, ...] | None
) -> None:
    """Write the rows of a snapshot to TARGET: .npz, .parquet, or a new folder of images.

    The images lie in a sub-folder for each label; metadata.csv has ids, roles and weights.

    \b
    Example:
      echo-stream snapshots export coreset.npz --state DIR
    """
    from echo_stream.connectors.inspect.export import export_snapshot  # noqa: PLC0415

    written = export_snapshot(_read(state, snapshot), target, image_shape=image_shape)
    emit(_written(written))


@snapshots.command()
@click.argument("target", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option("--overwrite", is_flag=True, help="Replace TARGET if it exists.")
def plot(*, target: Path, state: Path | None, snapshot: str | None, overwrite: bool) -> None:
    """Draw the map of a snapshot to TARGET, a .png: cells, graph, core and support.

    \b
    Example:
      echo-stream snapshots plot map.png --state DIR
    """
    from echo_stream.connectors.inspect.plot import plot_map  # noqa: PLC0415 - imports matplotlib

    emit(_written(plot_map(_read(state, snapshot), target, overwrite=overwrite)))


def _read(state: Path | None, snapshot: str | None) -> Any:
    """Read the snapshot that the options name."""
    from echo_stream.connectors.storage.snapshot_files import read_snapshot  # noqa: PLC0415
    from echo_stream.connectors.storage.snapshots import open_snapshot  # noqa: PLC0415

    with open_snapshot(state, snapshot) as unit:
        return read_snapshot(unit)


def _written(path: Path) -> dict[str, str]:
    """Return what to print of a file that has been written."""
    return {"written": str(path)}
