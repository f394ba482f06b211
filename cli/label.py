"""`echo-stream label`: labels that came late, into a state."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options import (
    allow_local_modules,
    device_option,
    features_option,
    state_option,
)
from echo_stream.cli.output import emit, say


@click.command(cls=Command)
@click.argument("labels", metavar="FILE", type=click.Path(path_type=Path))
@state_option
@features_option
@device_option
def label(*, labels: Path, state: Path | None, features: str | None, device: str) -> None:
    """Set the labels of samples that a state holds, in a new checkpoint.

    FILE is CSV with the columns id and label; a label written as a number is one, and of
    several for one id the last one counts. No consumer may be running on the state. Labels
    choose nothing: the next snapshot has the same rows.

    \b
    Example:
      echo-stream label labels.csv --state DIR
    """
    if state is None:
        msg = "give --state DIR, the folder that holds the samples"
        raise click.UsageError(msg)
    from dataclasses import asdict  # noqa: PLC0415

    from echo_stream.connectors.labelling import label_samples  # noqa: PLC0415 - imports torch

    if features is not None:
        allow_local_modules()
    report = label_samples(state, labels, features=features, device=device)
    if report.num_label_missed:
        say(f"{report.num_label_missed} labels are of samples that are not held")
    emit({"state": str(state), **asdict(report)})
