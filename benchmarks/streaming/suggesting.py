"""What labels are worth that are bought in rounds, as suggested, all at once, or at random.

Run `python -m benchmarks.streaming.suggesting DATA --dataset banking77`. The stream is shuffled,
and seen once. In each round `suggest_labels` names samples of the snapshot, and these are
labelled; beside it as many labels are bought at once: those of all rows of a coreset, those that
`suggest_labels` names without any label, and those of a uniform sample of the stream. In each
case the labels are spread over all samples that the engine holds at the end, and a logistic
regression is trained on them, weighted by their confidence. Prints a table.
"""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.command import NATURAL, call
from benchmarks.data import DataSet, load
from benchmarks.selectors.reservoirs import uniform_sample
from benchmarks.streaming.spreading import BATCH, Found, budgets_option, fitted, table
from echo_stream import EchoCoreset, spread_labels, suggest_labels
from echo_stream._common.typing import Array, IntArray
from echo_stream.samples.samples import as_objects


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dataset", default="banking77", show_default=True, help="Data set to measure on.")
@budgets_option(231)
@click.option("--rounds", default=3, type=NATURAL, show_default=True, help="Of labels.")
@click.option("--keep", type=NATURAL, help="Samples held besides. Default: the engine's.")
@click.option("--seeds", default=3, type=NATURAL, show_default=True, help="Of order and choice.")
def main(
    *, data: tuple[Path, ...], dataset: str, budgets: tuple[int, ...], rounds: int,
    keep: int | None, seeds: int,
) -> None:  # fmt: skip
    """Measure on a data set in the folders DATA."""
    loaded = _as_vectors(load(dataset, list(data)))
    click.echo(
        table(
            {
                f"{budget} labels": [
                    bought(loaded, budget, rounds, seed, keep) for seed in range(seeds)
                ]
                for budget in budgets
            }
        )
    )


def bought(data: DataSet, budget: int, rounds: int, seed: int, keep: int | None) -> Found:
    """Return the accuracy in percent for each way of buying labels."""
    order = np.random.default_rng(seed).permutation(len(data.x_train))
    engine = EchoCoreset(budget, keep=keep, seed=seed, device="cpu")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        engine.partial_fit(data.x_train[rows], ids=rows)
    engine.end_warmup()
    core = _rows(engine.snapshot().rows.samples.ids)
    held = np.unique(_rows(engine.held()[0].ids))
    at_once = _rows(suggest_labels(engine.snapshot(), budget).samples.ids)
    uniform = uniform_sample(order, budget, seed)
    found = {
        "samples held": float(len(held)),
        "all at once, rows of the coreset": _score(data, core, held),
        "all at once, as suggested": _score(data, at_once, held),
        "uniform sample": _score(data, uniform, np.union1d(held, uniform)),
    }
    labelled = np.zeros(0, np.int64)
    for part in np.array_split(np.arange(budget), rounds):
        suggested = _rows(suggest_labels(engine.snapshot(), len(part)).samples.ids)
        engine.label(suggested.tolist(), data.y_train[suggested].tolist())
        labelled = np.concatenate([labelled, suggested])
    found[f"{rounds} rounds, as suggested"] = _score(data, labelled, held)
    return found


def _rows(ids: Array) -> IntArray:
    """Return the rows of the data that samples are."""
    return ids.astype(np.int64)


def _score(data: DataSet, labelled: IntArray, held: IntArray) -> float:
    """Return the accuracy with the labels of some rows spread over those held."""
    truth = data.y_train[held].tolist()
    is_labelled = np.isin(held, labelled).tolist()
    labels = as_objects([y if own else None for y, own in zip(truth, is_labelled, strict=True)])
    equal = dict.fromkeys({label for label in labels if label is not None}, 1.0)
    spread = spread_labels(data.x_train[held], labels, class_counts=equal)
    there = spread.is_reached
    head = fitted(
        data, held[there], spread.labels[there].astype(np.int64), spread.confidence[there]
    )
    return 100 * float(head.score(data.x_test, data.y_test))


def _as_vectors(data: DataSet) -> DataSet:
    """Return a data set with flat samples, bytes as numbers from 0 to 1."""
    scale = 255 if data.x_train.dtype == np.uint8 else 1
    flat = [x.reshape(len(x), -1).astype(np.float32) / scale for x in (data.x_train, data.x_test)]
    return replace(data, x_train=flat[0], x_test=flat[1])


if __name__ == "__main__":
    call(main)
