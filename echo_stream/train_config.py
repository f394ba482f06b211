"""Settings of a downstream model's training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from echo_stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a training; the defaults are the paper's, but for `support_per_step`.

    Attributes
    ----------
    model : str
        `lenet`, `mlp` or `module:factory`, see `echo_stream.models.build_model`.
    epochs : int
        Passes over the core.
    batch_size : int
        Core samples a step, at most.
    lr, momentum, weight_decay : float
        Of stochastic gradient descent; lr falls to 0 along a half cosine.
    structure_weight : float
        The paper's lambda. 0 leaves the structural loss out.
    margin : float
        The paper's m, see `echo_stream.losses.structural_loss`.
    support_per_step : int
        The paper's K, to which it gives no value: support samples that join each step.
    steps : int or None
        Optimiser steps to take, exactly; None takes those of `epochs`.
    seed : int
        Fixes initial weights, batches and draws of support.
    device : str
        See `echo_stream.device.resolve_device`.
    input_shape : tuple of int or None
        Of one sample, where samples are kept in another shape, such as flat.
    threads : int or None
        CPU threads of torch meanwhile; None leaves them as they are.

    Examples
    --------
    >>> TrainConfig(epochs=0)
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: epochs must be a whole number of at least 1; got 0
    """

    model: str = "lenet"
    epochs: int = 200
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    structure_weight: float = 0.5
    margin: float = 1.0
    support_per_step: int = 64
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    input_shape: tuple[int, ...] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        for needed, names, is_met in _RULES:
            for name in names.split():
                value = getattr(self, name)
                if value is not None and not is_met(value):
                    msg = f"{name} must be {needed}; got {value}"
                    raise ConfigError(msg)


_RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("a whole number of at least 1", "epochs batch_size steps threads", lambda n: _is_whole(n, 1)),
    ("a whole number of at least 0", "support_per_step seed", lambda n: _is_whole(n, 0)),
    ("a number above 0", "lr margin", lambda value: 0 < value < math.inf),
    ("a number of at least 0", "structure_weight", lambda value: 0 <= value < math.inf),
    ("a number from 0 to 1", "momentum weight_decay", lambda value: 0 <= value <= 1),
    ("lengths of at least 1", "input_shape", lambda shape: min(shape, default=1) >= 1),
)


def _is_whole(value: object, lowest: int) -> bool:
    """Return whether a value is an integer in range; torch takes seeds below 2^63."""
    return isinstance(value, int) and lowest <= value < 2**63
