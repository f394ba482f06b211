"""Options that several commands share, with their environment variables.

A variable is ECHO_STREAM_<OPTION>, the same for every command; in a settings file the
option has the same name, in lower case and without the prefix.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from echo_stream.cli.options.settings import Setting

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


def option(*names: str, **settings: Any) -> Decorator[Any]:
    """Return a click option with its default and its environment variable in the help."""
    long_name = next(name for name in names if name.startswith("--"))
    variable = long_name.removeprefix("--").split("/")[0].replace("-", "_").upper()
    settings.setdefault("show_default", True)
    variable = f"ECHO_STREAM_{variable}"
    return click.option(*names, cls=Setting, envvar=variable, show_envvar=True, **settings)


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that applies several, the first outermost."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


data_argument = click.argument("data", type=click.Path(path_type=Path))
state_option = option("--state", type=click.Path(path_type=Path), help="The state folder.")
snapshot_option = option(
    "--snapshot", metavar="ID|PATH", help="A snapshot's id within --state, or its path."
)
device_option = option("--device", default="auto", help="auto, cpu, cuda or cuda:i.")
seed_option = option("--seed", type=int, default=0, help="Fixes everything random.")
format_option = option(
    "--format", "output_format", type=click.Choice(["json", "table"]), default="json",
    help="JSON for programs, a table for people.",
)  # fmt: skip
data_format_option = option(
    "--format", "output_format", type=click.Choice(["json", "table", "csv", "parquet"]),
    default="json", help="JSON, CSV or Parquet for programs, a table for people.",
)  # fmt: skip
servers_option = option(
    "--bootstrap-servers", metavar="HOST:PORT[,...]", help="Kafka brokers to connect to first."
)

features_option = option(
    "--features", metavar="MODULE:ATTRIBUTE",
    help="A torch module, or a function of arrays, that makes the vectors in which samples are "
         "measured; default: samples as they are.",
)  # fmt: skip

_ENGINE_OPTIONS = {
    "budget": option("--budget", type=int, default=1_000,
                     help="Rows of the coreset; under --preset paper those of the core."),
    "preset": option("--preset", default="default", help="default, or paper: as published."),
    "cells": option("--cells", help="grid, grid-budget or codebook; default: by preset."),
    "latent": option("--latent", help="encoder, pca or identity; default: by preset."),
    "rank": option("--rank", help="center, uniform or mixed; default: by preset."),
    "support": option("--support", type=int,
                      help="Support samples per cell, on top of the budget; --preset paper only."),
    "support_share": option("--support-share", type=float, default=0.0,
                            help="Share of the budget for support, at most a half; other presets."),
    "balance": option("--balance", default="none",
                      help="class: as many rows of each label, as far as there are samples."),
    "encoder": option("--encoder", default="mlp", help="linear or mlp."),
    "objective": option(
        "--objective", default="profile", help="What the encoder keeps: profile or pairwise."
    ),
    "latent_dim": option("--latent-dim", type=int, default=2, help="Axes of the latent space."),
    "epochs": option("--epochs", type=int, default=40, help="Passes of the encoder's training."),
    "standardise": option("--standardise/--no-standardise", default=False,
                          help="Centre and scale each feature."),
    "warmup": option("--warmup", type=int, default=10_000,
                     help="Samples that the generation is trained on: a stream's first, or a "
                          "uniform sample of a build's."),
    "expected_n": option("--expected-n", type=int,
                         help="Samples a stream is expected to bring; sets the grid's side."),
    "features": features_option,
    "auto_regenerate": option("--auto-regenerate/--no-auto-regenerate", default=None,
                              show_default=False,
                              help="Train again when a stream has drifted, unless --generation "
                                   "names what to keep; default: not under --preset paper."),
    "on_duplicate": option(
        "--on-duplicate", default="count",
        help="count, or replace: a sample takes the place of one of its id that is held.",
    ),
    "max_text_bytes": option(
        "--max-text-bytes", type=int, default=300,
        help="Samples with a longer id, or label that is text, are refused (UTF-8).",
    ),
    "seed": seed_option,
}  # fmt: skip


def needed_state(state: Path | None) -> Path:
    """Return the folder of --state, or say that it must be given."""
    if state is None:
        msg = "give --state DIR"
        raise click.UsageError(msg)
    return state


def engine_options(command: Any) -> Any:
    """Add the options of the engine; the command gets them as `engine_config`."""

    @wraps(command)
    def wrapped(**values: Any) -> Any:
        from echo_stream.config import EngineConfig  # noqa: PLC0415 - imports torch
        from echo_stream.generation.features import resolve_features  # noqa: PLC0415

        config = EngineConfig(**{name: values.pop(name) for name in _ENGINE_OPTIONS})
        if config.features is not None:
            allow_local_modules()
            resolve_features(config.features)  # refused now, not when samples have been read
        return command(engine_config=config, **values)

    return together(
        *_ENGINE_OPTIONS.values(),
        option("--generation", type=click.Path(path_type=Path),
               help="Use a trained generation: its folder, or a snapshot built with --out."),
        device_option,
    )(wrapped)  # fmt: skip


def allow_local_modules() -> None:
    """Let `module:attribute` name a module in the working folder, as `python -m` would."""
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
