"""Options of a training: the model, the recipe, and what it runs on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.parameters import Shape
from echo_stream.cli.options.shared import option, together

if TYPE_CHECKING:
    from echo_stream.training.config import TrainConfig

model_options = together(
    option(
        "--model",
        default="lenet",
        help="lenet, resnet18, mlp, logistic or module:factory.",
    ),
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

_RECIPE = {
    "task": option("--task", type=click.Choice(["classification", "regression"]),
                   default="classification", help="What labels are; regression has no pairs, so "
                                                  "the structural loss is off."),
    "batch_size": option("--batch-size", type=int, default=256, help="Core samples a step."),
    "optimiser": option("--optimiser", type=click.Choice(["sgd", "adam", "adamw"]), default="sgd",
                        help="What takes the steps."),
    "schedule": option("--schedule", type=click.Choice(["cosine", "linear", "constant"]),
                       default="cosine", help="How the learning rate falls."),
    "lr": option("--lr", type=float, help="Learning rate; default: 0.1 for sgd, 0.001 for others."),
    "momentum": option("--momentum", type=float, default=0.9, help="Of sgd."),
    "weight_decay": option("--weight-decay", type=float, default=5e-4, help="Of the optimiser."),
    "max_grad_norm": option("--max-grad-norm", type=float, default=5.0,
                            help="Cut longer gradients to this length; 0: never."),
    "structure_weight": option("--structure-weight", type=float, default=0.5,
                               help="The paper's lambda."),
    "margin": option("--margin", type=float, default=1.0, help="The paper's m."),
    "support_per_step": option("--support-per-step", type=int, default=64, help="The paper's K."),
    "psi": option("--psi", type=click.Choice(["concatenate", "mixup"]), default="concatenate",
                  help="How core and support join."),
    "mixup_alpha": option("--mixup-alpha", type=float, default=1.0,
                          help="Shares of a mixture come from Beta(alpha, alpha)."),
    "gamma": option("--gamma", type=float, default=1.0,
                    help="Where support lies between its cell's mean (0) and itself (1), or "
                         "beyond."),
    "sample_weights": option("--sample-weights", default="auto",
                             type=click.Choice(["auto", "none", "sqrt", "full"]),
                             help="What samples weigh: none, all the same; full, how many they "
                                  "stand for; sqrt, the root of that; auto, from none to full as "
                                  "a class has more rows, and none under --preset paper and "
                                  "--balance class."),
    "augment": option("--augment", type=click.Choice(["crop", "flip"]), multiple=True,
                      help="Random changes of images; may be repeated."),
    "train_features": option("--train-features", metavar="MODULE:ATTRIBUTE",
                             help="What makes the vectors that the model takes; default: samples "
                                  "as they are."),
    "mixed_precision": option("--mixed-precision/--no-mixed-precision", default=False,
                              help="Compute in bfloat16 where that is safe; for a GPU."),
    "compile": option("--compile/--no-compile", default=False,
                      help="Let torch compile the model first; for long trainings."),
    "evaluations": option("--evaluations", type=int, default=20,
                          help="Points of the learning curve, each of which scores the model."),
    "threads": option("--threads", type=int, help="CPU threads; default: all."),
}  # fmt: skip

recipe_options = together(*_RECIPE.values())


def recipe_config(values: dict[str, Any]) -> "TrainConfig":
    """Return the training's settings from the values of `model_options` and `recipe_options`."""
    from echo_stream.training.config import DEFAULT_LR, TrainConfig  # noqa: PLC0415

    recipe = {name: values[name] for name in (*_RECIPE, "model", "input_shape", "device", "seed")}
    recipe["features"] = recipe.pop("train_features")
    if recipe["lr"] is None:
        recipe["lr"] = DEFAULT_LR[recipe["optimiser"]]
    return TrainConfig(epochs=values["train_epochs"], steps=values["train_steps"], **recipe)
