"""The state of a training, to resume it after an interruption.

Everything random in a step follows from the seed and the number of the step, so the state is
weights, the optimiser's state and a few sums.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from echo_stream._common.typing import Array, State

_MODEL, _OPTIMISER = "model.", "optimiser."


class Checkpoint(Protocol):
    """Stores the state of a training, to resume it."""

    def load(self) -> State | None:
        """Return the stored state; None without one."""

    def offer(self, steps: int, to_state: Callable[[], State]) -> None:
        """Store what to_state() returns, if a checkpoint is due after so many steps."""


@dataclass(slots=True, eq=False)
class TrainingState:
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
    ) -> "TrainingState":
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
