"""Settings of a downstream model's training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from echo_stream.errors import ConfigError, SettingName

Task: TypeAlias = Literal["classification", "regression"]
Psi: TypeAlias = Literal["concatenate", "mixup"]
OptimiserName: TypeAlias = Literal["sgd", "adam", "adamw"]
ScheduleName: TypeAlias = Literal["cosine", "linear", "constant"]
Augmentation: TypeAlias = Literal["crop", "flip"]
SampleWeights: TypeAlias = Literal["auto", "none", "sqrt", "full"]

DEFAULT_LR: dict[OptimiserName, float] = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
"""The paper's rate for its optimiser, and the customary one for the others."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a training; the defaults are the paper's, but for three.

    They are `support_per_step`, to which the paper gives no value, `sample_weights` and
    `max_grad_norm`.

    Attributes
    ----------
    model : str
        `lenet`, `resnet18`, `mlp`, `logistic` or `module:factory`, see
        `echo_stream.training.models.build_model`.
    task : {"classification", "regression"}
        For regression the paper defines no pairs: the structural loss is left out.
    epochs : int
        Passes over the core.
    batch_size : int
        Core samples a step, at most.
    optimiser : {"sgd", "adam", "adamw"}
    schedule : {"cosine", "linear", "constant"}
        How lr falls to 0: along a half cosine, evenly, or not at all.
    lr, momentum, weight_decay : float
        Learning rate, see `DEFAULT_LR`; momentum is for sgd alone.
    max_grad_norm : float
        Gradients that are longer are cut to this length, the direction kept; 0: none is.
        Without, a step of the structural loss can be so long that a small network answers
        nearly the same to every sample from then on.
    structure_weight : float
        The paper's lambda. 0 leaves the structural loss out.
    margin : float
        The paper's m, see `echo_stream.training.losses.structural_loss`.
    support_per_step : int
        The paper's K, to which it gives no value: support samples that join each step.
    psi : {"concatenate", "mixup"}
        How they join: unchanged, or each sample of the joined batch mixed with another of
        it. Pairs of the structural loss are of samples before they are mixed.
    mixup_alpha : float
        Shares of a mixture are drawn from Beta(alpha, alpha).
    gamma : float
        Where support lies on the line from the mean of its cell: 1 is the sample itself.
    sample_weights : {"auto", "none", "sqrt", "full"}
        Weights of samples in the task's loss: equal, the square root of the coreset's weights, or
        these weights, so that regions and classes weigh what they do in the stream. auto: from
        the first to the last of these as a class has more rows, see
        `echo_stream.training.weights.weight_exponent`; all the same where there are no
        weights, and in coresets of the paper's preset and of balanced classes.
    augment : tuple of {"crop", "flip"}
        See `echo_stream.training.augmentation.augment`.
    features : str or None
        `module:attribute` that maps samples to the vectors that the model takes, see
        `echo_stream.generation.features`; it is not trained.
    mixed_precision : bool
        Whether forward passes of the training are in bfloat16 where torch holds that safe.
    compile : bool
        Whether torch compiles the model first, which pays off for long trainings.
    steps : int or None
        Optimiser steps to take, exactly; None takes those of `epochs`.
    evaluations : int
        Points of the learning curve, evenly spread; the model is measured at each.
    seed : int
        Fixes initial weights, batches, draws of support, mixtures and augmentation.
    device : str
        See `echo_stream._common.device.resolve_device`.
    input_shape : tuple of int or None
        Of one sample, where samples are kept in another shape, such as flat.
    warm_start : str or None
        Id of the model whose weights the training begins with; None: random ones.
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
    task: Task = "classification"
    epochs: int = 200
    batch_size: int = 256
    optimiser: OptimiserName = "sgd"
    schedule: ScheduleName = "cosine"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    max_grad_norm: float = 5.0
    structure_weight: float = 0.5
    margin: float = 1.0
    support_per_step: int = 64
    psi: Psi = "concatenate"
    mixup_alpha: float = 1.0
    gamma: float = 1.0
    sample_weights: SampleWeights = "auto"
    augment: tuple[Augmentation, ...] = ()
    features: str | None = None
    mixed_precision: bool = False
    compile: bool = False
    steps: int | None = None
    evaluations: int = 20
    seed: int = 0
    device: str = "auto"
    input_shape: tuple[int, ...] | None = None
    threads: int | None = None
    warm_start: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        for needed, names, is_valid in _RULES:
            for name in names.split():
                value = getattr(self, name)
                if value is not None and not is_valid(value):
                    raise ConfigError(SettingName(name), f" must be {needed}; got {value}")
        if self.gamma != 1 and self.features is not None:
            raise ConfigError(
                SettingName("gamma"),
                f" {self.gamma} moves samples, not their ",
                SettingName("features"),
                "; leave one of them out",
            )

    @property
    def has_structure(self) -> bool:
        """Whether the structural loss is part of the objective."""
        return self.task == "classification" and self.structure_weight > 0


_RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (
        "a whole number of at least 1",
        "epochs batch_size steps threads evaluations",
        lambda n: _is_whole(n, 1),
    ),
    ("a whole number of at least 0", "support_per_step seed", lambda n: _is_whole(n, 0)),
    ("a number above 0", "lr margin mixup_alpha", lambda value: 0 < value < math.inf),
    (
        "a number of at least 0",
        "structure_weight gamma max_grad_norm",
        lambda value: 0 <= value < math.inf,
    ),
    ("a number from 0 to 1", "momentum weight_decay", lambda value: 0 <= value <= 1),
    ("lengths of at least 1", "input_shape", lambda shape: min(shape, default=1) >= 1),
    ("some of crop and flip", "augment", lambda names: set(names) <= set(get_args(Augmentation))),
    ("classification or regression", "task", lambda name: name in get_args(Task)),
    ("concatenate or mixup", "psi", lambda name: name in get_args(Psi)),
    ("sgd, adam or adamw", "optimiser", lambda name: name in get_args(OptimiserName)),
    ("cosine, linear or constant", "schedule", lambda name: name in get_args(ScheduleName)),
    ("auto, none, sqrt or full", "sample_weights", lambda name: name in get_args(SampleWeights)),
)


def _is_whole(value: object, lowest: int) -> bool:
    """Return whether a value is an integer in range; torch takes seeds below 2^63."""
    return isinstance(value, int) and lowest <= value < 2**63
