"""Samples in clusters, as arrays and as a command that sends them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from echo_stream.samples.samples import Samples
from echo_stream.samples.validation import as_samples


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
