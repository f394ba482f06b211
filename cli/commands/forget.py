"""`echo-stream forget`: take a sample out of a state."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import (
    allow_local_modules,
    device_option,
    features_option,
    state_option,
)
from echo_stream.cli.output.output import emit, say


@click.command(cls=Command)
@click.argument("sample_id", metavar="ID")
@state_option
@features_option
@device_option
def forget(*, sample_id: str, state: Path | None, features: str | None, device: str) -> None:
    """Take the samples of ID out of a state, exactly, in a new checkpoint.

    No consumer may be running on the state. A sample that was counted but is not held
    cannot be taken out until the source is read again. The result names the snapshots,
    earlier checkpoints and models that still hold the sample; delete them if they must go.

    \b
    Example:
      echo-stream forget user-4711 --state DIR
    """
    if state is None:
        msg = "give --state DIR, the folder that holds the sample"
        raise click.UsageError(msg)
    from dataclasses import asdict  # noqa: PLC0415

    from echo_stream.connectors.app.forgetting import forget_sample  # noqa: PLC0415 - imports torch

    if features is not None:
        allow_local_modules()
    report = forget_sample(state, sample_id, features=features, device=device)
    if not report.removed:
        say(f"no sample {sample_id!r} is held; if it was counted, it still is")
    emit(asdict(report))
