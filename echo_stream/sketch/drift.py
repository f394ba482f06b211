"""Whether a stream has moved away from the samples that its generation was trained on.

Every sample lies at some distance from the fixed centre of its cell. One training
sample in ten lies beyond some radius; where many more of those that came since the last
look do, the cells no longer fit what arrives. A mean of distances would do as well for
clouds without outliers, and takes a few far ones for a drift in others.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from echo_stream._common.typing import Array, FloatArray
from echo_stream.generation.generation import Generation
from echo_stream.generation.partition import Partition
from echo_stream.generation.preprocessing import row_chunks
from echo_stream.samples.members import Member

FAR_SHARE = 0.1  # of the training samples are far, by definition
LIMIT = 0.2  # twice as many; regeneration in benchmarks prints what that misses
STANDARD_ERRORS = 5.0  # by which the share must exceed what is usual, whatever the limit
CHUNK_POINTS = 1_024  # points whose distances to all codewords are taken at a time


class Drift(NamedTuple):
    """What a look has found.

    Attributes
    ----------
    share : float
        Share of far samples among those that came since the last look: an estimate,
        which can lie a little outside of [0, 1].
    error : float
        Standard error of the share in a stream that has not drifted, or more.
    """

    share: float
    error: float

    @property
    def limit(self) -> float:
        """Share from which on it is neither chance nor too little to matter."""
        return max(LIMIT, FAR_SHARE + STANDARD_ERRORS * self.error)

    @property
    def is_drift(self) -> bool:
        """Whether the share is beyond the limit."""
        return self.share > self.limit


@dataclass(frozen=True, slots=True)
class Watch:
    """What samples since the last look are compared with.

    Attributes
    ----------
    radius : float
        Squared distance beyond which a sample is far: one training sample in ten would
        be, had it not been trained on.
    num_measured : int
        Training samples that the radius comes from.
    n : int
        Samples counted at the last look, or trained on.
    share : float
        Share of these n that is far; of the training samples as they are, which is less.
    num_sampled : int
        Samples that this share comes from.

    Notes
    -----
    Nothing is counted a sample: a look estimates shares from the reservoir, a uniform
    sample of everything, and takes the share at the last look off. So it finds the same
    in any order, any batches, and after merges.
    """

    radius: float
    num_measured: int
    n: int
    share: float
    num_sampled: int

    @classmethod
    def begin(cls, generation: Generation, x: Array, *, seed: int) -> Self:
        """Return the watch of a stream that begins with its training payloads x (n, ...)."""
        parts = [generation.latent(generation.vectors(part)) for part in row_chunks(x)]
        latent = torch.cat(parts)
        unseen = generation.partition.unseen_distances(latent, seed=seed)
        # Below a unit of |z|^2 distances are rounding: training samples that all sit on
        # their centres, as duplicates do.
        radius = max(float(np.quantile(unseen, 1 - FAR_SHARE)), generation.norm_unit)
        share = float((squared_distances(generation.partition, latent) > radius).mean())
        return cls(radius, len(unseen), n=len(x), share=share, num_sampled=len(x))

    @property
    def next_look(self) -> int:
        """Number of samples from which on a look is due: N has doubled."""
        return 2 * self.n

    def looked(self, n: int, sample: Sequence[Member], partition: Partition) -> "Watch":
        """Return the watch after a look at n samples, of which sample is a uniform one."""
        share = self._far_share(sample, partition)
        return dataclasses.replace(self, n=n, share=share, num_sampled=len(sample))

    def drift(self, n: int, sample: Sequence[Member], partition: Partition) -> Drift:
        """Compare what has come since the last look with the training samples.

        O(m K d) for a sample of m.
        """
        before = self.n / (n - self.n)  # samples of before for each that has come since
        share = (1 + before) * self._far_share(sample, partition) - before * self.share
        terms = (1 + before) ** 2 / len(sample) + before**2 / self.num_sampled
        variance = FAR_SHARE * (1 - FAR_SHARE) * (terms + 1 / self.num_measured)
        return Drift(share, math.sqrt(variance))

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON; floats come back bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        return cls(**values)

    def _far_share(self, sample: Sequence[Member], partition: Partition) -> float:
        """Return the share of a sample that is far."""
        latent = torch.from_numpy(np.array([member.latent for member in sample]))
        return float((squared_distances(partition, latent) > self.radius).mean())


def squared_distances(partition: Partition, latent: torch.Tensor) -> FloatArray:
    """Return the squared distance of points (n, d), on the host, to the centre of their cell."""
    parts = []
    for points in torch.split(latent, CHUNK_POINTS):
        centres = partition.centres(partition.locate(points).keys.numpy())
        parts.append(np.square(points.numpy() - centres).sum(axis=1))
    return np.concatenate(parts)
