"""What a sample costs from the first batch after the warm-up on, beside mini-batch k-means.

Run `python -m benchmarks.speed.beginning --data DATA`, with DATA a folder of Fashion-MNIST's IDX
files; without it only noise is measured. Prints a table: processor time in microseconds a sample.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.command import NATURAL, call
from benchmarks.data import load
from benchmarks.speed.peers import kmeans
from benchmarks.streams import BATCH, ClusterStream, Consume
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array

BUDGET = 500  # rows of the coreset, and clusters of k-means
GROUPS, DIM = 200, 784
HEADER = ("data", "method", "first batch", "median", "last batch", "median / k-means")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="A folder with Fashion-MNIST.")
@click.option("--samples", default=60_000, type=NATURAL, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of samples, engine and k-means.")
def main(*, data: Path | None, samples: int, seed: int) -> None:
    """Measure the default and k-means, batch by batch, and print a table."""
    stream = ClusterStream(DIM, seed, GROUPS)
    sets = {f"noise around {GROUPS} groups": list(stream.batches(0, samples))}
    if data is not None:
        sets["Fashion-MNIST"] = list(_images(data, samples, seed))
    click.echo(_line(HEADER))
    click.echo(_line(["---"] * len(HEADER)))
    for name, batches in sets.items():
        others = costs(kmeans(BUDGET, seed), batches)
        ours = costs(_unlabelled(EchoCoreset(BUDGET, seed=seed)), batches)
        for method, found in (("default", ours), ("MiniBatchKMeans", others)):
            median = float(np.median(found))
            times = [f"{cost:.0f}" for cost in (found[0], median, found[-1])]
            click.echo(_line([name, method, *times, f"{median / float(np.median(others)):.1f}"]))


def costs(consume: Consume, batches: list[tuple[Array, Array]]) -> list[float]:
    """Return the microseconds of processor time a sample of each batch after the first.

    The first one has the warm-up in it, which is shorter.
    """
    found = []
    for x, y in batches:
        begun = time.process_time()
        consume(x, y)
        found.append((time.process_time() - begun) / len(x) * 1e6)
    return found[1:]


def _unlabelled(engine: EchoCoreset) -> Consume:
    """Return an engine as a consumer of samples without labels."""
    return lambda x, _: engine.partial_fit(x)


def _images(data: Path, samples: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield batches of images as (n, D), float32, and their classes, shuffled."""
    images = load("fashion-mnist", [data])
    x, y = images.x_train, images.y_train
    order = np.random.default_rng(seed).permutation(len(x))[:samples]
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield x[rows].reshape(len(rows), -1).astype(np.float32), y[rows]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    call(main)
