"""How near one pass over a stream comes to the batch choice, and how much of it is certified.

Run `python -m benchmarks.streaming.fidelity DATA FASHION_MNIST`, with DATA a folder that holds
`skin.npz`, `cover_odds.npz` and `banking77_minilm.npz`, and FASHION_MNIST one with the
four IDX files. Prints JSON. The generation is trained beforehand on a tenth of the samples;
a stream is shuffled, or sorted by class, and comes in one shard or several that are merged;
after that the source is read once more, to repair what is in doubt.
"""

import json
import platform
import time
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.command import call
from benchmarks.data import load
from benchmarks.streaming.batch_choice import Row, batch_choice, claims
from echo_stream import EchoCoreset, Generation
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples

BUDGETS = {"fashion": (100, 500), "skin": (100, 500), "cover": (100, 500), "banking": (77,)}
QUANTISERS: dict[str, dict[str, Any]] = {
    "grid": {"preset": "paper", "latent_encoder": "linear"},
    "codebook": {"preset": "fixed"},
}
TRAINING_SETS = {"fashion": "fashion-mnist", "banking": "banking77"}
SHARDS = (1, 4, 16)
WARMUP_SHARE = 10  # one in so many samples
BATCH = 5_000


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("fashion_mnist", type=click.Path(path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(BUDGETS)), help="Default: all.")
@click.option("--samples", type=int, help="Of each data set, drawn at random; default: all.")
@click.option("--seed", default=0, show_default=True, help="Of order and generation.")
def main(
    *, data: Path, fashion_mnist: Path, only: tuple[str, ...], samples: int | None, seed: int
) -> None:
    """Compare streams of real DATA, sorted and shuffled, with the batch choice."""
    rows: list[dict[str, Any]] = []
    sets = {name: read(name, data, fashion_mnist) for name in only or BUDGETS}
    for name, (x, y) in sets.items():
        order = np.random.default_rng(seed).permutation(len(x))[:samples]
        for budget, cells in product(BUDGETS[name], QUANTISERS):
            described = {"data": name, "budget": budget, "cells": cells}
            rows += [described | row for row in measured(x[order], y[order], budget, cells, seed)]
    click.echo(json.dumps({"machine": platform.machine(), "seed": seed, "rows": rows}, indent=2))


def read(name: str, data: Path, fashion_mnist: Path) -> tuple[Array, Array]:
    """Return samples and labels of a data set."""
    if name in TRAINING_SETS:
        part = load(TRAINING_SETS[name], [data, fashion_mnist])
        return part.x_train, part.y_train
    path = data / {"skin": "skin.npz", "cover": "cover_odds.npz"}[name]
    if not path.is_file():
        msg = f"there is no {path}: an npz of x (n, d) and y (n,); without it, give --only"
        raise SourceError(msg)
    with np.load(path) as archive:
        return archive["x"], archive["y"]


def measured(x: Array, y: Array, budget: int, cells: str, seed: int) -> list[dict[str, Any]]:
    """Return a row for each order and number of shards; x and y are shuffled."""
    settings: dict[str, Any] = QUANTISERS[cells] | {"seed": seed, "expected_n": len(x)}
    warmup = max(len(x) // WARMUP_SHARE, 1)
    trained = EchoCoreset(budget, warmup=warmup, **settings).partial_fit(x[:warmup])
    generation = trained.generation_
    expected = batch_choice(generation, trained.config, x)
    orders = {"shuffled": np.arange(len(x)), "sorted": np.argsort(y, kind="stable")}
    found = []
    for (name, order), shards in product(orders.items(), SHARDS):
        begun = time.perf_counter()
        engine = streamed(x, np.array_split(order, shards), generation, budget, settings)
        row = {"order": name, "shards": shards} | compared(engine, expected)
        row["seconds"] = round(time.perf_counter() - begun, 1)
        engine.repair(ArraySource(as_samples(x)))
        repaired = compared(engine, expected)
        row |= {f"repaired_{key}": repaired[key] for key in ("equal", "certified", "wrong")}
        found.append(row)
        click.echo(json.dumps(row), err=True)
    return found


def streamed(
    x: Array, parts: list[Array], generation: Generation, budget: int, settings: dict[str, Any]
) -> EchoCoreset:
    """Return the merger of engines that have each seen one part of the rows."""
    engines = []
    for part in parts:
        engine = EchoCoreset(budget, generation=generation, **settings)
        for start in range(0, len(part), BATCH):
            rows = part[start : start + BATCH]
            engine.partial_fit(x[rows], ids=rows)
        engines.append(engine)
    merged, *others = engines
    for other in others:
        merged.merge(other)
    return merged


def compared(engine: EchoCoreset, expected: set[Row]) -> dict[str, Any]:
    """Return how much of the batch choice an engine has, and what it proves, in per cent.

    `wrong` is the number of certified rows that are not the batch's at their rank.
    """
    snapshot = engine.snapshot()
    claimed = claims(snapshot)
    same = {(role, name) for _, role, _, name in expected}
    ours = {(role, name) for _, role, _, name in claimed}
    wrong = {row for row, is_certified in claimed.items() if is_certified} - expected
    return {
        "n": snapshot.n,
        "rows": len(expected),
        "equal": round(100 * len(same & ours) / len(same), 2),
        "certified": round(100 * float(np.mean(list(claimed.values()))), 2),
        "wrong": len(wrong),
        "held_share": round(snapshot.manifest["num_held"] / snapshot.n, 4),
    }


if __name__ == "__main__":
    call(main)
