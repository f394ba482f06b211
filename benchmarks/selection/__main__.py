"""Time, memory and use of our selection, beside facility location and graph cut.

Run `python -m benchmarks.selection --data FOLDER`. Prints records, for `--costs` of
`benchmarks.quality report`. Each selection runs in a process
of its own, which has just used as much memory as similarities take, and given it back: the first
to touch that of a virtual machine waits longer for it than for the choice. For the library's,
the similarities of all pairs are the set-up; for ours, all of the build. `choose` is what comes
after it: the greedy choice, or a snapshot of a warm sketch.
Seconds are also given in processor time, which other work on a machine changes less.
"""

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.child import Task, in_child
from benchmarks.command import NATURAL, call
from benchmarks.data import load
from benchmarks.evaluation.choosing import Choosing
from benchmarks.evaluation.classifiers import fitted
from benchmarks.evaluation.machine import machine
from benchmarks.evaluation.recipes import Recipe
from benchmarks.evaluation.trial import revisions_of
from benchmarks.selection.budgets import choice_rows, draws, paper_choices, peer_choices
from benchmarks.selection.ratios import ratios
from benchmarks.selection.records import cost_records
from benchmarks.selection.tasks import (
    is_free,
    ours,
    ours_streaming,
    part_of,
    peer,
    similarity_bytes,
)
from benchmarks.selectors import Chosen
from benchmarks.selectors.submodular import FUNCTIONS, of_apricot

METHODS = {"facility-location": peer, "graph-cut": peer, "ours": ours}
BY_BUDGET = {
    "random": draws,
    "facility-location": peer_choices,
    "graph-cut": peer_choices,
    "echo-paper": paper_choices,
}
SIZES = (5_000, 20_000)
GROWTH = (1_250, 2_500, 5_000, 10_000, 20_000, 40_000, 60_000)
TRAINING = {"lr": 0.05, "max_grad_norm": 5.0}  # as models are trained in the paper's tables
SHARES = (0.001, 0.01, 0.1, 0.5)  # of the paper's Table II

Row = dict[str, Any]


@click.command()
@click.option("--data", multiple=True, type=click.Path(path_type=Path), help="Folder of data.")
@click.option("--set", "name", default="fashion-mnist", show_default=True, help="Data set.")
@click.option(
    "--size", "sizes", multiple=True, type=NATURAL, help="Samples; default: 5,000, 20,000."
)
@click.option("--budget", default=500, type=NATURAL, show_default=True, help="Samples to choose.")
@click.option(
    "--seeds", default=5, type=NATURAL, show_default=True, help="Of samples, choice and training."
)
@click.option("--steps", default=600, type=NATURAL, show_default=True, help="Of each training.")
@click.option("--growth", multiple=True, type=NATURAL, help="Samples; default: 1,250 to 60,000.")
@click.option(
    "--stream",
    default=1_000_000,
    type=NATURAL,
    show_default=True,
    help="Samples of ours in one pass.",
)
def main(
    *,
    data: tuple[Path, ...],
    name: str,
    sizes: tuple[int, ...],
    budget: int,
    seeds: int,
    steps: int,
    growth: tuple[int, ...],
    stream: int,
) -> None:
    """Measure selections of the same samples side by side; times by budget at the largest size."""
    for peer_name in FUNCTIONS:  # what is missing is told before hours, not after
        of_apricot(peer_name)
    load(name, data)
    measured_on = machine()  # the code that is run, if it changes meanwhile
    sizes, growth = sizes or SIZES, growth or GROWTH
    bench = Bench(name, list(data), steps)
    compared = [
        bench.row(method, n, budget, seed)
        for seed in range(seeds)
        for n in sizes
        for method in METHODS
    ]
    grown = [bench.row(method, n, budget, 0) for n in growth for method in METHODS]
    streamed = bench.measured(ours_streaming, "ours", stream, budget, 0)
    by_budget = [
        row
        for seed in range(seeds)
        for method in (*BY_BUDGET, "ours")
        for row in bench.by_budget(method, max(sizes), seed)
    ]
    for row in compared:
        bench.train(row)
    result = {
        "machine": measured_on,
        "revisions": revisions_of({"echo"}),
        "data": name,
        "budget": budget,
        "compared": ratios(compared),
        "growth": grown,
        "stream": streamed,
        "by_budget": by_budget,
    }
    for record in cost_records(result):
        click.echo(json.dumps(record, ensure_ascii=False))


class Bench:
    """A data set, and what is measured on it; progress goes to stderr.

    Parameters
    ----------
    name : str
    folders : list of Path
    steps : int
        Of each training.
    """

    def __init__(self, name: str, folders: list[Path], steps: int) -> None:
        self._name, self._folders, self._steps = name, folders, steps
        self._started = time.perf_counter()

    def row(self, method: str, n: int, budget: int, seed: int) -> Row:
        """Return what one selection takes."""
        return self.measured(METHODS[method], method, n, budget, seed)

    def by_budget(self, method: str, n: int, seed: int) -> list[Row]:
        """Return what a method's choice takes for each of `SHARES`; ours is built for each."""
        budgets = {share: max(round(share * n), 1) for share in SHARES}
        if method in BY_BUDGET:
            row = self.measured(BY_BUDGET[method], method, n, list(budgets.values()), seed)
            return choice_rows(row, budgets)
        return [
            self.row(method, n, budget, seed) | {"share": share}
            for share, budget in budgets.items()
        ]

    def measured(self, task: Task, method: str, n: int, budget: int | list[int], seed: int) -> Row:
        """Return what a task takes in a process of its own; of a peer's error, what it needs."""
        row: Row = {"method": method, "n": n, "budget": budget, "seed": seed}
        gib = similarity_bytes(n) / 2**30
        if method in FUNCTIONS and not is_free(n):
            return row | {"error": f"needs {gib:.1f} GiB, which are not free"}
        row |= in_child(task, self._name, self._folders, n, budget, seed, method)
        if method in FUNCTIONS and "error" in row:
            row["error"] += f", with {gib:.1f} GiB of similarities"
        shown = {key: value for key, value in row.items() if key != "core"}
        click.echo(f"{time.perf_counter() - self._started:.0f} s {json.dumps(shown)}", err=True)
        return row

    def train(self, row: Row) -> None:
        """Add the accuracy of a model that is trained on what was chosen."""
        if "core" not in row:
            return
        data = part_of(self._name, self._folders, row["n"], row["seed"])
        chosen, nothing = Chosen(np.array(row["core"], np.int64)), np.empty(0, np.int64)
        found, settings = Choosing(chosen, nothing, 0, 0), TRAINING | {"steps": self._steps}
        recipe = Recipe.parse("ce" if data.model == "logistic" else "structural")
        metrics = fitted(data, found, recipe, settings, row["seed"], "cpu")
        row |= {"accuracy": metrics["accuracy"], "labels_used": metrics["labels_used"]}


if __name__ == "__main__":
    call(main)
