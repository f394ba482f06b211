"""`echo-stream why`: why a sample is in the coreset or not."""

from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import (
    device_option,
    features_option,
    needed_state,
    option,
    state_option,
)
from echo_stream.cli.output.output import emit, say


@click.command(cls=Command)
@click.argument("sample_id", metavar="ID")
@state_option
@option("--data", type=click.Path(path_type=Path),
        help="Data file with the sample, to explain one that is not held.")  # fmt: skip
@features_option
@device_option
def why(
    *, sample_id: str, state: Path | None, data: Path | None, features: str | None, device: str
) -> None:
    """Explain why a sample is in the coreset or not, by the newest checkpoint of a state.

    The result has its cell, rank, distance and role; its place in Kafka; and the first snapshot
    that it is in. With --preset adaptive it has what the sample represents, or the row nearest to
    it; with fixed cells, whether its rank is certified, and the samples that precede it.

    \b
    Example:
      echo-stream why user-4711 --state DIR --data sample.npy
    """
    folder = needed_state(state)
    from echo_stream.connectors.inspect.why import why_sample

    told = why_sample(folder, sample_id, data=data, features=features, device=device)
    say(told["why"])
    emit(told)
