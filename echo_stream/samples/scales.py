"""Find features whose scales are too different to be compared as they are."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from echo_stream._common.typing import Array, FloatArray

_FACTOR = 100.0
"""Ratio between the scales of two features, above which it is reported."""

_MAX_ROWS = 1_000
_MAX_VALUES = 1 << 22  # looked at: 32 MiB of float64
_FEWEST = 10  # samples, and
_DEAD_SHARE = 0.05  # of features that may be smaller: embeddings have axes of hardly any use
_FEWEST_STEPS = 8  # of float32, in the scale of a feature
_SHARE = 0.01  # their share, that must differ from the usual value to say anything of a scale


@dataclass(frozen=True, slots=True)
class ScaleDifference:
    """Two features of very different scales.

    Attributes
    ----------
    factor : float
        Between their scales.
    largest, smallest : int
        Their columns.
    """

    factor: float
    largest: int
    smallest: int

    def words(self, names: tuple[str, ...] = ()) -> str:
        """Return what was found, without advice.

        Parameters
        ----------
        names : tuple of str
            Of the features; their numbers where there are none.
        """
        largest, smallest = (_name(column, names) for column in (self.largest, self.smallest))
        return (
            f"the scales of features differ by a factor of {self.factor:,.0f} (the largest is "
            f"that of {largest}, the smallest of {smallest}), so that the largest alone decide "
            "what is near"
        )


@dataclass(frozen=True, slots=True)
class PrecisionLoss:
    """A feature whose values differ by less than float32 can tell at their size.

    Attributes
    ----------
    column : int
    size, scale : float
        The median of its magnitudes, and how much its values differ.
    """

    column: int
    size: float
    scale: float

    def words(self, names: tuple[str, ...] = ()) -> str:
        """Return what was found, without advice; names as in `ScaleDifference.words`."""
        return (
            f"the values of feature {_name(self.column, names)} are about {self.size:.3g} and "
            f"differ by some {self.scale:.3g}, which float32 cannot tell apart"
        )


ScaleProblem: TypeAlias = ScaleDifference | PrecisionLoss
"""A problem with the scales of features."""


def find_scales(x: Array) -> ScaleProblem | None:
    """Return a feature that float32 cannot hold, or two whose scales differ by over a hundred.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
        Only vectors of numbers are looked at: the values of an image have one scale.

    Returns
    -------
    ScaleDifference, PrecisionLoss or None

    Notes
    -----
    The scale is the standard deviation around the usual value, the median, among what
    differs from it, its farthest hundredth cut to the rest: fill values have no scale. So it
    is that of the values themselves where most are zero, as in counts and the corners of
    images; what hardly ever differs is as good as constant and has none.
    One of twenty features may be smaller without a word. O(D) for at most 1,000 evenly spaced rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> find_scales(rng.normal(size=(100, 3))) is None
    True
    >>> found = find_scales(rng.normal(size=(100, 3)) * [1, 5_000, 20])
    >>> found.largest, found.smallest, found.factor > 1_000
    (1, 0, True)
    """
    if x.ndim != 2 or x.shape[1] < 2 or x.dtype.kind not in "fiu" or x.dtype == np.uint8:
        return None
    rows = min(len(x), _MAX_ROWS, _MAX_VALUES // x.shape[1])
    if rows < _FEWEST:
        return None
    places = np.linspace(0, len(x) - 1, rows).astype(np.int64)
    values = np.asarray(x[places], np.float64)
    scales = _scales(values)
    offset = None if np.can_cast(x.dtype, np.float32) else _offset(values, scales)
    if offset is not None:
        return offset
    known = np.flatnonzero(scales > 0)
    if len(known) < 2:
        return None
    in_order = known[np.argsort(scales[known], kind="stable")]
    largest, smallest = in_order[-1], in_order[int(_DEAD_SHARE * (len(known) - 1))]
    factor = float(scales[largest] / scales[smallest])
    return ScaleDifference(factor, int(largest), int(smallest)) if factor > _FACTOR else None


def _offset(values: FloatArray, scales: FloatArray) -> PrecisionLoss | None:
    """Return the first column whose scale is within a few steps of float32 at its size."""
    sizes = np.median(np.abs(values), axis=0)  # fill values have none
    steps = np.spacing(sizes.astype(np.float32)).astype(np.float64)
    lost = np.flatnonzero((scales > 0) & (scales < _FEWEST_STEPS * steps))
    if not len(lost):
        return None
    column = int(lost[0])
    return PrecisionLoss(column, float(sizes[column]), float(scales[column]))


def _name(column: int, names: tuple[str, ...]) -> str:
    """Return the name of a feature, or its number where it has none."""
    return names[column] if column < len(names) else f"number {column}"


def _scales(x: FloatArray) -> FloatArray:
    """Return the scale of each column of x, of shape (n, D); 0 where there is none."""
    middle = (len(x) - 1) // 2
    away = np.sort(np.abs(x - np.partition(x, middle, axis=0)[middle]), axis=0)
    num_away = np.count_nonzero(away, axis=0)
    num_far = 1 + num_away // 100  # the last in order, which may be fill values
    place = np.maximum(len(x) - 1 - num_far, 0)
    largest = np.take_along_axis(away, place[np.newaxis], axis=0)[0]
    unit = np.where(largest > 0, largest, 1.0)  # no square overflows
    squares = np.square(np.minimum(away / unit, 1.0)).sum(axis=0)
    is_known = num_away >= max(_FEWEST, _SHARE * len(x))
    return np.where(is_known, largest * np.sqrt(squares / np.maximum(num_away, 1)), 0.0)
