"""Results that were made up, for what is made of results."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.evaluation.plan import Plan
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.trial import VERSION, Trial

MACHINE = {
    "cpu": "Abacus",
    "cores": 2,
    "python": "3.11",
    "packages": {"torch": "2.0"},
    "device": "cpu",
}


def line(trial: Trial, accuracy: float, **others: Any) -> Line:
    """Return the line of a trial that had an accuracy."""
    return {
        "key": trial.key,
        "version": VERSION,
        "trial": asdict(trial),
        "error": None,
        "accuracy": accuracy,
        "labels": 60,
        "num_core": 60,
        "num_support": 0,
        "chance": 0.1,
        "worst_accuracy": 0.0,
        "diverged": False,
        "info": {},
        "machine": MACHINE,
        **others,
    }


def lines(plan: Plan, accuracy: Callable[[Trial], float | None]) -> dict[str, Line]:
    """Return the lines of a plan's trials by key, but of those whose accuracy is None."""
    found = {}
    for trial in plan.trials():
        value = accuracy(trial)
        if value is not None:
            found[trial.key] = line(trial, value)
    return found
