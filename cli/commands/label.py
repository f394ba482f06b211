"""`echo-stream label`: late labels, into a state or a snapshot."""

from dataclasses import asdict
from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    device_option,
    features_option,
    option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output.output import emit, say


@click.command(cls=Command)
@click.argument("labels", metavar="FILE", type=click.Path(path_type=Path))
@state_option
@snapshot_option
@option(
    "--out", type=click.Path(path_type=Path), help="Folder to write --snapshot with the labels to."
)
@features_option
@device_option
def label(
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
      echo-stream label labels.csv --state DIR
      echo-stream label labels.csv --snapshot coreset --out labelled
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
        say(f"{report.num_label_missed} labels are for samples that are not stored")
    emit({**where, **asdict(report)})
