"""What regeneration saves on a stream sorted by class, and that it leaves others alone.

Run `python -m benchmarks.streaming.regeneration DATA`, with DATA a folder that holds
`banking77_minilm.npz`; `--fashion-mnist DIR`, the four IDX files, adds stationary
streams of images. Prints JSON.
"""

import json
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.command import NATURAL, call
from benchmarks.data import DataSet, load
from benchmarks.evaluation.classifiers import logistic_labels
from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import Array
from echo_stream.engine.drift import Drift, DriftDetector
from echo_stream.generation.generation import train_generation
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.sketch import BLOCK_SIZE

BUDGET = 77
WARMUP = 1_000  # of 10,003
BATCH = 500
LOOKS = (2 * BLOCK_SIZE, 4 * BLOCK_SIZE, 8 * BLOCK_SIZE)  # when N has doubled, from 1,000
MOVED_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
MOVED_RADII = (1.0, 1.5, 2.0, 3.0, 5.0)
STREAMS = {  # drawn from, by dimension
    "gauss-mixture-2": 2, "gauss-mixture-16": 16, "gauss-mixture-64": 64,
    "gauss-64": 64, "uniform-2": 2, "uniform-10": 10, "t3-4": 4, "lognormal-8": 8,
}  # fmt: skip

Draw = Callable[[np.random.Generator], Array]


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--seeds", default=10, type=NATURAL, show_default=True, help="Of order, selection and random."
)
@click.option("--stationary-seeds", default=100, show_default=True, help="Per stationary stream.")
@click.option("--power-seeds", default=10, show_default=True, help="Per size of drift.")
@click.option("--fashion-mnist", type=click.Path(path_type=Path), help="Folder of its IDX files.")
def main(
    *,
    data: Path,
    seeds: int,
    stationary_seeds: int,
    power_seeds: int,
    fashion_mnist: Path | None,
) -> None:
    """Measure on DATA, a folder with banking77_minilm.npz."""
    banking = load("banking77", [data])
    images = None if fashion_mnist is None else load("fashion-mnist", [fashion_mnist]).x_train
    result = {
        "machine": platform.machine(),
        "budget": BUDGET,
        "warmup": WARMUP,
        "banking77": banking77(banking, seeds),
        "stationary": [
            {"stream": name, "budget": budget, **stationary(draw, budget, stationary_seeds)}
            for name, draw in stationary_streams(banking.x_train, images)
            for budget in (20, BUDGET)
        ],
        "power": [
            {"dim": dim, "share": share, "radii": radii, **power(dim, share, radii, power_seeds)}
            for dim in (2, 16)
            for share in MOVED_SHARES
            for radii in MOVED_RADII
        ],
    }
    click.echo(json.dumps(result, indent=2))


def banking77(data: DataSet, seeds: int) -> dict[str, Any]:
    """Return accuracies of each kind of stream, over paired seeds."""
    runs = [banking77_once(data, seed) for seed in range(seeds)]
    rows: dict[str, Any] = {
        name: summary([run[name][0] for run in runs])
        | {"regenerations": [run[name][1] for run in runs]}
        for name in runs[0]
    }
    return rows


def banking77_once(data: DataSet, seed: int) -> dict[str, tuple[float, int]]:
    """Return accuracy and number of regenerations of each kind of stream, for one seed."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(data.x_train))
    place = rng.permutation(BUDGET)  # of each of the 77 classes in the sorted stream
    by_class = shuffled[np.argsort(place[data.y_train[shuffled]], kind="stable")]
    left_alone = streamed(data.x_train, by_class, seed, auto_regenerate=False)
    results = {
        "random": (accuracy(data, shuffled[:BUDGET]), 0),
        "shuffled": scored(data, streamed(data.x_train, shuffled, seed, auto_regenerate=False)),
        "shuffled, automatic": scored(data, streamed(data.x_train, shuffled, seed)),
        "sorted, never": scored(data, left_alone),
        "sorted, automatic": scored(data, streamed(data.x_train, by_class, seed)),
    }
    left_alone.regenerate(ArraySource(Samples(x=data.x_train[by_class], ids=by_class)))
    return results | {"sorted, read again": scored(data, left_alone)}


def accuracy(data: DataSet, rows: Array) -> float:
    """Return the test accuracy of logistic regression on some of the training rows."""
    return float((logistic_labels(data, rows) == data.y_test).mean())


def summary(values: list[float]) -> dict[str, float]:
    """Return mean and standard deviation in per cent."""
    return {
        "mean": round(100 * float(np.mean(values)), 1),
        "sd": round(100 * float(np.std(values, ddof=1)), 1) if len(values) > 1 else 0.0,
    }


def streamed(
    x: Array, order: Array, seed: int, *, auto_regenerate: bool | None = None
) -> EchoCoreset:
    """Return an engine that has counted rows of x in an order."""
    engine = EchoCoreset(
        BUDGET, preset="fixed", warmup=WARMUP, seed=seed, auto_regenerate=auto_regenerate
    )
    for rows in np.array_split(order, len(order) // BATCH):
        engine.partial_fit(x[rows], ids=rows)
    return engine


def scored(data: DataSet, engine: EchoCoreset) -> tuple[float, int]:
    """Return accuracy and number of regenerations of a coreset."""
    snapshot = engine.snapshot()
    rows = snapshot.rows.samples.ids.astype(np.int64)
    return accuracy(data, rows), snapshot.manifest["regenerations"]


def stationary_streams(sentences: Array, images: Array | None) -> Iterator[tuple[str, Draw]]:
    """Yield what streams are drawn from that do not change."""
    for name, dim in STREAMS.items():
        yield name, partial(drawn, name, dim)
    yield "banking77 shuffled", partial(shuffled_rows, sentences)
    if images is not None:
        yield "fashion-mnist shuffled", partial(shuffled_rows, images)


def shuffled_rows(x: Array, rng: np.random.Generator) -> Array:
    """Return a stream of some rows of x in a random order."""
    return np.asarray(x[rng.choice(len(x), LOOKS[-1], replace=False)])


def drawn(name: str, dim: int, rng: np.random.Generator) -> Array:
    """Return a stream of points (n, dim), float32, all of one distribution."""
    shape = (LOOKS[-1], dim)
    if name.startswith("uniform"):
        return rng.random(shape, dtype=np.float32)
    if name.startswith("t3"):
        return rng.standard_t(3, size=shape).astype(np.float32)
    if name.startswith("lognormal"):
        return rng.lognormal(size=shape).astype(np.float32)
    centres = rng.normal(size=(10 if "mixture" in name else 1, dim))
    places = centres[rng.integers(0, len(centres), shape[0])]
    return (places + 0.3 * rng.normal(size=shape)).astype(np.float32)


def stationary(draw: Draw, budget: int, seeds: int) -> dict[str, Any]:
    """Return how often a stream that does not change is taken for one that does."""
    looks = [
        looked(draw(np.random.default_rng(seed)), budget, seed, LOOKS) for seed in range(seeds)
    ]
    shares = [drift.share for run in looks for drift in run]
    margins = [drift.share / drift.limit for run in looks for drift in run]
    return {
        "seeds": seeds,
        "regenerations": sum(any(drift.is_drift for drift in run) for run in looks),
        "far_share_mean": round(float(np.mean(shares)), 3),
        "far_share_max": round(max(shares), 3),
        "largest_share_of_limit": round(max(margins), 3),
    }


def power(dim: int, share: float, radii: float, seeds: int) -> dict[str, Any]:
    """Return how often a drift is seen at the first look.

    After the warm-up a share of the samples lies farther off, by radii times the
    distance to its codeword that one training sample in ten exceeds, in one direction.
    """
    looks = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x = drawn("gauss-mixture", dim, rng)[: LOOKS[0]]
        direction = rng.normal(size=dim)
        radius = np.sqrt(watched(x, BUDGET, seed)[1].radius)
        moved = np.flatnonzero(rng.random(len(x) - WARMUP) < share) + WARMUP
        x[moved] += (radii * radius * direction / np.linalg.norm(direction)).astype(np.float32)
        looks += looked(x, BUDGET, seed, LOOKS[:1])
    return {
        "seen": round(float(np.mean([drift.is_drift for drift in looks])), 2),
        "far_share_mean": round(float(np.mean([drift.share for drift in looks])), 2),
    }


def looked(x: Array, budget: int, seed: int, looks: tuple[int, ...]) -> list[Drift]:
    """Return what the detector finds each time that N has doubled."""
    sketch, detector = watched(x, budget, seed)
    found, samples = [], as_samples(x)
    for n in looks:
        sketch.update(samples[sketch.n : n])
        found.append(detector.drift(sketch))
        detector = detector.after_check(sketch)
    return found


def watched(x: Array, budget: int, seed: int) -> tuple[FixedSketch, DriftDetector]:
    """Return an empty sketch of a generation trained on the warm-up, and its detector."""
    config, device = EngineConfig(budget, preset="fixed", seed=seed), torch.device("cpu")
    generation = train_generation(x[:WARMUP], config, expected_n=WARMUP, device=device)
    detector = DriftDetector.fit(generation, x[:WARMUP], seed=seed)
    return FixedSketch(generation, config, device), detector


if __name__ == "__main__":
    call(main)
