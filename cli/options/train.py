"""Options of a training: the model, the recipe, and what it runs on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from echo_stream.cli.options.parameters import SHAPE
from echo_stream.cli.options.shared import (
    device_option,
    find_local_modules,
    gathered,
    names_of,
    option,
    seed_option,
    together,
    words_of,
)
from echo_stream.training.config import (
    DEFAULT_LR,
    Augmentation,
    OptimiserName,
    Psi,
    SampleWeights,
    ScheduleName,
    Task,
    TrainConfig,
)

test_option = option(
    "--test", type=click.Path(path_type=Path),
    help="Labelled data to test on, in a format that build reads.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model is trained, how long, and what it is tested on."""

    model: str
    test: Path | None
    input_shape: tuple[int, ...] | None
    train_epochs: int
    train_steps: int | None


_MODEL = (
    option("--model", default="lenet", callback=find_local_modules,
           help="Model to train: lenet, resnet18, mlp, logistic or module:factory."),
    option("--input-shape", type=SHAPE,
           help="Shape in which the model takes a sample, such as 1,28,28."),
    option("--train-epochs", type=click.IntRange(1), default=200,
           help="Number of passes over the coreset."),
    option("--train-steps", type=click.IntRange(1),
           help="Number of optimiser steps, instead of --train-epochs."),
)  # fmt: skip
_TRAINING = (
    *_MODEL,
    option("--task", type=words_of(Task), default="classification",
           help="Task: classification or regression. Regression does not use the structural "
                "loss, which needs pairs of equal labels."),
    option("--batch-size", type=int, default=256,
           help="Samples per step, without support samples."),
    option("--optimiser", type=words_of(OptimiserName), default="sgd",
           help="Optimiser of the model's weights."),
    option("--schedule", type=words_of(ScheduleName), default="cosine",
           help="How the learning rate falls."),
    option("--lr", type=float, help="Learning rate. Default: 0.1 for sgd, 0.001 for the others."),
    option("--momentum", type=float, default=0.9, help="Momentum of sgd."),
    option("--weight-decay", type=float, default=5e-4, help="Weight decay of the optimiser."),
    option("--max-grad-norm", type=float, default=5.0,
           help="Clip gradients to this norm. With 0, never."),
    option("--structure-weight", type=float, default=0.5,
           help="Weight of the structural loss, which draws outputs of equal labels together: the "
                "paper's lambda."),
    option("--margin", type=float, default=1.0,
           help="Margin of the structural loss: the paper's m."),
    option("--support-per-step", type=int, default=64,
           help="Support samples per step: the paper's K."),
    option("--psi", type=words_of(Psi), default="concatenate",
           help="How support samples join the others in a step."),
    option("--mixup-alpha", type=float, default=1.0,
           help="Draw the shares of a mixture from Beta(alpha, alpha)."),
    option("--gamma", type=float, default=1.0,
           help="Where a support sample is placed: from its cell's mean (0) to itself (1), or "
                "beyond."),
    option("--sample-weights", type=words_of(SampleWeights), default="auto",
           help="Weights of samples: none, all the same; full, the number of samples that each "
                "stands for; sqrt, the square root of that; auto, from none to full as classes "
                "have more rows, and none with --preset paper or --balance class."),
    option("--spread/--no-spread", default=None, show_default=False,
           help="Also train on held samples without a label, with the label that is likely. "
                "Default: where there are few labels a class, and enough samples."),
    option("--augment", type=words_of(Augmentation), multiple=True,
           help="Change images at random. May be given several times."),
    option("--train-features", field="features", metavar="MODULE:ATTRIBUTE",
           callback=find_local_modules,
           help="Function or module that computes the model's inputs. Default: the samples."),
    option("--mixed-precision/--no-mixed-precision", default=False,
           help="Compute in bfloat16 where that is safe. For a GPU."),
    option("--compile/--no-compile", default=False,
           help="Compile the model first. For long trainings."),
    option("--evaluations", type=int, default=20,
           help="How often the model is tested while it is trained."),
    option("--threads", type=int, help="CPU threads. Default: all."),
    device_option,
    seed_option,
)  # fmt: skip


def _train_config(
    *,
    train_epochs: int,
    train_steps: int | None,
    train_features: str | None,
    lr: float | None,
    **others: Any,
) -> TrainConfig:
    """Return the settings of a training."""
    return TrainConfig(
        epochs=train_epochs,
        steps=train_steps,
        features=train_features,
        lr=DEFAULT_LR[others["optimiser"]] if lr is None else lr,
        **others,
    )


model_options = gathered("model", ModelOptions, *_MODEL, test_option)
training_options = together(gathered("config", _train_config, *_TRAINING), test_option)


def check_training(ctx: click.Context) -> None:
    """Refuse a training that a call of `train` would not begin.

    Raises
    ------
    ConfigError
    """
    _train_config(**{name: ctx.params[name] for name in names_of(*_TRAINING)})
