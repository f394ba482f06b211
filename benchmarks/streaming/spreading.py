"""Accuracy of a model that is trained on few labels, and on what they say of all that is held.

Run `python -m benchmarks.streaming.spreading DATA`, with DATA a folder of Banking77's
embeddings. The stream is shuffled, and seen once; labels are those of the coreset, or of a
uniform sample. They are spread over all samples that the engine holds at the end, and a logistic
regression is trained on the labels, and on these and the others weighted by their confidence.
`EchoClassifier` has the same labels. Prints a table.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from benchmarks.command import NATURAL, call
from benchmarks.data import DataSet, load
from benchmarks.selectors.reservoirs import uniform_sample
from echo_stream import EchoClassifier, EchoCoreset, spread_labels
from echo_stream._common.typing import Array, IntArray
from echo_stream.samples.samples import as_objects
from echo_stream.training.classifier import Votes
from echo_stream.training.weights import relative_weights

BATCH = 5_000
INVERSE_PENALTY = 10  # the C of logistic regression
MAX_ITERATIONS = 300
NEIGHBOURS = 10
ALPHA = 0.95
Found = dict[str, float]


def budgets_option(*default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option for budgets."""
    return click.option(
        "--budget", "budgets", multiple=True, default=default, type=NATURAL, show_default=True,
        help="Rows of the coreset, all labelled; may be repeated.",
    )  # fmt: skip


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@budgets_option(77, 231, 770)
@click.option("--keep", type=NATURAL, help="Samples held besides. Default: the engine's.")
@click.option("--seeds", default=3, type=NATURAL, show_default=True, help="Of order and choice.")
def main(*, data: Path, budgets: tuple[int, ...], keep: int | None, seeds: int) -> None:
    """Measure on DATA, a folder with Banking77's embeddings."""
    banking = load("banking77", [data])
    runs = {
        f"{budget} labels": [in_one_pass(banking, budget, seed, keep) for seed in range(seeds)]
        for budget in budgets
    }
    click.echo(table(runs))


def in_one_pass(data: DataSet, budget: int, seed: int, keep: int | None = None) -> Found:
    """Return what was measured with some labels of a stream, by name."""
    order = np.random.default_rng(seed).permutation(len(data.x_train))
    model = EchoClassifier(EchoCoreset(budget, keep=keep, seed=seed, device="cpu"))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        model.partial_fit(data.x_train[batch], ids=batch)
    engine = model.coreset_
    engine.end_warmup()
    rows = engine.snapshot().rows
    core = rows.samples.ids.astype(np.int64)
    held = np.unique(engine.held()[0].ids.astype(np.int64))
    weights = relative_weights(rows.weights, 0.5)
    model.label(core, data.y_train[core])
    found = {
        "samples held": float(len(held)),
        "coreset: labels only": score(data, core, data.y_train[core]),
        "coreset: labels only, weighted": score(data, core, data.y_train[core], weights),
        "coreset: EchoClassifier": 100 * float(model.score(data.x_test, data.y_test)),
        **spread_over(data, "coreset", core, held),
    }
    uniform = uniform_sample(order, budget, seed)
    found["uniform sample: labels only"] = score(data, uniform, data.y_train[uniform])
    return found | spread_over(data, "uniform sample", uniform, np.union1d(held, uniform))


def spread_over(data: DataSet, name: str, bought: IntArray, held: IntArray) -> Found:
    """Return what labels of some rows are worth when they are spread over those held."""
    is_bought = np.isin(held, bought)
    truth = data.y_train[held]
    labels = as_objects(
        [y if own else None for y, own in zip(truth.tolist(), is_bought, strict=True)]
    )
    equal = dict.fromkeys(np.unique(data.y_train).tolist(), 1.0)
    found: Found = {}
    for kind, counts in (("spread", None), ("spread, classes equally frequent", equal)):
        begun = time.perf_counter()
        spread = spread_labels(
            data.x_train[held], labels, num_neighbours=NEIGHBOURS, alpha=ALPHA, class_counts=counts
        )
        seconds = time.perf_counter() - begun
        there = spread.is_reached
        given = spread.labels[there].astype(np.int64)
        guessed = there & ~is_bought
        right = spread.labels[guessed] == truth[guessed]
        head = fitted(data, held[there], given, spread.confidence[there])
        nearest = Votes(data.x_train[held], spread, NEIGHBOURS)
        votes = head.predict_proba(data.x_test) + nearest.shares(data.x_test, head.classes_)
        found |= {
            f"{name}: {kind}": 100 * float(head.score(data.x_test, data.y_test)),
            f"{name}: {kind}, and the vote of the nearest": percent(
                head.classes_[votes.argmax(axis=1)], data.y_test
            ),
            f"{name}: {kind}, right of those found": 100 * float(right.mean()),
            f"{name}: {kind}, seconds": seconds,
        }
    found[f"{name}: scikit-learn's LabelSpreading"] = theirs(data, held, is_bought)
    return found


def theirs(data: DataSet, held: IntArray, is_bought: Array) -> float:
    """Return the accuracy with the labels that scikit-learn spreads, used as ours are."""
    model = LabelSpreading(kernel="knn", n_neighbors=NEIGHBOURS, alpha=ALPHA, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # components without a label are 0 / 0
        model.fit(data.x_train[held], np.where(is_bought, data.y_train[held], -1))
    confidence = np.where(is_bought, 1.0, model.label_distributions_.max(axis=1))
    found = np.where(is_bought, data.y_train[held], model.transduction_)
    there = np.isfinite(confidence)
    return score(data, held[there], found[there], confidence[there])


def score(data: DataSet, rows: IntArray, y: Array, weights: Array | None = None) -> float:
    """Return the accuracy in percent of a model trained on rows with labels y."""
    return 100 * float(fitted(data, rows, y, weights).score(data.x_test, data.y_test))


def fitted(data: DataSet, rows: IntArray, y: Array, weights: Array | None) -> LogisticRegression:
    """Return a logistic regression trained on rows with labels y."""
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # few labels a class
        return model.fit(data.x_train[rows], y, sample_weight=weights)


def percent(found: Array, truth: Array) -> float:
    """Return how many percent are right."""
    return 100 * float((found == truth).mean())


def table(runs: dict[str, list[Found]]) -> str:
    """Return means and standard deviations over seeds as a table of Markdown."""
    lines = ["| | " + " | ".join(runs) + " |", "| --- " * (len(runs) + 1) + "|"]
    for name in next(iter(runs.values()))[0]:
        columns = [np.array([run[name] for run in found]) for found in runs.values()]
        cells = [f"{values.mean():.1f} ± {values.std():.1f}" for values in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    call(main)
