"""A training that stops anywhere goes on from its state, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from echo_stream._common.typing import State
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.training import TrainResult, train

FACTORY = """
from torch import nn

def noisy(input_shape, num_classes):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(4 * 6 * 6, num_classes),
    )
"""


class Interrupted(Exception):
    """Stop a training, as a person would."""


class MemoryCheckpoint:
    """Keep the state after some step, then interrupt; the next training finds it."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.kept: State | None = None

    def load(self) -> State | None:
        """Return a copy of what was kept."""
        return self.kept

    def offer(self, steps: int, to_state: Callable[[], State]) -> None:
        """Keep a copy of the state of one step, and stop a step later."""
        if steps == self.step and self.kept is None:
            arrays, meta = to_state()
            self.kept = {name: array.copy() for name, array in arrays.items()}, dict(meta)
            self.kept[1]["curve"] = list(meta["curve"])
        elif steps == self.step + 1 and self.kept is not None and self.step > 0:
            self.step = -1
            raise Interrupted


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledSet:
    """Return 30 images of three classes, and make the factory importable."""
    (tmp_path / "echo_test_noisy.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    weights = rng.random(30) + 0.5
    return LabelledSet(
        rng.random((30, 8, 8)).astype(np.float32), np.arange(30) % 3, np.arange(30), weights
    )


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return all that a model has learned or counted."""
    return dict(model.state_dict())


@pytest.mark.parametrize("step", [1, 5, 9])
@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd", "psi": "concatenate"},
        {"optimiser": "adam", "psi": "mixup", "schedule": "linear"},
        {"optimiser": "adamw", "augment": ("crop", "flip"), "sample_weights": "sqrt"},
        {"task": "regression", "momentum": 0.0, "lr": 0.01},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_a_training_goes_on_bit_for_bit(
    images: LabelledSet, changes: dict[str, Any], step: int
) -> None:
    """Dropout, batch normalisation, support, mixtures and augmentation included."""
    config = TrainConfig(
        model="echo_test_noisy:noisy", steps=12, batch_size=8, support_per_step=3,
        device="cpu", threads=1, **{"lr": 0.01, **changes},
    )  # fmt: skip

    def run(checkpoint: MemoryCheckpoint | None = None) -> TrainResult:
        return train(images[:20], images[20:], images, config, checkpoint=checkpoint)

    checkpoint = MemoryCheckpoint(step)
    with pytest.raises(Interrupted):
        run(checkpoint)
    resumed, undisturbed = run(checkpoint), run()
    for name, tensor in weights(undisturbed.model).items():
        assert torch.equal(weights(resumed.model)[name], tensor), name
    assert resumed.metrics == undisturbed.metrics
    assert resumed.metrics["steps"] == 12
