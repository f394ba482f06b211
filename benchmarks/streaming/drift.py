"""Accuracy over time of a model that is retrained on what a stream leaves behind.

Run `python -m benchmarks.streaming.drift DATA --plot drift.png`, with DATA a folder of
Fashion-MNIST's four IDX files. Two streams: its classes one after another, tested on all
classes so far; and shuffled, with all images turned upside down and inverted from half
way on, tested on images as they are now. A model is trained on (a) nothing new, (b) the
last B samples, (c) a uniform sample of B, (d) our coreset of B, weighed as `run` does, and
(e) one in fixed cells. Prints tables.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from benchmarks.command import NATURAL, call
from benchmarks.data import load
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array, IntArray
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.training.config import TrainConfig
from echo_stream.training.evaluation import evaluate
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.training import TrainResult, train

FIXED = "coreset, fixed cells"
METHODS = ("none", "last", "reservoir", "coreset", FIXED)
BATCH = 500
WARMUP = 500  # of one class alone, where they come one after another
MAX_BYTE = 255


class Stream(NamedTuple):
    """A stream, and what a model is tested on after some of it.

    Attributes
    ----------
    x, y : ndarray of shape (n, 28, 28), uint8, and (n,), int64
    test : callable
        Given samples so far, returns x and y of the test set.
    """

    x: Array
    y: IntArray
    test: Callable[[int], tuple[Array, IntArray]]


def by_class(data: Path, samples: int | None, seed: int) -> Stream:
    """Return the classes one after another, in a random order."""
    x, y, test_x, test_y = loaded(data, samples, seed)
    place = np.random.default_rng([seed, 1]).permutation(10)
    order = np.argsort(place[y], kind="stable")

    def test(n: int) -> tuple[Array, IntArray]:
        seen = np.isin(test_y, np.unique(y[order][:n]))
        return test_x[seen], test_y[seen]

    return Stream(x[order], y[order], test)


def abrupt(data: Path, samples: int | None, seed: int) -> Stream:
    """Return all classes in a random order, with other images from half way on."""
    x, y, test_x, test_y = loaded(data, samples, seed)
    half = len(x) // 2
    changed = np.concatenate([x[:half], turned(x[half:])])
    return Stream(changed, y, lambda n: (test_x if n <= half else turned(test_x), test_y))


def loaded(data: Path, samples: int | None, seed: int) -> tuple[Array, IntArray, Array, IntArray]:
    """Return the training set in a random order, or some of it, and the test set."""
    images = load("fashion-mnist", [data])
    order = np.random.default_rng(seed).permutation(len(images.x_train))[:samples]
    return images.x_train[order], images.y_train[order], images.x_test, images.y_test


def turned(x: Array) -> Array:
    """Return images upside down, and dark where they were light."""
    return MAX_BYTE - x[:, ::-1]


STREAMS: dict[str, Callable[[Path, int | None, int], Stream]] = {
    "class by class": by_class,
    "abrupt drift": abrupt,
}


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--budget", default=100, type=NATURAL, show_default=True, help="Labelled samples, B.")
@click.option(
    "--points", default=10, type=NATURAL, show_default=True, help="Retrainings along the stream."
)
@click.option("--steps", default=200, type=NATURAL, show_default=True, help="Of each training.")
@click.option(
    "--seeds", default=3, type=NATURAL, show_default=True, help="Of order, selection and training."
)
@click.option("--first-seed", default=0, show_default=True)
@click.option("--samples", type=NATURAL, help="Of the training set; default: all.")
@click.option(
    "--stream",
    "names",
    multiple=True,
    type=click.Choice(list(STREAMS)),
    help="Only this one; may be repeated.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="PNG to draw.")
def main(  # noqa: PLR0913 - the options of a command
    *,
    data: Path,
    budget: int,
    points: int,
    steps: int,
    seeds: int,
    first_seed: int,
    samples: int | None,
    names: tuple[str, ...],
    plot: Path | None,
) -> None:
    """Measure on DATA, a folder with Fashion-MNIST's IDX files."""
    curves = {}
    for name in names or STREAMS:
        runs = []
        for seed in range(first_seed, first_seed + seeds):
            stream = STREAMS[name](data, samples, seed)
            runs.append(over_time(stream, budget, points=points, steps=steps, seed=seed))
        curves[name] = {m: np.array([run[m] for run in runs]) for m in METHODS}
        click.echo(table(name, curves[name]))
    if plot is not None:
        draw(curves, plot)


def over_time(
    stream: Stream, budget: int, *, points: int, steps: int, seed: int
) -> dict[str, list[float]]:
    """Return each method's accuracy after each part of a stream."""
    n, scores = len(stream.x), defaultdict(list)
    warmup = min(WARMUP, n // points)
    ours = {
        "coreset": EchoCoreset(budget, warmup=warmup, seed=seed, device="cpu"),
        FIXED: EchoCoreset(budget, preset="fixed", warmup=warmup, seed=seed, device="cpu"),
    }
    uniform = np.random.default_rng([seed, 2]).random(n)  # the smallest of them are the reservoir
    first: TrainResult | None = None
    counted = 0
    for stop in np.linspace(0, n, points + 1).astype(int)[1:].tolist():
        for start in range(counted, stop, BATCH):
            rows = np.arange(start, min(start + BATCH, stop))
            for engine in ours.values():
                engine.partial_fit(stream.x[rows], ids=rows)
        counted = stop
        kept = {
            "last": labelled(stream, np.arange(max(stop - budget, 0), stop)),
            "reservoir": labelled(stream, np.argsort(uniform[:stop], kind="stable")[:budget]),
        } | {name: chosen(stream, engine.snapshot()) for name, engine in ours.items()}
        models = {name: trained(core, steps=steps, seed=seed) for name, core in kept.items()}
        first = models["reservoir"] if first is None else first
        for method, model in {"none": first, **models}.items():
            scores[method].append(accuracy(model, *stream.test(stop)))
    return dict(scores)


def labelled(stream: Stream, rows: IntArray) -> LabelledSet:
    """Return some samples of a stream with their labels."""
    return LabelledSet(stream.x[rows], stream.y[rows], rows)


def chosen(stream: Stream, snapshot: Snapshot) -> LabelledSet:
    """Return the samples of a coreset with their labels, and what each stands for."""
    core = labelled(stream, snapshot.rows.samples.ids.astype(np.int64))
    return replace(core, weights=snapshot.rows.weights)


def trained(core: LabelledSet, *, steps: int, seed: int) -> TrainResult:
    """Return a model trained on some samples."""
    config = TrainConfig(
        "mlp",
        steps=steps,
        structure_weight=0.0,
        lr=0.05,
        max_grad_norm=0.0,
        evaluations=1,
        seed=seed,
        device="cpu",
    )
    return train(core, None, None, config)


def accuracy(model: TrainResult, x: Array, y: IntArray) -> float:
    """Return the share of samples that a model has right."""
    measured = evaluate(model.model, x, y, model.classes, input_shape=model.input_shape)
    return float(measured["accuracy"])


def table(name: str, scores: dict[str, Array]) -> str:
    """Return accuracies of one stream, (seeds, points) by method, as a table of Markdown."""
    points = scores["none"].shape[1]
    heads = [f"{round(100 * (point + 1) / points)} %" for point in range(points)]
    lines = [f"| {name} | " + " | ".join([*heads, "mean ± sd of seeds"]) + " |"]
    lines.append("| --- " * (points + 2) + "|")
    for method, runs in scores.items():
        means = runs.mean(axis=1)
        cells = [f"{100 * value:.1f}" for value in runs.mean(axis=0)]
        cells.append(f"{100 * means.mean():.1f} ± {100 * means.std():.1f}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def draw(curves: dict[str, dict[str, Array]], path: Path) -> None:
    """Draw accuracy over time, a panel a stream."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only to draw

    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (name, scores) in zip(panels, curves.items(), strict=True):
        for method, runs in scores.items():
            share = np.arange(1, runs.shape[1] + 1) / runs.shape[1]
            panel.plot(share, runs.mean(axis=0), marker=".", label=method)
        panel.set(title=name, xlabel="share of the stream")
    panels[0].set_ylabel("accuracy")
    panels[0].legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    call(main)
