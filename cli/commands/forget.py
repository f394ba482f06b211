"""`echo-stream forget`: remove a sample from a state."""

from dataclasses import asdict
from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import (
    device_option,
    features_option,
    needed_state,
    state_option,
)
from echo_stream.cli.output.output import emit, say


@click.command(cls=Command)
@click.argument("sample_id", metavar="ID")
@state_option
@features_option
@device_option
def forget(*, sample_id: str, state: Path | None, features: str | None, device: str) -> None:
    """Remove the samples with an ID from a state, exactly, in a new checkpoint.

    No run may be active over the state. A sample that was counted but is not held cannot be
    removed until the source is read again. The result names the snapshots, earlier checkpoints and
    models that still contain the sample; delete them if necessary.

    \b
    Example:
      echo-stream forget user-4711 --state DIR
    """
    folder = needed_state(state)
    from echo_stream.connectors.app.forgetting import forget_sample

    report = forget_sample(folder, sample_id, features=features, device=device)
    if not report.removed:
        say(f"no sample {sample_id!r} is held; if it was counted, it stays counted")
    emit(asdict(report))
