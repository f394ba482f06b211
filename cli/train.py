"""`echo-stream train`: a model on a snapshot."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options import (
    allow_local_modules,
    device_option,
    option,
    seed_option,
    snapshot_option,
    state_option,
    together,
)
from echo_stream.cli.output import emit, progress, say
from echo_stream.cli.parameters import Shape

if TYPE_CHECKING:
    from echo_stream.train_config import TrainConfig


model_options = together(
    option("--model", default="lenet", help="lenet, mlp or module:factory."),
    option(
        "--test",
        type=click.Path(path_type=Path),
        help="Labelled data to score on, as for build.",
    ),
    option(
        "--input-shape",
        type=Shape(),
        help="Shape in which the model takes a sample, such as 1,28,28.",
    ),
    option("--train-epochs", type=click.IntRange(1), default=200, help="Passes over the core."),
    option(
        "--train-steps", type=click.IntRange(1), help="Optimiser steps, instead of --train-epochs."
    ),
)


def train_config(values: dict[str, Any], **more: Any) -> "TrainConfig":
    """Return the training's settings from the values of `model_options`."""
    from echo_stream.train_config import TrainConfig  # noqa: PLC0415 - imports torch

    return TrainConfig(
        model=values["model"],
        input_shape=values["input_shape"],
        epochs=values["train_epochs"],
        steps=values["train_steps"],
        **more,
    )


@click.command(cls=Command)
@state_option
@snapshot_option
@option("--out", type=click.Path(path_type=Path), help="Folder for models; default: the state's.")
@model_options
@option("--batch-size", type=int, default=256, help="Core samples a step.")
@option("--lr", type=float, default=0.1, help="Learning rate; falls to 0 along a cosine.")
@option("--structure-weight", type=float, default=0.5, help="The paper's lambda.")
@option("--margin", type=float, default=1.0, help="The paper's m.")
@option("--support-per-step", type=int, default=64, help="The paper's K.")
@option("--threads", type=int, help="CPU threads; default: all.")
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
    from echo_stream.connectors.snapshots import find_snapshot  # noqa: PLC0415
    from echo_stream.connectors.training_job import train_on_snapshot  # noqa: PLC0415

    allow_local_modules()
    names = ("batch_size", "lr", "structure_weight", "margin", "support_per_step", "threads",
             "device", "seed")  # fmt: skip
    config = train_config(values, **{name: values[name] for name in names})
    unit = find_snapshot(state, snapshot)
    # What a user's model prints is not part of the result.
    with progress("training") as show, contextlib.redirect_stdout(sys.stderr):
        trained = train_on_snapshot(
            unit,
            config,
            test=values["test"],
            models=models,
            progress=lambda done, total, _: show(done, total),
        )
    metrics = trained.result.metrics
    if metrics["num_unlabelled"]:
        say(f"{metrics['num_unlabelled']} rows without a label were left out")
    if metrics["diverged"]:
        say("the training diverged; lower --lr")
    emit({"model": str(trained.folder), "snapshot": trained.snapshot_id, **metrics})
