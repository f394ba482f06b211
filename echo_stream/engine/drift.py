"""Detect that a stream has moved away from the samples that its generation was trained on.

Every sample lies at some distance from the fixed centre of its cell. One training
sample in ten lies beyond some radius. Where many more of the samples since the last check
do, the cells no longer fit what arrives. A mean of distances would do as well for
clouds without outliers, and takes a few far samples for drift in others.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from echo_stream._common.typing import Array
from echo_stream.engine.regeneration import payloads, regenerated
from echo_stream.generation.generation import Generation
from echo_stream.generation.preprocessing import row_chunks
from echo_stream.generation.quantiser import centre_distances
from echo_stream.sketch.fixed_sketch import FixedSketch

_FAR_SHARE = 0.1  # of the training samples are far, by definition
_LIMIT = 0.2  # twice as many; regeneration in benchmarks prints what that misses
_STANDARD_ERRORS = 5.0  # by which the share must exceed the usual one, at least


class Drift(NamedTuple):
    """The result of a check.

    Attributes
    ----------
    share : float
        Share of far samples among those that came since the last check: an estimate,
        which can lie a little outside of [0, 1].
    error : float
        Standard error of the share in a stream that has not drifted, or more.
    """

    share: float
    error: float

    @property
    def limit(self) -> float:
        """Share above which drift is significant and large enough to matter."""
        return max(_LIMIT, _FAR_SHARE + _STANDARD_ERRORS * self.error)

    @property
    def is_drift(self) -> bool:
        """Whether the share is beyond the limit."""
        return self.share > self.limit


@dataclass(frozen=True, slots=True)
class DriftDetector:
    """Detect drift by the share of samples that are far from the centre of their cell.

    Attributes
    ----------
    radius : float
        Squared distance beyond which a sample is far: one training sample in ten would
        be, had it not been trained on.
    num_measured : int
        Training samples that the radius comes from.
    n : int
        Samples counted at the last check, or trained on.
    share : float
        Share of these n that is far; of the training samples as they are, which is less.
    num_sampled : int
        Samples that this share comes from.

    Notes
    -----
    No work is done for each sample: a check estimates shares from the reservoir, a uniform
    sample of everything, and subtracts the share at the last check. So it finds the same
    in any order, any batches, and after merges.
    """

    radius: float
    num_measured: int
    n: int
    share: float
    num_sampled: int

    @classmethod
    def fit(cls, generation: Generation, x: Array, *, seed: int) -> Self:
        """Return the detector of a stream that begins with its training payloads x (n, ...)."""
        parts = [generation.latent(generation.vectors(part)) for part in row_chunks(x)]
        latent = torch.cat(parts)
        unseen = generation.fixed_quantiser.unseen_distances(latent, seed=seed)
        # Below a spacing of |z|^2 distances are rounding: training samples that all sit on
        # their centres, as duplicates do.
        radius = max(float(np.quantile(unseen, 1 - _FAR_SHARE)), generation.norm_spacing)
        share = float((centre_distances(generation.fixed_quantiser, latent) > radius).mean())
        return cls(radius, len(unseen), n=len(x), share=share, num_sampled=len(x))

    @classmethod
    def of_regenerated(cls, new: FixedSketch, old: FixedSketch) -> "DriftDetector":
        """Return the detector of a new sketch that was trained on what the old one holds."""
        x = payloads(old.flushed().reservoir.members, old)
        return cls.fit(new.generation, x, seed=new.config.seed).after_check(new)

    @property
    def next_check(self) -> int:
        """Number of samples from which on a check is due: N has doubled."""
        return 2 * self.n

    def after_check(self, sketch: FixedSketch) -> "DriftDetector":
        """Return the detector after a check of a sketch, from which on it counts again."""
        share, num_sampled = self._far_share(sketch)
        return dataclasses.replace(self, n=sketch.n, share=share, num_sampled=num_sampled)

    def drift(self, sketch: FixedSketch) -> Drift:
        """Compare what has come since the last check with the training samples.

        O(m K d) for a reservoir of m.
        """
        far, num_sampled = self._far_share(sketch)
        before = self.n / (sketch.n - self.n)  # samples of before for each that has come since
        share = (1 + before) * far - before * self.share
        terms = (1 + before) ** 2 / num_sampled + before**2 / self.num_sampled
        variance = _FAR_SHARE * (1 - _FAR_SHARE) * (terms + 1 / self.num_measured)
        return Drift(share, math.sqrt(variance))

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON; floats come back bit for bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        return cls(**values)

    def _far_share(self, sketch: FixedSketch) -> tuple[float, int]:
        """Return the share of far samples in the reservoir, and how many samples it has."""
        sample = sketch.flushed().reservoir.members
        latent = torch.from_numpy(np.array([member.latent for member in sample]))
        far = centre_distances(sketch.generation.fixed_quantiser, latent) > self.radius
        return float(far.mean()), len(sample)


def regenerated_on_drift(
    sketch: FixedSketch, detector: DriftDetector
) -> tuple[FixedSketch, DriftDetector]:
    """Check for drift, and return the sketch and the detector to continue with."""
    if not detector.drift(sketch).is_drift:
        return sketch, detector.after_check(sketch)
    new = regenerated(sketch)
    return new, DriftDetector.of_regenerated(new, sketch)
