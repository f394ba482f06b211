"""Streams of made-up samples that no machine has to hold whole, and clocks for them."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from echo_stream._common.typing import Array

CLUSTERS = 50
BATCH = 10_000  # samples a call; no multiple of a block, as in real life

Consume = Callable[[Array, Array], object]


@dataclass(frozen=True, slots=True)
class ClusterStream:
    """Samples in overlapping clusters, shuffled, the same for every reader.

    Attributes
    ----------
    dim : int
        Features D of a sample.
    seed : int
    clusters : int, optional
        50 by default.

    Examples
    --------
    >>> [x.shape for x, y in ClusterStream(dim=3, seed=0).batches(0, 15_000)]
    [(10000, 3), (5000, 3)]
    """

    dim: int
    seed: int
    clusters: int = CLUSTERS

    def batches(self, start: int, stop: int) -> Iterator[tuple[Array, Array]]:
        """Yield x (n, D), float32, and y (n,), int64, of samples start to stop."""
        centres = np.random.default_rng(self.seed).normal(size=(self.clusters, self.dim))
        centres = centres.astype(np.float32)
        cuts = [*range(start, stop, BATCH), stop]
        for first, last in pairwise(cuts):
            rng = np.random.default_rng([self.seed, first])
            y = rng.integers(0, self.clusters, last - first)
            noise = rng.standard_normal((last - first, self.dim), dtype=np.float32)
            noise += centres[y]
            yield noise, y


def timed(stream: ClusterStream, start: int, stop: int, consume: Consume) -> dict[str, float]:
    """Feed samples start to stop (at least one) to consume; return its rates in samples a second.

    `rate` is over all, `best` that of the fastest batch: on a busy machine the latter
    is nearer to what idle cores would show. Making the samples is not timed.
    """
    seconds, rates = 0.0, []
    for x, y in stream.batches(start, stop):
        begun = time.perf_counter()
        consume(x, y)
        spent = time.perf_counter() - begun
        seconds += spent
        rates.append(len(x) / spent)
    return {
        "rate": round((stop - start) / seconds),
        "median": round(float(np.median(rates))),
        "best": round(max(rates)),
        "load": round(os.getloadavg()[0], 2),
    }
