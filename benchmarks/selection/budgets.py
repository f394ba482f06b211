"""What choices at several budgets take, as in the paper's Table II.

A task has one process and one set-up, and returns its `choices`, one a budget.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.child import Ready
from benchmarks.selection.tasks import Clock, compiling, part_of, set_up, touch_memory
from benchmarks.selectors.sampling import random
from benchmarks.selectors.submodular import greedy, of_apricot
from echo_stream import EchoCoreset
from echo_stream.config import EngineConfig
from echo_stream.generation.generation import train_generation

OF_ALL = {"budget", "choices", "peak_mib"}  # of a task's row, what is not of one choice


def draws(
    ready: Ready, name: str, folders: list[Path], n: int, budgets: list[int], seed: int, _: str
) -> dict[str, Any]:
    """Choose uniformly, which needs no set-up."""
    data = part_of(name, folders, n, seed)
    return {"choices": _timed(lambda budget: random(data, budget, seed, {}), budgets, ready)}


def peer_choices(
    ready: Ready, name: str, folders: list[Path], n: int, budgets: list[int], seed: int, method: str
) -> dict[str, Any]:
    """Choose by a function of apricot-select: similarities are the set-up."""
    similar, found = set_up(ready, part_of(name, folders, n, seed), method)
    choices = _timed(lambda budget: greedy(of_apricot(method), similar, budget), budgets)
    return found | compiling(method) | {"choices": choices}


def paper_choices(
    ready: Ready, name: str, folders: list[Path], n: int, budgets: list[int], seed: int, _: str
) -> dict[str, Any]:
    """Choose by the paper's preset: encoder and grid, which know no budget, are the set-up.

    A choice counts all samples into the cells of the grid.
    """
    x = part_of(name, folders, n, seed).x_train
    settings: dict[str, Any] = {"preset": "paper", "seed": seed}
    EchoCoreset(2, epochs=1, device="cpu", **settings).fit(x[:50])  # imports what it needs
    touch_memory(n)
    ready()
    clock = Clock()
    generation = train_generation(
        x, EngineConfig(**settings), expected_n=n, device=torch.device("cpu")
    )
    found = clock.lap("setup")

    def choose(budget: int) -> None:
        engine = EchoCoreset(budget, generation=generation, device="cpu", **settings)
        engine.fit(x).snapshot()

    return found | {"choices": _timed(choose, budgets)}


def choice_rows(row: Mapping[str, Any], budgets: Mapping[float, int]) -> list[dict[str, Any]]:
    """Return a row for each choice of a task, or that of its error for each.

    Parameters
    ----------
    row : mapping
        What a task of this module took, in all.
    budgets : mapping of float to int
        By share of the samples, in the order of the task's choices.
    """
    common = {key: value for key, value in row.items() if key not in OF_ALL}
    choices = row.get("choices", [{}] * len(budgets))
    return [
        common | choice | {"budget": budget, "share": share}
        for (share, budget), choice in zip(budgets.items(), choices, strict=True)
    ]


def _timed(
    choose: Callable[[int], object], budgets: list[int], ready: Ready = lambda: None
) -> list[dict[str, float]]:
    """Return what a choice takes at each budget."""
    ready()
    clock, found = Clock(), []
    for budget in budgets:
        choose(budget)
        found.append(clock.lap("choose"))
    return found
