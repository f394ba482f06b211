"""What the structural loss costs beside cross-entropy alone: LeNet, batches of 512, two cores.

    python -m benchmarks.speed.losses

Prints JSON: median milliseconds of a whole step (forward, loss, backward, SGD) with each
objective, and their ratio; by the clock, which needs a machine that does nothing else, and in
processor time, which does not. No data are needed: random images cost the same.
"""

import json
import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor

from benchmarks.command import call
from echo_stream._common.device import reproducible
from echo_stream.training.losses import classification_loss, structural_loss
from echo_stream.training.models import build_model

BATCH = 512
CLASSES = 10
SHAPE = (1, 28, 28)
THREADS = 2
WARMUP_STEPS = 5
LAMBDA = 0.5

Objective = Callable[[Tensor, Tensor], Tensor]


@click.command()
@click.option("--steps", default=100, show_default=True, help="Steps to time of each objective.")
@click.option("--seed", default=0, show_default=True)
def main(*, steps: int, seed: int) -> None:
    """Time steps with and without the structural loss, in turn."""
    with reproducible(torch.device("cpu"), seed=seed, threads=THREADS):
        steppers = [stepper(classification_loss), stepper(joint_loss)]
        for _ in range(WARMUP_STEPS):
            for step in steppers:
                step()
        times = [[step() for step in steppers] for _ in range(steps)]
    result: dict[str, object] = {"batch": BATCH, "threads": THREADS, "steps": steps}
    for place, kind in enumerate(("clock", "processor")):
        alone, joint = (
            statistics.median(pair[objective][place] for pair in times) for objective in range(2)
        )
        result[kind] = {
            "cross_entropy_ms": round(alone * 1e3, 2),
            "joint_ms": round(joint * 1e3, 2),
            "ratio": round(joint / alone, 3),
        }
    print(json.dumps(result, indent=2))


def joint_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the paper's objective (eq. 13)."""
    return classification_loss(outputs, labels) + LAMBDA * structural_loss(outputs, labels)


def stepper(objective: Objective) -> Callable[[], tuple[float, float]]:
    """Return what takes a step of a model of its own, and returns its two kinds of seconds."""
    model = build_model("lenet", SHAPE, CLASSES)
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.rand(BATCH, *SHAPE), torch.randint(CLASSES, (BATCH,))

    def step() -> tuple[float, float]:
        clock, processor = time.perf_counter(), time.process_time()
        optimiser.zero_grad()
        objective(model(x), y).backward()  # type: ignore[no-untyped-call]  # as torch has it
        optimiser.step()
        return time.perf_counter() - clock, time.process_time() - processor

    return step


if __name__ == "__main__":
    call(main)
