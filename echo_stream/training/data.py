"""The labelled rows that a training draws its batches from."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echo_stream.errors import ConfigError, DataError, SettingName, TrainingError
from echo_stream.generation.features import Features
from echo_stream.samples.tensors import Shape, model_shape, to_input
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.targets import Targets, known_labels
from echo_stream.training.weights import relative_weights, weight_exponent


class Parts(NamedTuple):
    """The data of a training; sets can be empty. Labels of pseudo are guesses."""

    core: LabelledSet
    pseudo: LabelledSet
    support: LabelledSet
    test: LabelledSet

    def map(self, change: Callable[[LabelledSet], LabelledSet]) -> "Parts":
        """Return the three, each changed."""
        return Parts(*map(change, self))


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The labelled core rows, those with pseudo-labels, and labelled support, on one device.

    Attributes
    ----------
    x : tensor of shape (n, *input_shape), float32
    y : tensor of shape (n,), int64 or float32
        See `Targets.encode`.
    weights : tensor of shape (n,), float32, or None
        Of mean 1; None where samples count equally.
    weight_exponent : float
        See `echo_stream.training.weights.weight_exponent`; 0 where they do.
    ids : list of str
    num_core : int
        Rows that epochs walk through, the pseudo-labelled ones included.
    num_pseudo : int
        The last of these.
    targets : Targets
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None
    weight_exponent: float
    ids: list[str]
    num_core: int
    num_pseudo: int
    targets: Targets

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @property
    def num_support(self) -> int:
        """Rows that batches draw K from."""
        return len(self) - self.num_core

    @property
    def are_given(self) -> Tensor:
        """Which rows have a label that was given, of shape (n,), bool, on the host."""
        rows = torch.arange(len(self))
        return (rows < self.num_core - self.num_pseudo) | (rows >= self.num_core)


def measured_by(parts: Parts, config: TrainConfig, device: torch.device) -> Parts:
    """Return the features of the samples; the samples themselves without features."""
    if config.features is None or len(parts.core) == 0:
        return parts
    features = Features.fit(config.features, parts.core.x, device)
    return parts.map(lambda part: replace(part, x=features(part.x)))


def input_shape(core: LabelledSet, config: TrainConfig) -> Shape:
    """Return the shape in which the model is to take a sample."""
    kept: Shape = core.x.shape[1:]
    asked = config.input_shape or kept
    if math.prod(asked) != math.prod(kept):
        words = f" {asked} does not hold the values of a sample of shape {kept}"
        raise ConfigError(SettingName("input_shape"), words)
    return model_shape(asked)


def check_same_scale(core: LabelledSet, test: LabelledSet) -> None:
    """Refuse bytes to train on and other numbers to test on: only bytes are divided by 255."""
    if len(test) and (core.x.dtype == np.uint8) != (test.x.dtype == np.uint8):
        msg = f"training samples are {core.x.dtype}, test samples {test.x.dtype}; convert one"
        raise DataError(msg)


def gather(parts: Parts, shape: Shape, config: TrainConfig, device: torch.device) -> TrainingRows:
    """Return the labelled rows of core and support, and the pseudo-labelled, on the device.

    Raises
    ------
    TrainingError
        When no core sample has a label.
    ConfigError, DataError
        When means or weights are needed and not there, or a row does not fit the model.
    """
    core, support, pseudo = parts.core.labelled(), parts.support.labelled(), parts.pseudo
    if len(core) == 0:
        msg = f"no core sample has a label, of {len(parts.core)}; label some, then train"
        raise TrainingError(msg)
    labels = known_labels([*core.y, *pseudo.y, *support.y])
    targets = Targets.of(labels, config.task)
    weights, exponent = _weights(core, pseudo, support, config, targets)
    return TrainingRows(
        x=torch.cat(
            [
                to_input(core.x, shape),
                to_input(pseudo.x, shape),
                _moved(support, shape, config.gamma),
            ]
        ).to(device),
        y=targets.encode(labels).to(device),
        weights=None if weights is None else weights.to(device),
        weight_exponent=exponent,
        ids=[str(name) for part in (core, pseudo, support) for name in part.ids],
        num_core=len(core) + len(pseudo),
        num_pseudo=len(pseudo),
        targets=targets,
    )


def _moved(support: LabelledSet, shape: Shape, gamma: float) -> Tensor:
    """Return support on the line from its cell's mean: mu + gamma (x - mu), eq. 10."""
    x = to_input(support.x, shape)
    if gamma == 1 or len(support) == 0:
        return x
    if support.means is None:
        raise ConfigError(
            SettingName("gamma"),
            f" {gamma} needs the means of the support's cells, which are only in snapshots of "
            "samples that no features measure; leave ",
            SettingName("gamma"),
            " at 1",
        )
    means = torch.from_numpy(support.means).to(x.dtype).reshape(x.shape)
    return means + gamma * (x - means)


def _weights(
    core: LabelledSet,
    pseudo: LabelledSet,
    support: LabelledSet,
    config: TrainConfig,
    targets: Targets,
) -> tuple[Tensor | None, float]:
    """Return what the rows weigh, None where alike, and to which power of their weights.

    Those with pseudo-labels weigh what confidence there is in these, and others 1 beside them:
    samples stand for themselves then, and `auto` asks for no other weights.
    """
    wanted, filled = config.sample_weights, [part for part in (core, support) if len(part)]
    known = [part.weights for part in filled if part.weights is not None]
    if len(known) < len(filled) and wanted in ("sqrt", "full"):
        name = SettingName("sample_weights")
        raise ConfigError(name, " needs the weight of each row; give it, or leave ", name, " out")
    exponent = weight_exponent(
        "none" if wanted == "auto" and len(pseudo) else wanted,
        sum(map(len, filled)),
        targets.num_outputs,
        has_proportions=all(part.has_proportions for part in filled),
    )
    is_equal = exponent == 0 or len(known) < len(filled)
    if is_equal and not len(pseudo):
        return None, 0.0
    num_given = len(core) + len(support)
    given = np.ones(num_given) if is_equal else relative_weights(np.concatenate(known), exponent)
    confidence = np.zeros(0) if pseudo.weights is None else pseudo.weights
    weights = np.concatenate([given[: len(core)], confidence, given[len(core) :]])
    return torch.from_numpy(weights).float(), 0.0 if is_equal else exponent
