"""What would fail is told before any trial is run, not hours later."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import load
from benchmarks.evaluation.trial import Trial, resolve_budget
from echo_stream.errors import ConfigError, EchoStreamError, SourceError

ENDING = "nothing was run; --group NAME runs a part of the plan"


def check(trials: Sequence[Trial], folders: Sequence[Path], device: str) -> None:
    """Look at what trials ask for: data, budgets, selectors, settings of training, a device.

    Raises
    ------
    SourceError
        If data sets are not there; it says how to get each.
    ConfigError
        If they are, and something else is wrong.
    """
    sizes, missing = {}, []
    for name in dict.fromkeys(trial.data for trial in trials):
        try:
            sizes[name] = len(load(name, folders).y_train)
        except SourceError as err:
            missing.append(str(err))
    if missing:
        raise SourceError("\n".join([*dict.fromkeys(missing), ENDING]))
    if wrong := list(dict.fromkeys(_wrong(trials, sizes, device))):
        raise ConfigError("\n".join([*wrong, ENDING]))


def _wrong(trials: Sequence[Trial], sizes: dict[str, int], device: str) -> Iterator[str]:
    """Yield what is wrong with trials on sets of those sizes."""
    from benchmarks.selectors import BATCH, STREAM  # noqa: PLC0415 - slow to import
    from benchmarks.selectors.submodular import (  # noqa: PLC0415 - the same
        FUNCTIONS,
        of_apricot,
    )
    from echo_stream._common.device import resolve_device  # noqa: PLC0415 - the same

    yield from _complaint("--device", resolve_device, device)
    for trial in trials:
        names, what = (BATCH, "all at once") if trial.order is None else (STREAM, "a stream")
        if trial.selector not in names:
            known = ", ".join(names)
            yield f"no selector {trial.selector!r} chooses from {what}; the names are {known}"
        yield from _complaint(trial.data, resolve_budget, trial.budget, sizes[trial.data])
        if trial.selector in FUNCTIONS:
            yield from _complaint("selectors", of_apricot, trial.selector)
        yield from _complaint("train", _check_training, trial.train)


def _check_training(settings: dict[str, Any]) -> None:
    """Raise a ConfigError for settings that no training has."""
    from echo_stream.training.config import TrainConfig  # noqa: PLC0415 - slow to import

    try:
        TrainConfig(**({"model": "mlp"} | settings))
    except TypeError as err:  # of a name, or of a value of another type
        msg = f"{str(err).removeprefix('TrainConfig.__init__() ')}; got {settings}"
        raise ConfigError(msg) from err


def _complaint(what: str, attempt: Callable[..., object], *arguments: object) -> Iterator[str]:
    """Yield what a call complains of, if it does."""
    try:
        attempt(*arguments)
    except EchoStreamError as err:
        yield f"{what}: {err}"
