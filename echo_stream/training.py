"""Training of a downstream model on a coreset, and its accuracy on a test set.

Source: the ECHO paper, section IV-D, equations 11-13, and Algorithm 1, lines 11-16.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from echo_stream.device import reproducible, resolve_device
from echo_stream.errors import ConfigError, ShapeError, TrainingError
from echo_stream.losses import structural_loss, task_loss
from echo_stream.models import Shape, build_model, check_input, model_shape, to_input
from echo_stream.samples import label_of
from echo_stream.typing import Array, Label

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called after each step with the steps taken, the steps to take, and the step's loss."""

EVALUATION_ROWS = 1_024  # rows a forward pass: bounds the memory of an evaluation


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
    input_shape: Shape | None = None
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


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """Samples to train or test on.

    Attributes
    ----------
    x : ndarray of shape (n, ...), boolean, integer or floating point
    y : ndarray of shape (n,), any dtype
        Labels; None or NaN where unknown.
    ids : ndarray of shape (n,), any dtype
        Compared as text. Rows of one id carry one label between them.

    Examples
    --------
    >>> import numpy as np
    >>> some = LabelledSet(np.zeros((2, 4)), np.array(["cat", None]), np.array([7, 8]))
    >>> len(some), len(some.labelled())
    (2, 1)
    """

    x: Array
    y: Array
    ids: Array

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        lengths = [len(self.x), len(self.y), len(self.ids)]
        if len(set(lengths)) > 1:
            msg = f"x, y and ids must have equal lengths; got {lengths}"
            raise ShapeError(msg)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def __getitem__(self, rows: slice | Sequence[int]) -> "LabelledSet":
        """Return some of the rows."""
        return LabelledSet(self.x[rows], self.y[rows], self.ids[rows])

    def labelled(self) -> "LabelledSet":
        """Return the rows whose label is known."""
        return self[[row for row, value in enumerate(self.y) if label_of(value) is not None]]


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """A trained model and how it was trained.

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode, on the device that trained it.
    classes : tuple of int, float or str
        Label of each of the model's logits.
    input_shape : tuple of int
        Of one sample, as the model takes it.
    metrics : dict
        `accuracy` after the last step, None without a labelled test sample; `per_class`
        accuracy by label; `test_samples`, those with a label; `labels_used`, the *distinct*
        labelled samples that entered a loss; `num_unlabelled` rows of core and support,
        left out; `steps` taken; `epochs` begun; `loss` of the last step, None when not
        finite; `diverged`; `device`; `config`. It can be written as JSON.
    """

    model: nn.Module
    classes: tuple[Label, ...]
    input_shape: Shape
    metrics: dict[str, Any]


def train(
    core: LabelledSet,
    support: LabelledSet | None,
    test: LabelledSet | None,
    config: TrainConfig,
    *,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a model on a coreset and its support, and measure it.

    Parameters
    ----------
    core, support : LabelledSet, and LabelledSet or None
        Rows without a label are left out. A row may be in both.
    test : LabelledSet or None
        Only measured on, once, after the last step. A label that training has not seen
        counts as wrong.
    config : TrainConfig
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    TrainResult
        The same for the same arguments, device and number of threads. Training stops at
        the first loss that is not finite, and is measured nonetheless.

    Raises
    ------
    TrainingError
        When no core sample has a label.
    ConfigError, DataError
        When the model, device or samples do not fit together.

    Notes
    -----
    Each epoch shuffles the core and cuts it into batches of min(batch_size, n), of which the
    last may be smaller; the paper's step takes the whole. Global random state is left alone.

    Examples
    --------
    >>> import numpy as np
    >>> x, ids = np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.arange(4)
    >>> data = LabelledSet(x, np.array(["left", "left", "right", None]), ids)
    >>> result = train(data, None, data, TrainConfig(model="mlp", steps=20, device="cpu"))
    >>> result.classes, result.metrics["labels_used"], result.metrics["accuracy"]
    (('left', 'right'), 3, 1.0)
    """
    device = resolve_device(config.device)
    support, test = (core[:0] if part is None else part for part in (support, test))
    shape = _input_shape(core, config)
    pool = _pool(core, support, shape, device)
    check_input(test.x, shape)  # now, not when the training is done
    with reproducible(device, seed=config.seed, threads=config.threads):
        model = build_model(config.model, shape, len(pool.classes)).to(device)
        metrics = _fit(model, pool, config, progress)
        metrics |= evaluate(model.eval(), test.x, test.y, pool.classes, input_shape=shape)
    metrics["num_unlabelled"] = len(core) + len(support) - len(pool.ids)
    metrics |= {"device": str(device), "config": dataclasses.asdict(config)}
    return TrainResult(model, pool.classes, shape, metrics)


def evaluate(
    model: nn.Module,
    x: Array,
    y: Array,
    classes: Sequence[Label],
    *,
    input_shape: Shape | None = None,
) -> dict[str, Any]:
    """Measure a model on labelled samples, in batches of 1,024.

    Parameters
    ----------
    model : torch.nn.Module
        Stays in the mode and on the device that it is in.
    x : ndarray of shape (n, ...)
    y : ndarray of shape (n,), any dtype
        Labels; rows without one are left out.
    classes : sequence of int, float or str
        Label of each of the model's logits. A sample of another label counts as wrong.
    input_shape : tuple of int, optional
        Shape in which the model takes a sample; by default that of x.

    Returns
    -------
    dict
        `accuracy`, `per_class` and `test_samples`, as in `TrainResult`.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]]), np.array(["a", "b", "c"])
    >>> evaluate(nn.Identity(), x, y, ["a", "b"])["per_class"]
    {'a': 1.0, 'b': 1.0, 'c': 0.0}
    """
    labels = [label_of(value) for value in y]
    known = [row for row, label in enumerate(labels) if label is not None]
    shape = model_shape(x.shape[1:]) if input_shape is None else input_shape
    totals, hits = Counter[Label](), Counter[Label]()
    for start in range(0, len(known), EVALUATION_ROWS):
        rows = known[start : start + EVALUATION_ROWS]
        for row, predicted in zip(rows, _predict(model, to_input(x[rows], shape)), strict=True):
            totals[labels[row]] += 1
            hits[labels[row]] += classes[predicted] == labels[row]
    return {
        "accuracy": hits.total() / len(known) if known else None,
        "per_class": {str(label): hits[label] / totals[label] for label in _sorted(totals)},
        "test_samples": len(known),
    }


def _predict(model: nn.Module, x: Tensor) -> list[int]:
    """Return the position of the largest logit of each sample, in evaluation mode."""
    parameter = next(model.parameters(), x)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        predicted: list[int] = model(x.to(parameter.device)).argmax(dim=1).tolist()
    model.train(was_training)
    return predicted


def _input_shape(core: LabelledSet, config: TrainConfig) -> Shape:
    """Return the shape in which the model is to take a sample."""
    kept: Shape = core.x.shape[1:]
    asked = config.input_shape or kept
    if math.prod(asked) != math.prod(kept):
        msg = f"input_shape {asked} does not hold the values of a sample of shape {kept}"
        raise ConfigError(msg)
    return model_shape(asked)


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """What batches are drawn from: the labelled core rows, then the labelled support rows."""

    x: Tensor  # of shape (n, *input_shape), float32
    y: Tensor  # of shape (n,), int64: positions among the classes
    ids: list[str]
    num_core: int
    classes: tuple[Label, ...]  # sorted


def _pool(core: LabelledSet, support: LabelledSet, shape: Shape, device: torch.device) -> _Pool:
    """Gather the labelled rows on the device."""
    parts = core.labelled(), support.labelled()
    if len(parts[0]) == 0:
        msg = f"no core sample has a label, of {len(core)}; label some, then train"
        raise TrainingError(msg)
    labels = [label_of(value) for part in parts for value in part.y]
    classes = _sorted(set(labels))
    position = {label: index for index, label in enumerate(classes)}
    return _Pool(
        x=torch.cat([to_input(part.x, shape) for part in parts]).to(device),
        y=torch.tensor([position[label] for label in labels], device=device),
        ids=[str(name) for part in parts for name in part.ids],
        num_core=len(parts[0]),
        classes=classes,
    )


def _fit(
    model: nn.Module, pool: _Pool, config: TrainConfig, progress: Progress | None
) -> dict[str, Any]:
    """Train the model in place: Algorithm 1, lines 11-16. Return what it took."""
    rng = torch.Generator().manual_seed(config.seed)
    num_support = len(pool.ids) - pool.num_core
    epoch_steps = math.ceil(pool.num_core / config.batch_size)
    total = config.epochs * epoch_steps if config.steps is None else config.steps
    optimiser = torch.optim.SGD(
        model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    used: set[str] = set()
    steps, loss = 0, math.nan
    model.train()
    for core_rows in islice(_shuffled_batches(pool.num_core, config.batch_size, rng), total):
        # 12. Draw K support samples afresh.
        drawn = torch.randperm(num_support, generator=rng)[: config.support_per_step]
        # 13. Join them to the batch.
        rows = torch.cat([core_rows, pool.num_core + drawn])
        used.update(pool.ids[row] for row in rows.tolist())
        # 14-15. The losses, over the joined batch.
        objective = _objective(model(pool.x[rows]), pool.y[rows], config)
        loss = objective.item()
        if not math.isfinite(loss):
            break
        # 16. Update the model.
        optimiser.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        optimiser.step()
        schedule.step()
        steps += 1
        if progress is not None:
            progress(steps, total, loss)
    return {
        "labels_used": len(used),
        "steps": steps,
        "epochs": math.ceil(steps / epoch_steps),
        "loss": loss if math.isfinite(loss) else None,
        "diverged": steps < total or not all(p.isfinite().all() for p in model.parameters()),
    }


def _shuffled_batches(n: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield row numbers below n, shuffled anew whenever all of them have been given."""
    while True:
        yield from torch.split(torch.randperm(n, generator=rng), batch_size)


def _objective(outputs: Tensor, labels: Tensor, config: TrainConfig) -> Tensor:
    """Return the task loss plus lambda times the structural loss (eq. 13)."""
    loss = task_loss(outputs, labels)
    if config.structure_weight > 0:
        loss = loss + config.structure_weight * structural_loss(outputs, labels, config.margin)
    return loss


def _sorted(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return labels in order, numbers before text."""
    return tuple(sorted(labels, key=lambda label: (isinstance(label, str), label)))
