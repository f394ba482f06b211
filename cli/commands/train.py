"""`echo-stream train`: a model on a snapshot."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.fields import Fields, encoder_option, fields_options, loaded
from echo_stream.cli.options.parameters import INTERVAL
from echo_stream.cli.options.shared import (
    format_option,
    option,
    section,
    snapshot_option,
    state_option,
)
from echo_stream.cli.options.train import training_options
from echo_stream.cli.output.output import emit, emit_rows, progress, say, warn_provisional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from echo_stream.connectors.training.comparison import Subset
    from echo_stream.connectors.training.job import Trained
    from echo_stream.run.schedule import Every
    from echo_stream.training.config import TrainConfig
    from echo_stream.training.loop import Progress


@click.command(cls=Command)
@state_option
@snapshot_option
@option("--compare", type=click.Choice(["random", "balanced"]), multiple=True,
        help="Also train on as many samples of --data. May be given several times.")  # fmt: skip
@option("--data", type=click.Path(path_type=Path),
        help="Data that the snapshot was made of, for --compare.")  # fmt: skip
@format_option
@option("--out", type=click.Path(path_type=Path),
        help="Folder to write models to. Default: models in --state.")  # fmt: skip
@option("--train-checkpoint-every", type=INTERVAL, default="30s",
        help="How often to write a checkpoint, from which an interrupted training continues: "
             "steps, a time such as 30s, or never.")  # fmt: skip
@option("--warm-start/--no-warm-start", default=False,
        help="Start from the weights of the state's current model, where they fit.")  # fmt: skip
@option("--promote/--no-promote", default=False,
        help="Make the model the current one, unless it is worse on held-out samples.")  # fmt: skip
@section("Columns", fields_options, encoder_option)
@training_options
def train(
    *,
    state: Path | None,
    snapshot: str | None,
    out: Path | None,
    data: Path | None,
    compare: "tuple[Subset, ...]",
    warm_start: bool,
    promote: bool,
    output_format: str,
    train_checkpoint_every: "Every | None",
    fields: Fields,
    encoder: str | None,
    test: Path | None,
    config: "TrainConfig",
) -> None:
    """Train a model on a snapshot, by default the newest, and test it.

    \b
    Example:
      echo-stream train --state DIR --model lenet --test test.npz
    """
    models = out if out is not None else state and state / "models"
    if models is None:
        msg = "give --state DIR, or --snapshot PATH with --out DIR"
        raise click.UsageError(msg)
    if compare and (data is None or test is None):
        msg = "--compare needs --data, the source of the snapshot, and --test to test on"
        raise click.UsageError(msg)
    from echo_stream.connectors.storage.snapshots import find_snapshot
    from echo_stream.connectors.training.job import train_on_snapshot

    if config.task == "regression" and config.structure_weight > 0:
        say("the structural loss is off: a regression has no pairs of equal labels")
    unit = find_snapshot(state, snapshot)
    warn_provisional(unit)
    columns = None if test is None else fields.columns(loaded(encoder, config.device))
    # What a user's model prints is not part of the result.
    with _training_bar() as show, contextlib.redirect_stdout(sys.stderr):
        trained = train_on_snapshot(
            unit,
            config,
            test=test,
            columns=columns,
            models=models,
            progress=show("coreset"),
            on_resume=lambda steps: say(f"continuing an interrupted training after step {steps}"),
            every=train_checkpoint_every,
            warm_start=warm_start,
            promote=promote,
        )
        rows = []
        if compare and data is not None and test is not None:
            from echo_stream.connectors.training.comparison import compare_subsets

            rows = compare_subsets(
                trained, data, compare, test=test, columns=columns, models=models, progress=show,
                every=train_checkpoint_every,
            )  # fmt: skip
    _tell(trained, rows, output_format)


@contextlib.contextmanager
def _training_bar() -> "Iterator[Callable[[str], Progress]]":
    """Show loss, accuracy and time left of trainings, by name, while the block runs."""
    with progress("training") as show:
        yield lambda name: lambda done, total, *scores: show(done, total, _words(name, *scores))


def _words(name: str, loss: float, share_right: float | None) -> str:
    """Return how a step went, for the progress bar."""
    words = f"training on {name}, loss {loss:.3f}"
    return words if share_right is None else f"{words}, {share_right:.0%} of the batch right"


def _tell(trained: "Trained", rows: list[dict[str, Any]], output_format: str) -> None:
    """Print what a training has come to."""
    metrics = trained.result.metrics
    if metrics["spread"] is not None:
        say(metrics["spread"])
    if metrics["num_unlabelled"]:
        say(f"{metrics['num_unlabelled']} rows without a label were left out")
    if trained.verdict is not None:
        what = "the current model" if trained.verdict.is_current else "a challenger"
        say(f"{what}: {trained.verdict.reason}")
    if metrics["diverged"]:
        say("the training diverged; lower --lr")
    if output_format == "table":
        emit_rows([_rounded(row) for row in rows or [_summary(metrics)]], output_format)
        return
    result = {"model": str(trained.folder), "snapshot": trained.snapshot_id, **metrics}
    result["verdict"] = None if trained.verdict is None else trained.verdict.to_json()
    emit(result | ({"comparison": rows} if rows else {}))


def _summary(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what people look at first."""
    names = (
        "labels_used",
        "pseudo_labelled",
        "accuracy",
        "ece",
        "rmse",
        "mae",
        "r2",
        "steps",
        "loss",
    )
    return {name: metrics[name] for name in names if name in metrics}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with as many digits as people read."""
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}
