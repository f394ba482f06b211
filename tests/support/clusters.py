"""Samples in clusters, a command that sends them, and engines that have counted such."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.samples.samples import Samples
from echo_stream.samples.validation import as_samples
from tests.support.strategies import identity_generation

N = 6_000
WARMUP = 500
SETTINGS: dict[str, Any] = {"budget": 24, "latent": "identity", "warmup": WARMUP, "device": "cpu"}


def clustered(n: int) -> Samples:
    """Return n labelled points of eight values in fifty clusters, each with its id."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 50, n)
    x = rng.normal(size=(50, 8))[labels] + rng.normal(0, 0.3, (n, 8))
    return as_samples(x.astype(np.float32), labels, [f"id-{row}" for row in range(n)])


def produce_words(samples: Samples, where: Sequence[object], folder: Path) -> list[object]:
    """Write samples to a file in a folder, and return the command that sends them somewhere."""
    data = folder / "points.npz"
    np.savez(data, x=samples.x, y=np.array(samples.labels, int), id=samples.ids.astype(str))
    return ["produce", data, *where, "--message-format", "raw"]


def rng() -> np.random.Generator:
    """Return a generator that is the same in every test."""
    return np.random.default_rng(5)


def blobs(n: int = 400) -> tuple[Array, Array]:
    """Return points in two clusters, float32, and their labels."""
    y = rng().integers(0, 2, n)
    return (y[:, None] * 4 + rng().normal(size=(n, 3))).astype(np.float32), y


def snapshot_of(n: int) -> Snapshot:
    """Return the snapshot of n points in the plane, n at least 8: 8 rows, labels c0 to c2."""
    x = np.random.default_rng(0).random((n, 2)).astype(np.float32)
    engine = EchoCoreset(
        8,
        rank="center",
        cells="grid",
        generation=identity_generation(2, 4),
        device="cpu",
        preset="fixed",
    )
    return engine.fit(x, [f"c{row % 3}" for row in range(n)]).snapshot()


def in_clusters() -> Array:
    """Return points in twelve clusters, one after the other."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 4, (12, 3)).repeat(N // 12, axis=0)
    return (centres + rng.normal(0, 0.3, (N, 3))).astype(np.float32)


def streamed(x: Array, **settings: Any) -> EchoCoreset:
    """Return an engine that has counted x."""
    return EchoCoreset(
        preset="fixed", **{**SETTINGS, "auto_regenerate": False, **settings}
    ).partial_fit(x)


def rows(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    """Return all that a snapshot says of its rows but whether they are certified."""
    table = snapshot.rows
    columns = (table.samples.ids, table.roles, table.ranks_in_cell, table.cells, table.weights)
    return list(zip(*(list(column) for column in columns), strict=True))
