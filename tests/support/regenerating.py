"""Streams that regenerate, and what to look at then."""

from typing import Any

import numpy as np

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.sketch.sketch import Sketch

N = 6_000
WARMUP = 500
SETTINGS: dict[str, Any] = {"budget": 24, "latent": "identity", "warmup": WARMUP, "device": "cpu"}


def in_clusters() -> Array:
    """Return points in twelve clusters, one after the other."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 4, (12, 3)).repeat(N // 12, axis=0)
    return (centres + rng.normal(0, 0.3, (N, 3))).astype(np.float32)


def streamed(x: Array, **settings: Any) -> EchoCoreset:
    """Return an engine that has counted x."""
    return EchoCoreset(**{**SETTINGS, "auto_regenerate": False, **settings}).partial_fit(x)


def rows(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    """Return all that a snapshot says of its rows but whether they are certified."""
    table = snapshot.rows
    columns = (table.samples.ids, table.roles, table.rounds, table.cells, table.weights)
    return list(zip(*(list(column) for column in columns), strict=True))


def sketch_of(engine: EchoCoreset) -> Sketch:
    """Return an engine's sketch."""
    return engine._current.settled_sketch()
