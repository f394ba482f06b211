"""How well samples cover the data that they were chosen of."""

import numpy as np

from echo_stream._common.typing import Array, IntArray

REFERENCE_ROWS = 2_000  # of the training set, the same for every selection
CHOSEN_ROWS = 10_000  # more are not looked at: the value hardly moves then


def explained_share(x: Array, chosen: IntArray) -> float:
    """Return the facility-location value of a selection, scaled.

    Similarity is minus the squared distance. The value is mapped to 1 where each sample is
    chosen itself, and to 0 where it is as near as to the mean of all: the share of the
    variance that the nearest chosen samples explain. Measured over 2,000 rows of
    x (n, ...) that are the same for every selection. O(2,000 |chosen| D).

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> explained_share(x, np.arange(4)), round(explained_share(x, np.array([0, 2])), 2)
    (1.0, 0.98)
    """
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(x))[:REFERENCE_ROWS]
    looked_at = rng.permutation(chosen)[:CHOSEN_ROWS]
    reference, kept = _flat(x[rows]), _flat(x[looked_at])
    centre = reference.mean(axis=0)
    reference, kept = reference - centre, kept - centre  # the smaller, the less is rounded off
    lengths, kept_lengths = (np.square(part).sum(axis=1) for part in (reference, kept))
    nearest = (kept_lengths - 2 * reference @ kept.T).min(axis=1) + lengths
    return float(1 - nearest.mean() / lengths.mean()) if lengths.any() else 1.0


def _flat(x: Array) -> Array:
    """Return samples as vectors (n, D), float64."""
    return x.reshape(len(x), -1).astype(np.float64)
