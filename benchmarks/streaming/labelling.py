"""How many labels are bought where a coreset is labelled again and again along a stream.

Run `python -m benchmarks.streaming.labelling DATA`, with DATA a folder of Banking77's
embeddings. The stream is shuffled, or sorted by class; after each part of it all rows of the
coreset that have no label are labelled. Either the engine is told the labels, and prefers
samples that have one, or they are kept beside it. At the end a logistic regression is trained
on the coreset. Prints a table.
"""

from pathlib import Path

import click
import numpy as np

from benchmarks.command import NATURAL, call
from benchmarks.data import DataSet, load
from benchmarks.evaluation.orders import arranged
from benchmarks.streaming.spreading import Found, budgets_option, score, table
from echo_stream import EchoCoreset
from echo_stream._common.typing import IntArray


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@budgets_option(77, 231)
@click.option("--parts", default=10, type=NATURAL, show_default=True, help="Of the stream.")
@click.option("--seeds", default=3, type=NATURAL, show_default=True, help="Of order and choice.")
def main(*, data: Path, budgets: tuple[int, ...], parts: int, seeds: int) -> None:
    """Measure on DATA, a folder with Banking77's embeddings."""
    banking = load("banking77", [data])
    click.echo(
        table(
            {
                f"{budget} rows, {order}": [
                    along(banking, order, budget, parts, seed) for seed in range(seeds)
                ]
                for budget in budgets
                for order in ("shuffled", "sorted")
            }
        )
    )


def along(data: DataSet, order: str, budget: int, parts: int, seed: int) -> Found:
    """Return labels bought and accuracies, in percent, with labels told and kept aside."""
    rows = arranged(order, data.y_train, seed)
    return {
        f"labels {how}: {what}": value
        for how, is_told in (("told", True), ("kept aside", False))
        for what, value in labelled_along(data, np.array_split(rows, parts), budget, seed, is_told)
    }


def labelled_along(
    data: DataSet, parts: list[IntArray], budget: int, seed: int, is_told: bool
) -> list[tuple[str, float]]:
    """Label the coreset after each part; return what was bought, and what it is worth."""
    engine = EchoCoreset(budget, seed=seed, device="cpu")
    bought, core = set[int](), np.zeros(0, np.int64)
    for part in parts:
        engine.partial_fit(data.x_train[part], ids=part)
        core = engine.coreset().ids.astype(np.int64)
        new = [row for row in core.tolist() if row not in bought]
        bought.update(new)
        if is_told and new:
            engine.label(new, data.y_train[new].tolist())
    return [("bought", float(len(bought))), ("accuracy", score(data, core, data.y_train[core]))]


if __name__ == "__main__":
    call(main)
