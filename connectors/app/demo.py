"""The demo's story: scikit-learn's digits as a stream, from samples to a trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from echo_stream.config import EngineConfig, Preset
from echo_stream.connectors.app.consumer import consume
from echo_stream.connectors.inspect.plot import plot_map
from echo_stream.connectors.inspect.query import query_snapshot
from echo_stream.connectors.runner.consumption import Consumption
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.connectors.storage.units import check_free
from echo_stream.connectors.training.job import labelled, train_on_snapshot
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunReport
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from echo_stream.training.config import TrainConfig
from echo_stream.training.evaluation import evaluate
from echo_stream.training.training import train

STREAM_SAMPLES = 1_437  # the other 360 of the 1,797 digits are held out
_WARMUP = 500
_SNAPSHOT_EVERY = 500
_ENCODER_EPOCHS = 20
_TRAIN_STEPS = 400
_LEARNING_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Scores:
    """Accuracy on held-out samples of two models that have used equally many labels."""

    coreset: float
    random: float
    labels_used: int
    test_samples: int


def stream(
    folder: Path,
    *,
    budget: int,
    seed: int,
    preset: Preset = "adaptive",
    monitor: RunMonitor | None = None,
) -> RunReport:
    """Let the digits flow through the runtime of `echo-stream run` into a new state folder.

    Raises
    ------
    StateError
        If the folder exists.
    """
    check_free(folder)
    config = EngineConfig(
        budget=budget,
        preset=preset,
        epochs=_ENCODER_EPOCHS,
        warmup=_WARMUP,
        expected_n=STREAM_SAMPLES,
        seed=seed,
    )
    schedule = RunConfig(
        checkpoint_every=Every(samples=_SNAPSHOT_EVERY),
        snapshot_every=Every(samples=_SNAPSHOT_EVERY),
    )
    arriving, _ = _digits(seed)
    return consume(
        Consumption(
            lambda: ArraySource(arriving), folder, config, schedule, monitor=monitor or RunMonitor()
        )
    )


def ask(folder: Path, sql: str) -> list[dict[str, Any]]:
    """Run SQL over the newest snapshot."""
    return query_snapshot(find_snapshot(folder, None), sql)


def compare(folder: Path, *, seed: int) -> Scores:
    """Train one recipe on the coreset and on as many random samples of the same stream."""
    arriving, held_out = _digits(seed)
    # One thread: for a net this small, waiting for a second one costs more than it brings.
    config = TrainConfig(model="mlp", steps=_TRAIN_STEPS, lr=_LEARNING_RATE, seed=seed, threads=1)
    ours = train_on_snapshot(
        find_snapshot(folder, None), config, test=None, models=folder / "models"
    ).result
    tested = labelled(held_out)
    scored = evaluate(ours.model, tested.x, tested.y, ours.classes, input_shape=ours.input_shape)
    labels_used = ours.metrics["labels_used"]
    chosen = np.random.default_rng(seed).choice(len(arriving), labels_used, replace=False)
    random = train(labelled(arriving[chosen]), None, tested, config)
    return Scores(
        coreset=scored["accuracy"],
        random=random.metrics["accuracy"],
        labels_used=labels_used,
        test_samples=scored["test_samples"],
    )


def draw(folder: Path) -> Path:
    """Draw the map of the newest snapshot."""
    return plot_map(read_snapshot(find_snapshot(folder, None)), folder / "map.png", overwrite=True)


def _digits(seed: int) -> tuple[Samples, Samples]:
    """Return the digits in a random order, divided into those that arrive and those held out."""
    images, labels = load_digits(return_X_y=True)
    # Pixels are 0..16; spread over a byte they are the kind of image that users have.
    pixels = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(pixels))
    digits = as_samples(pixels[order], labels[order])
    return digits[:STREAM_SAMPLES], digits[STREAM_SAMPLES:]
