"""Settings of a downstream model's training."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from echo_stream._common.checks import check_choice, check_number, check_whole
from echo_stream.config import MAX_SEED
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
    spread : bool or None
        Whether labels are spread over the samples of a snapshot that have none, and these are
        trained on too; None: where that is likely to help, see
        `echo_stream.training.labelled.with_pseudo_labels`.
    warm_start : str or None
        Id of the model whose weights the training begins with; None: random ones.
    threads : int or None
        CPU threads of torch meanwhile; None leaves them as they are.

    Examples
    --------
    >>> TrainConfig(epochs=0)
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: epochs must be at least 1; got 0
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
    spread: bool | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in self.augment:
            check_choice("augment", name, get_args(Augmentation))
        for name, lowest in _LOWEST.items():
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=lowest)
        check_whole("seed", self.seed, at_least=0, at_most=MAX_SEED)
        for name in ("lr", "margin", "mixup_alpha"):
            check_number(name, getattr(self, name), above=0)
        for name in ("structure_weight", "gamma", "max_grad_norm"):
            check_number(name, getattr(self, name), at_least=0)
        for name in ("momentum", "weight_decay"):
            check_number(name, getattr(self, name), at_least=0, at_most=1)
        for length in self.input_shape or ():
            check_whole("input_shape", length, at_least=1)
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


_CHOICES = {
    "task": get_args(Task),
    "optimiser": get_args(OptimiserName),
    "schedule": get_args(ScheduleName),
    "psi": get_args(Psi),
    "sample_weights": get_args(SampleWeights),
}
_LOWEST = {
    "epochs": 1, "batch_size": 1, "steps": 1, "threads": 1, "evaluations": 1,
    "support_per_step": 0,
}  # fmt: skip
