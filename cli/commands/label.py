"""`echo-stream label`: late labels from a file, and which samples to label next."""

from dataclasses import asdict
from pathlib import Path

import click

from echo_stream.cli.command import Group
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    data_format_option,
    device_option,
    features_option,
    option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output.output import emit, emit_parquet, emit_rows, say, warn_provisional


@click.group(cls=Group)
def label() -> None:
    """Suggest samples to label next, and import labels from a file.

    \b
    Example:
      echo-stream label suggest --state DIR --count 50 --format csv > next.csv
      echo-stream label import labels.csv --state DIR
    """


@label.command()
@state_option
@snapshot_option
@option("--count", type=click.IntRange(min=1), default=50, help="How many samples to suggest.")
@data_format_option
def suggest(*, state: Path | None, snapshot: str | None, count: int, output_format: str) -> None:
    """List the samples of a snapshot whose labels would tell the most, the most useful first.

    Samples are suggested that stand for many others whose label is unsure, far from labels and
    from each other. All samples of the snapshot that have no label can be among them, not only
    the rows of the coreset. `likely` is the label that the known ones suggest. `gain` is the
    share of all uncertainty that this label is expected to settle.

    Put the answers into a file with the columns id and label, and give it to `label import`.

    \b
    Example:
      echo-stream label suggest --state DIR --count 50 --format csv > next.csv
    """
    from echo_stream.connectors.inspect.suggested import suggested_table
    from echo_stream.connectors.storage.snapshots import open_snapshot

    with open_snapshot(state, snapshot) as unit:
        found = suggested_table(unit, count)
        warn_provisional(unit)
    if found.num_rows < count:
        say(f"only {found.num_rows} samples of the snapshot have no label")
    if output_format == "parquet":
        emit_parquet(found)
    else:
        emit_rows(found.to_pylist(), output_format)


@label.command("import")
@click.argument("labels", metavar="FILE", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option(
    "--out", type=click.Path(path_type=Path), help="Folder to write --snapshot with the labels to."
)
@features_option
@device_option
def import_(
    *,
    labels: Path,
    state: Path | None,
    snapshot: str | None,
    out: Path | None,
    features: str | None,
    device: str,
) -> None:
    """Set the labels of samples in a state, in a new checkpoint and snapshot.

    FILE is CSV with the columns id and label. A label written as a number is a number. If an id
    occurs several times, its last label counts. No run may be active over the state. Labels do not
    change which rows the snapshot has.

    With --snapshot the labels are written into a copy of that snapshot, at --out.

    \b
    Example:
      echo-stream label import labels.csv --state DIR
      echo-stream label import labels.csv --snapshot coreset --out labelled
    """
    from echo_stream.connectors.app.labelling import label_samples, label_snapshot

    if snapshot is not None and (is_flag("snapshot") or state is None):
        if out is None:
            msg = "give --out DIR, the folder to write the snapshot with the labels to"
            raise click.UsageError(msg)
        report, where = label_snapshot(state, snapshot, labels, out), {"out": str(out)}
    elif state is None:
        msg = "give --state DIR or --snapshot PATH"
        raise click.UsageError(msg)
    elif out is not None and is_flag("out"):
        msg = "--out can only be used with --snapshot"
        raise click.UsageError(msg)
    else:
        report = label_samples(state, labels, features=features, device=device)
        where = {"state": str(state)}
    if report.num_label_missed:
        say(f"{report.num_label_missed} labels are for samples that are not held")
    emit({**where, **asdict(report)})
