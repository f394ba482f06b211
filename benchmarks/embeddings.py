"""The default preset against random samples on Banking77 sentence embeddings, in one pass.

Run `python -m benchmarks.embeddings DATA`, with DATA a folder that holds
`banking77_minilm.npz` (x_train, y_train, x_test, y_test). Prints JSON.
"""

import json
import platform
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
from sklearn.linear_model import LogisticRegression

from echo_stream import EchoCoreset
from echo_stream.errors import SourceError
from echo_stream.typing import Array

BUDGETS = (77, 231, 770)
WARMUP = 1_000  # of 10,003
BATCH = 500


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--seeds", default=5, show_default=True, help="Of order, selection and random.")
@click.option("--rank", help="Rank rule; default: the preset's.")
@click.option("--latent", help="Latent space; default: the preset's.")
def main(*, data: Path, seeds: int, rank: str | None, latent: str | None) -> None:
    """Measure on DATA, a folder with banking77_minilm.npz."""
    arrays = load(data / "banking77_minilm.npz")
    settings = {"preset": "default", "warmup": WARMUP, "rank": rank, "latent": latent}
    rows = [measured(arrays, budget, seeds, settings) for budget in BUDGETS]
    click.echo(
        json.dumps({"machine": platform.machine(), "settings": settings, "rows": rows}, indent=2)
    )


def load(path: Path) -> dict[str, Array]:
    """Return the training and test embeddings."""
    if not path.is_file():
        msg = f"there is no {path}"
        raise SourceError(msg)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    return arrays | {name: arrays[name].astype(np.float32) for name in ("x_train", "x_test")}


def measured(
    arrays: dict[str, Array], budget: int, seeds: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return accuracy at one budget, over paired seeds of order and selection."""
    n = len(arrays["x_train"])
    ours, random, certified, retained = [], [], [], []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(n)
        engine = EchoCoreset(budget, seed=seed, **settings)
        for rows in np.array_split(order, n // BATCH):
            engine.partial_fit(arrays["x_train"][rows], ids=rows)
        snapshot = engine.snapshot()
        ours.append(accuracy(arrays, snapshot.rows.samples.ids.astype(np.int64)))
        random.append(accuracy(arrays, order[:budget]))
        certified.append(snapshot.manifest["certified_fraction"])
        retained.append(snapshot.manifest["num_retained"] / n)
    return {
        "labels": budget,
        "coreset": summary(ours),
        "random": summary(random),
        "certified_fraction": round(float(np.mean(certified)), 3),
        "retained_share": round(float(np.mean(retained)), 3),
    }


def accuracy(arrays: dict[str, Array], rows: Array) -> float:
    """Return the test accuracy of logistic regression on some of the training rows."""
    model = LogisticRegression(C=10, max_iter=300)
    with warnings.catch_warnings():
        # Fewer than two samples a class is the point of the smallest budget.
        warnings.filterwarnings("ignore", "The number of unique classes")
        model.fit(arrays["x_train"][rows], arrays["y_train"][rows])
    return float(model.score(arrays["x_test"], arrays["y_test"]))


def summary(values: list[float]) -> dict[str, float]:
    """Return mean and standard deviation in per cent."""
    return {
        "mean": round(100 * float(np.mean(values)), 1),
        "sd": round(100 * float(np.std(values, ddof=1)), 1) if len(values) > 1 else 0.0,
    }


if __name__ == "__main__":
    main()
