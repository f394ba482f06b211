"""Options that several commands share, with their environment variables.

A variable is ECHO_STREAM_<OPTION>, the same for every command; in a settings file the
option has the same name, in lower case and without the prefix.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from echo_stream.cli.options.settings import Setting
from echo_stream.config import (
    Architecture,
    Balance,
    Cells,
    EngineConfig,
    Latent,
    Objective,
    OnDuplicate,
    Preset,
    Rank,
)

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


def option(*names: str, **settings: Any) -> Decorator[Any]:
    """Return a click option with its default and its environment variable in the help."""
    long_name = next(name for name in names if name.startswith("--"))
    variable = long_name.removeprefix("--").split("/")[0].replace("-", "_").upper()
    settings.setdefault("show_default", True)
    variable = f"ECHO_STREAM_{variable}"
    return click.option(*names, cls=Setting, envvar=variable, show_envvar=True, **settings)


def words_of(literal: Any) -> click.Choice[str]:
    """Return the kind of an option that takes the words of a `Literal`."""
    return click.Choice(get_args(literal))


def names_of(*options: Decorator[Any]) -> list[str]:
    """Return the names of the parameters that options add to a command."""
    params = click.command()(together(*options)(lambda: None)).params
    return [str(each.name) for each in params]


def gathered(name: str, make: Callable[..., Any], *options: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds options, and gives the command one object made of them.

    Parameters
    ----------
    name : str
        The command's parameter for the object.
    make : callable
        Makes it of the values of the options, by name: a function, or a dataclass.
    options : decorator
    """
    names = names_of(*options)

    def decorate(command: Any) -> Any:
        @wraps(command)
        def wrapped(**values: Any) -> Any:
            made = make(**{each: values.pop(each) for each in names})
            return command(**{name: made}, **values)

        return together(*options)(wrapped)

    return decorate


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that applies several, the first outermost."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def section(title: str, *options: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that adds several options, under a title of the command's help."""

    def decorate(command: Any) -> Any:
        before = list(getattr(command, "__click_params__", ()))
        decorated = together(*options)(command)
        for each in decorated.__click_params__:
            if isinstance(each, Setting) and each not in before:
                each.section = title
        return decorated

    return decorate


def find_local_modules(_: click.Context, __: click.Parameter, spec: str | None) -> str | None:
    """Let `module:attribute` name a module in the working folder, as `python -m` would.

    The callback of the options that take one.
    """
    if spec is not None and ":" in spec and os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    return spec


def needed_state(state: Path | None) -> Path:
    """Return the folder of --state, or say that it must be given."""
    if state is None:
        msg = "give --state DIR"
        raise click.UsageError(msg)
    return state


data_argument = click.argument("data", type=click.Path(path_type=Path))
state_option = option("--state", type=click.Path(path_type=Path), help="The state folder.")
snapshot_option = option(
    "--snapshot", metavar="ID|PATH", help="Id of a snapshot in --state, or path of a snapshot."
)
device_option = option(
    "--device", default="auto", help="Device to compute on: auto, cpu, cuda or cuda:i."
)
seed_option = option("--seed", type=int, default=0, help="Seed of everything random.")
format_option = option(
    "--format", "output_format", type=click.Choice(["json", "table"]), default="json",
    help="Format of the output: json for programs, table for people.",
)  # fmt: skip
data_format_option = option(
    "--format", "output_format", type=click.Choice(["json", "table", "csv", "parquet"]),
    default="json",
    help="Format of the output: json, csv or parquet for programs, table for people.",
)  # fmt: skip
servers_option = option(
    "--bootstrap-servers", metavar="HOST:PORT[,...]", help="Kafka brokers to connect to first."
)
features_option = option(
    "--features", metavar="MODULE:ATTRIBUTE", callback=find_local_modules,
    help="A torch module, or a function of arrays, that computes the vectors between which "
         "distances are measured. Default: the samples themselves.",
)  # fmt: skip


def _engine_config(**values: Any) -> EngineConfig:
    """Return the engine's configuration; features that cannot be loaded are refused at once."""
    from echo_stream.generation.features import resolve_features

    config = EngineConfig(**values)
    if config.features is not None:
        resolve_features(config.features)
    return config


_config_options = gathered(
    "engine_config", _engine_config,
    option("--budget", type=int, default=1_000,
           help="Rows of the coreset: samples to choose. With --preset paper, support comes on "
                "top."),
    option("--preset", type=words_of(Preset), default="adaptive",
           help="How to choose: adaptive, with cells that follow the stream; fixed, with cells "
                "that stay and rows that can be certified; or paper, as published."),
    option("--cells", type=words_of(Cells),
           help="Kind of fixed cells. Default: depends on --preset."),
    option("--latent", type=words_of(Latent),
           help="Space in which samples are compared to find cells: what an encoder makes of "
                "them, principal components, a random projection, or the samples themselves "
                "(identity). Default: depends on --preset."),
    option("--rank", type=words_of(Rank),
           help="Order of the samples in a fixed cell. Default: depends on --preset."),
    option("--support", type=int,
           help="Support samples (the most unusual ones) per cell, in addition to --budget. Only "
                "with --preset paper."),
    option("--support-share", type=float, default=0.0,
           help="Share of --budget for support samples (the most unusual ones), at most 0.5. Only "
                "with --preset fixed."),
    option("--keep", type=int,
           help="Extra samples to hold in addition to --budget (at least --budget). Only with "
                "--preset adaptive. Default: three times --budget, at least 1000."),
    option("--demand-power", type=float, default=1.0,
           help="How strongly the count of a cell weighs in the selection, from 0 to 1: 1 favours "
                "frequent data, 0 treats all cells alike. Only with --preset adaptive."),
    option("--min-distance", type=float, default=0.0,
           help="Smallest distance between two rows of the coreset. Only with --preset "
                "adaptive."),
    option("--balance", type=words_of(Balance), default="none",
           help="With class, the coreset has the same number of rows per label, where there are "
                "enough samples. Only with --preset fixed."),
    option("--latent-encoder", type=words_of(Architecture), default="mlp",
           help="Architecture of the network of --latent encoder."),
    option("--objective", type=words_of(Objective), default="profile",
           help="What the network of --latent encoder is trained to preserve: each sample's mean "
                "distance to the others (profile, the paper's), or every distance (pairwise)."),
    option("--latent-dim", type=int, default=2, help="Dimensions of the latent space."),
    option("--epochs", type=int, default=40, help="Epochs for which the encoder is trained."),
    option("--standardise/--no-standardise", default=False, help="Centre and scale each feature."),
    option("--warmup", type=int,
           help="Number of samples to train the latent space and fixed cells on: the first ones of "
                "a stream, or a uniform sample of a data set. Default: 10000, or 1000 with "
                "--preset adaptive."),
    option("--expected-n", type=int,
           help="Number of samples that the stream is expected to have. It decides how fine the "
                "grid is."),
    features_option,
    option("--auto-regenerate/--no-auto-regenerate", default=None, show_default=False,
           help="Train a new latent space and new cells when the stream has drifted, unless "
                "--generation is given. Default: on with --preset fixed, otherwise off."),
    option("--on-duplicate", type=words_of(OnDuplicate), default="count",
           help="What a sample with the id of a held one does: count, which counts both, or "
                "replace, which replaces the held one."),
    option("--snapshot-context/--no-snapshot-context", default=True,
           help="Write all held samples into snapshots, not only the rows of the coreset."),
    option("--max-text-bytes", type=int, default=300,
           help="Reject samples whose id or text label is longer (UTF-8)."),
    option("--max-payload-bytes", type=int, default=65_536,
           help="Reject samples whose payload is larger; text as UTF-8."),
    seed_option,
)  # fmt: skip
engine_options = section(
    "Coreset",
    _config_options,
    option("--generation", type=click.Path(path_type=Path),
           help="Latent space and cells that are trained already, to use as they are: the folder "
                "of a generation, or a snapshot built with --out."),
    device_option,
)  # fmt: skip
