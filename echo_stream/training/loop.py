"""The steps of a training, one after another, and its state, to resume it.

Everything random in a step follows from the seed and the number of the step, so the state is
weights, the optimiser's state and a few sums.

Source: the ECHO paper, Algorithm 1, lines 11-16.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from echo_stream._common.device import seed_torch
from echo_stream._common.importing import said
from echo_stream._common.typing import Array, State
from echo_stream.errors import SettingName, TrainingError
from echo_stream.training.augmentation import augment, check_augmentable, mix
from echo_stream.training.config import TrainConfig
from echo_stream.training.data import TrainingRows
from echo_stream.training.losses import structural_loss

Progress: TypeAlias = Callable[[int, int, float, float | None], None]
"""Called after each step with the steps taken, the steps to take, the step's loss, and the
share of its batch that the model got right; None for regression."""

Measure: TypeAlias = Callable[[nn.Module], dict[str, Any]]
"""Measures a model on the test set."""

_EPOCHS, _STEPS, _TORCH = range(3)  # what a random stream is for
_MODEL, _OPTIMISER = "model.", "optimiser."  # what names of arrays begin with


class Checkpoint(Protocol):
    """Stores the state of a training, to resume it."""

    def load(self) -> State | None:
        """Return the stored state; None without one."""

    def offer(self, steps: int, to_state: Callable[[], State]) -> None:
        """Store what to_state() returns, if a checkpoint is due after so many steps."""


@dataclass(slots=True, eq=False)
class _TrainingState:
    """The progress of a training.

    Attributes
    ----------
    used : tensor of shape (n,), bool, on the host
        Rows of the pool that have entered a loss.
    steps : int
        Steps taken.
    loss : float
        Of the last step.
    loss_sum : float
        Sum of the losses since the last point of the curve.
    curve : list of dict
        Measurements so far.
    """

    used: Tensor
    steps: int = 0
    loss: float = float("nan")
    loss_sum: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def to_state(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> State:
        """Return everything that the rest of the training depends on."""
        arrays: dict[str, Array] = {"used": self.used.numpy()}
        for name, tensor in model.state_dict().items():
            arrays[_MODEL + name] = tensor.cpu().numpy()
        for index, memory in optimiser.state_dict()["state"].items():
            for name, tensor in memory.items():
                if tensor is not None:
                    arrays[f"{_OPTIMISER}{index}.{name}"] = tensor.cpu().numpy()
        meta = {
            "steps": self.steps,
            "loss": self.loss,
            "loss_sum": self.loss_sum,
            "curve": self.curve,
        }
        return arrays, meta

    @classmethod
    def from_state(
        cls, state: State, model: nn.Module, optimiser: torch.optim.Optimizer
    ) -> "_TrainingState":
        """Restore model and optimiser in place, and return the progress."""
        arrays, meta = state
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        model.load_state_dict(
            {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)}
        )
        memories: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(_OPTIMISER):
                index, _, what = name.removeprefix(_OPTIMISER).partition(".")
                memories.setdefault(int(index), {})[what] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": memories, "param_groups": groups})
        return cls(used=tensors["used"], **meta)


def fit(
    model: nn.Module,
    data: TrainingRows,
    config: TrainConfig,
    measure: Measure,
    *,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:
    """Train a model in place, from the checkpoint if there is one, and return how it went.

    Parameters
    ----------
    model : torch.nn.Module
        On the device of the data.
    data : TrainingRows
    config : TrainConfig
    measure : callable
        What to measure at each point of the curve.
    progress, checkpoint : optional
        As in `echo_stream.training.training.train`.

    Returns
    -------
    dict
        `labels_used`, `pseudo_labelled`, `steps`, `epochs`, `loss`, `curve`, `structure_used` and
        `diverged`, as in `echo_stream.training.training.TrainResult`.
    """
    check_augmentable(config.augment, data.x.shape[1:])
    optimiser = _make_optimiser(model, config)
    stored = None if checkpoint is None else checkpoint.load()
    state = _TrainingState(used=torch.zeros(len(data), dtype=torch.bool))
    if stored is not None:
        state = _TrainingState.from_state(stored, model, optimiser)
    if config.compile:
        model.compile()
    epoch_steps = math.ceil(data.num_core / config.batch_size)
    total = config.epochs * epoch_steps if config.steps is None else config.steps
    points = _points(total, config.evaluations)
    model.train()
    while state.steps < total:
        # 12-13. Draw K support samples afresh, and join them to the batch.
        rng = _generator(config, _STEPS, state.steps)
        rows = _joined_rows(data, config, state.steps, epoch_steps, rng)
        state.used[rows] = True
        # 14-15. The losses, over the joined batch.
        seed_torch(data.x.device, int(_stream(config, _TORCH, state.steps)[0] >> 1))
        objective, share_right = _objective(model, data, rows.to(data.x.device), config, rng)
        state.loss = objective.item()
        if not math.isfinite(state.loss):
            break
        # 16. Update the model.
        for group in optimiser.param_groups:
            group["lr"] = _rate(config, state.steps, total)
        optimiser.zero_grad()
        objective.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        if config.max_grad_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimiser.step()
        state.steps += 1
        state.loss_sum += state.loss
        if state.steps in points:
            _add_point(state, measure(model), epoch_steps)
        if progress is not None:
            progress(state.steps, total, state.loss, share_right)
        if checkpoint is not None:
            checkpoint.offer(state.steps, lambda: state.to_state(model, optimiser))
    return _taken(state, model, data, config, total=total, epoch_steps=epoch_steps)


def _joined_rows(
    data: TrainingRows, config: TrainConfig, step: int, epoch_steps: int, rng: np.random.Generator
) -> Tensor:
    """Return the rows of a step: a batch of its epoch's shuffled core, and K of support."""
    epoch, place = divmod(step, epoch_steps)
    order = _generator(config, _EPOCHS, epoch).permutation(data.num_core)
    core = order[place * config.batch_size :][: config.batch_size]
    drawn = rng.choice(
        data.num_support, min(config.support_per_step, data.num_support), replace=False
    )
    return torch.from_numpy(np.concatenate([core, data.num_core + drawn]))


def _objective(
    model: nn.Module,
    data: TrainingRows,
    rows: Tensor,
    config: TrainConfig,
    rng: np.random.Generator,
) -> tuple[Tensor, float | None]:
    """Return the task loss plus lambda times the structural one (eq. 13), and the share right."""
    x, y = augment(data.x[rows], config.augment, rng), data.y[rows]
    weights = None if data.weights is None else data.weights[rows]
    has_structure = config.has_structure
    if config.psi == "mixup":
        mixture = mix(x, config.mixup_alpha, rng)
        outputs = _outputs(
            model, torch.cat([mixture.x, x] if has_structure else [mixture.x]), config
        )
        mixed, whole = outputs[: len(x)], outputs[len(x) :]
        loss = mixture.loss(data.targets.loss, mixed, y, weights)
        right = torch.where(mixture.share >= 0.5, y, y[mixture.partner])
    else:
        mixed = whole = _outputs(model, x, config)
        loss, right = data.targets.loss(mixed, y, weights), y
    if config.has_structure:
        loss = loss + config.structure_weight * structural_loss(whole, y, config.margin)
    if config.task == "regression":
        return loss, None
    return loss, (mixed.argmax(dim=1) == right).float().mean().item()


def _outputs(model: nn.Module, x: Tensor, config: TrainConfig) -> Tensor:
    """Return the model's outputs in float32."""
    try:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=config.mixed_precision):
            outputs: Tensor = model(x)
    except Exception as err:
        if not config.compile:
            raise
        msg = f"torch cannot compile the model: {said(err)}; leave "
        raise TrainingError(msg, SettingName("compile"), " out") from err
    return outputs.float()


def _add_point(state: _TrainingState, measured: dict[str, Any], epoch_steps: int) -> None:
    """Add a point to the learning curve, in place."""
    before = state.curve[-1]["steps"] if state.curve else 0
    scores = {name: measured[name] for name in ("accuracy", "ece", "rmse") if name in measured}
    mean_loss = state.loss_sum / (state.steps - before)
    epochs = state.steps / epoch_steps
    state.curve.append({"steps": state.steps, "epochs": epochs, "loss": mean_loss} | scores)
    state.loss_sum = 0.0


def _taken(
    state: _TrainingState,
    model: nn.Module,
    data: TrainingRows,
    config: TrainConfig,
    *,
    total: int,
    epoch_steps: int,
) -> dict[str, Any]:
    """Return what a training took."""
    is_finite = all(p.isfinite().all() for p in model.parameters())
    return {
        "labels_used": len(
            {data.ids[row] for row in (state.used & data.are_given).nonzero().flatten().tolist()}
        ),
        "pseudo_labelled": data.num_pseudo,
        "steps": state.steps,
        "epochs": math.ceil(state.steps / epoch_steps),
        "loss": state.loss if math.isfinite(state.loss) else None,
        "curve": state.curve,
        "structure_used": config.has_structure,
        "diverged": state.steps < total or not is_finite,
    }


def _points(total: int, count: int) -> set[int]:
    """Return the steps after which the model is measured, evenly spread, the last included.

    Examples
    --------
    >>> sorted(_points(10, 4)), sorted(_points(2, 4))
    ([3, 5, 8, 10], [1, 2])
    """
    return {math.ceil(total * point / count) for point in range(1, count + 1)} - {0}


def _generator(config: TrainConfig, purpose: int, number: int) -> np.random.Generator:
    """Return the random numbers of one step or epoch, the same whenever it is asked for."""
    return np.random.default_rng([config.seed, purpose, number])


def _stream(config: TrainConfig, purpose: int, number: int) -> Array:
    """Return one random uint64 of a step, as an array of shape (1,)."""
    return np.random.SeedSequence([config.seed, purpose, number]).generate_state(1, np.uint64)


def _make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a model's parameters that the settings name."""
    parameters, lr, decay = model.parameters(), config.lr, config.weight_decay
    match config.optimiser:
        case "sgd":
            return torch.optim.SGD(parameters, lr, config.momentum, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(parameters, lr, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr, weight_decay=decay)


def _rate(config: TrainConfig, step: int, total: int) -> float:
    """Return the learning rate of a step, counted from 0, of a total.

    Examples
    --------
    >>> [round(_rate(TrainConfig(lr=0.1), step, 4), 3) for step in range(4)]
    [0.1, 0.085, 0.05, 0.015]
    """
    done = step / total
    match config.schedule:
        case "cosine":
            return config.lr * (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return config.lr * (1 - done)
        case "constant":
            return config.lr
