"""`echo-stream train`: a model on a snapshot."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options import (
    allow_local_modules,
    device_option,
    option,
    seed_option,
    snapshot_option,
    state_option,
)
from echo_stream.cli.output import emit, progress, say
from echo_stream.cli.parameters import Interval
from echo_stream.cli.train_options import model_options, recipe_config, recipe_options


@click.command(cls=Command)
@state_option
@snapshot_option
@option("--out", type=click.Path(path_type=Path), help="Folder for models; default: the state's.")
@option(
    "--train-checkpoint-every",
    type=Interval(),
    default="30s",
    help="Steps, or a time such as 30s, after which an interrupted training can go on; or never.",
)
@model_options
@recipe_options
@device_option
@seed_option
def train(*, state: Path | None, snapshot: str | None, out: Path | None, **values: Any) -> None:
    """Train a model on a snapshot, the newest by default, and score it.

    \b
    Example:
      echo-stream train --state DIR --model lenet --test test.npz
    """
    models = out if out is not None else state and state / "models"
    if models is None:
        msg = "give --state DIR, or --snapshot PATH with --out DIR"
        raise click.UsageError(msg)
    from echo_stream.connectors.snapshots import open_snapshot  # noqa: PLC0415
    from echo_stream.connectors.training_job import train_on_snapshot  # noqa: PLC0415

    allow_local_modules()
    config = recipe_config(values)
    if config.task == "regression" and config.structure_weight > 0:
        say("regression has no pairs of equal labels; the structural loss is off")
    # What a user's model prints is not part of the result.
    with (
        open_snapshot(state, snapshot) as unit,
        progress("training") as show,
        contextlib.redirect_stdout(sys.stderr),
    ):
        trained = train_on_snapshot(
            unit,
            config,
            test=values["test"],
            models=models,
            progress=lambda done, total, *scores: show(done, total, _words(*scores)),
            on_resume=lambda steps: say(f"going on after step {steps} of an interrupted training"),
            every=values["train_checkpoint_every"],
        )
    metrics = trained.result.metrics
    if metrics["num_unlabelled"]:
        say(f"{metrics['num_unlabelled']} rows without a label were left out")
    if metrics["diverged"]:
        say("the training diverged; lower --lr")
    emit({"model": str(trained.folder), "snapshot": trained.snapshot_id, **metrics})


def _words(loss: float, share_right: float | None) -> str:
    """Return how a step went, for the progress bar."""
    words = f"training, loss {loss:.3f}"
    return words if share_right is None else f"{words}, {share_right:.0%} of the batch right"
