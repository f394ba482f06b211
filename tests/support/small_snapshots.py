"""Snapshots of a few points, made in milliseconds."""

import numpy as np

from echo_stream import EchoCoreset, Snapshot
from tests.support.strategies import identity_generation


def snapshot_of(n: int) -> Snapshot:
    """Return the snapshot of n points in the plane, n at least 8: 8 rows, labels c0 to c2."""
    x = np.random.default_rng(0).random((n, 2)).astype(np.float32)
    engine = EchoCoreset(
        8, rank="center", cells="grid", generation=identity_generation(2, 4), device="cpu"
    )
    return engine.fit(x, [f"c{row % 3}" for row in range(n)]).snapshot()
