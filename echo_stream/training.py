"""Training of a downstream model on a coreset, and its accuracy on a test set.

Source: the ECHO paper, section IV-D, equations 11-13, and Algorithm 1, lines 11-16.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from echo_stream.device import reproducible, resolve_device
from echo_stream.errors import ConfigError, DataError, TrainingError
from echo_stream.evaluation import evaluate
from echo_stream.labelled import LabelledSet
from echo_stream.losses import structural_loss, task_loss
from echo_stream.models import Shape, build_model, check_input, model_shape, to_input
from echo_stream.samples import label_of, sorted_labels
from echo_stream.train_config import TrainConfig
from echo_stream.typing import Label

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called after each step with the steps taken, the steps to take, and the step's loss."""


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
    _check_same_scale(core, test)
    with reproducible(device, seed=config.seed, threads=config.threads):
        model = build_model(config.model, shape, len(pool.classes)).to(device)
        metrics = _fit(model, pool, config, progress)
        metrics |= evaluate(model.eval(), test.x, test.y, pool.classes, input_shape=shape)
    metrics["num_unlabelled"] = len(core) + len(support) - len(pool.ids)
    metrics |= {"device": str(device), "config": dataclasses.asdict(config)}
    return TrainResult(model, pool.classes, shape, metrics)


def _input_shape(core: LabelledSet, config: TrainConfig) -> Shape:
    """Return the shape in which the model is to take a sample."""
    kept: Shape = core.x.shape[1:]
    asked = config.input_shape or kept
    if math.prod(asked) != math.prod(kept):
        msg = f"input_shape {asked} does not hold the values of a sample of shape {kept}"
        raise ConfigError(msg)
    return model_shape(asked)


def _check_same_scale(core: LabelledSet, test: LabelledSet) -> None:
    """Refuse bytes to train on and other numbers to test on: only bytes are divided by 255."""
    if len(test) and (core.x.dtype == np.uint8) != (test.x.dtype == np.uint8):
        msg = f"training samples are {core.x.dtype}, test samples {test.x.dtype}; convert one"
        raise DataError(msg)


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
    classes = sorted_labels(set(labels))
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
