"""Map payloads to the vectors that are measured."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from echo_stream._common.device import on_host
from echo_stream._common.fixed_point import round_to_spacing, spacing_for
from echo_stream._common.scratch import Scratch
from echo_stream._common.typing import Array
from echo_stream.errors import DataError
from echo_stream.samples.tensors import UINT8_MAX

CHUNK_ROWS = 4_096  # rows converted at a time: training makes no second copy of its data
_USUAL_SHARE = 0.99  # of the training samples: the others may be outliers
_FEWEST_TO_TELL = 100  # samples, below which outliers cannot be recognised
_OUTLIER_FACTOR = 2**12  # times what is usual; half of a value's bits are left for the others
# Binary exponent of the largest value, beyond which all are divided by a power of two. Squares
# of 2^63 are beyond float32, and an encoder's initial weights are made for values of about 1.
_LARGEST_EXPONENT = 16
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """Map payloads to float32 vectors: flatten, scale, round.

    uint8 is divided by 255; every other dtype is taken as it is. Only elementwise
    IEEE operations are used, so the result has the same bits on every device.

    Attributes
    ----------
    spacing : float
        Values are rounded to multiples of it, see `echo_stream._common.fixed_point`.
    mean, scale : tensor of shape (D,), float32, or None
        Subtracted and divided by, when the generation standardises, or where values are very
        large or very small: those are divided by a power of two, which is exact.
    device : torch.device
        Where the vectors are made.
    """

    spacing: float
    mean: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    device: torch.device = CPU

    def __call__(self, x: Array, scratch: Scratch | None = None) -> torch.Tensor:
        """Return payloads x of shape (n, ...) as a tensor of shape (n, D), float32.

        In the memory of scratch, float32, if given.
        """
        out = None if scratch is None else scratch.take(len(x), x[:1].size)
        return round_to_spacing(self._scaled(x, out), self.spacing, out)

    def to(self, device: torch.device) -> "Preprocessing":
        """Return the same mapping, made on device."""
        return replace(
            self, device=device, mean=_move(self.mean, device), scale=_move(self.scale, device)
        )

    def _scaled(self, x: Array, out: torch.Tensor | None = None) -> torch.Tensor:
        """Return x flattened, as float32, standardised, not yet rounded.

        Float32 payloads as they are; anything that has to be computed in out, if given.
        """
        if self.mean is None or self.scale is None:
            return _as_float(x, self.device, out)
        if _is_wide(x):  # float32 would lose what is small beside the mean
            away = _flat(x).astype(np.float64) - on_host(self.mean).astype(np.float64)
            return torch.div(_as_float(away, self.device), self.scale, out=out)
        return torch.sub(_as_float(x, self.device, out), self.mean, out=out).div_(self.scale)


def fit_preprocessing(x: Array, *, standardise: bool, device: torch.device) -> Preprocessing:
    """Fix mean, scale and spacing from the training payloads x of shape (n, ...). O(n D).

    Mean and scale are rounded to float32. A constant feature gets the scale 1. What is more
    than 4,096 times as large as 99 of 100 training samples, a fill value say, has no part in
    the spacing, nor in mean and scale: it is cut as it would be if it came later. Where the largest
    value is beyond 2^16 or below 2^-16, all are divided by the largest power of two within it.

    Raises
    ------
    DataError
        If x is float64 and all its values are too small for a float32.
    """
    _check_magnitude(x)
    mean, scale = _moments(x, device) if standardise else (None, None)
    raw = Preprocessing(spacing=1.0, mean=mean, scale=scale, device=device)
    largest = _largest_of(raw, x)
    exponent = math.frexp(largest)[1] - 1
    if abs(exponent) > _LARGEST_EXPONENT and not standardise:
        zeros = torch.zeros(x[:1].size, dtype=torch.float32, device=device)
        raw = replace(raw, mean=zeros, scale=torch.full_like(zeros, 2.0**exponent))
        largest = math.ldexp(largest, -exponent)
    return replace(raw, spacing=spacing_for(largest, torch.float32))


def _check_magnitude(x: Array) -> None:
    """Refuse float64 payloads of which nothing is left, or few bits, in float32."""
    if x.dtype != np.float64:
        return
    largest = max(float(np.abs(part).max()) for part in row_chunks(x))
    if 0.0 < largest < np.finfo(np.float32).tiny:
        msg = (
            f"the largest value of x is {largest:g}, too small for float32, in which samples are "
            f"measured; rescale it"
        )
        raise DataError(msg)


def _largest_of(preprocess: Preprocessing, x: Array) -> float:
    """Return the largest absolute value of preprocessed x, outliers apart."""
    largest = _row_maxima(preprocess, x)
    return float(largest[_are_usual(largest)].max())


def _row_maxima(preprocess: Preprocessing, x: Array) -> Array:
    """Return the largest absolute value of each row of preprocessed x, of shape (n,)."""
    return np.concatenate(
        [on_host(preprocess._scaled(part).abs().amax(dim=1)) for part in row_chunks(x)]
    )


def _are_usual(values: Array) -> Array:
    """Tell which of the values of shape (n,), none of them negative, are not outliers."""
    positive = values[values > 0]
    if len(positive) < _FEWEST_TO_TELL:
        return np.ones(len(values), dtype=bool)
    place = int(_USUAL_SHARE * (len(positive) - 1))
    usual = np.partition(positive, place)[place].astype(np.float64)
    return np.asarray(values <= _OUTLIER_FACTOR * usual)


def row_chunks(x: Array) -> Iterator[Array]:
    """Yield x in runs of `CHUNK_ROWS` rows."""
    for start in range(0, len(x), CHUNK_ROWS):
        yield x[start : start + CHUNK_ROWS]


def _as_float(x: Array, device: torch.device, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return x of shape (n, ...) flattened to (n, D) float32, uint8 divided by 255.

    Float32 may be the caller's memory. float64 is converted before the copy: the device
    need not know float64 payloads.
    """
    flat = _flat(x)
    if flat.dtype != np.uint8:
        return _as_tensor(flat.astype(np.float32, copy=False)).to(device)
    pixels = _as_tensor(flat).to(device)
    values = pixels.to(torch.float32) if out is None else out.copy_(pixels)
    return values.div_(UINT8_MAX)


def _as_double(x: Array, device: torch.device) -> torch.Tensor:
    """Return x of shape (n, ...) flattened to (n, D) float64, uint8 divided by 255."""
    if _is_wide(x):
        return torch.from_numpy(_flat(x).astype(np.float64)).to(device)
    return _as_float(x, device).double()


def _is_wide(x: Array) -> bool:
    """Return whether float32 may not hold the values of x as they are."""
    return not np.can_cast(x.dtype, np.float32)


def _flat(x: Array) -> Array:
    """Return x of shape (n, ...) as (n, D)."""
    return x.reshape(len(x), x[:1].size)


def _as_tensor(x: Array) -> torch.Tensor:
    """Return x as a tensor, without a copy where torch can take its memory."""
    # One row taken backwards counts as contiguous, but torch refuses its strides.
    is_plain = x.flags.c_contiguous and x.flags.writeable and min(x.strides) >= 0
    return torch.from_numpy(x if is_plain else np.array(x, order="C"))


def _moments(x: Array, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation per feature of x, float32, in two passes.

    Of the rows without outliers.
    """
    usual = _are_usual(_row_maxima(Preprocessing(spacing=1.0, device=device), x))
    parts = list(zip(row_chunks(x), row_chunks(usual), strict=True))
    number = int(usual.sum())
    total = sum(_as_double(part[rows], device).sum(0) for part, rows in parts)
    mean = torch.as_tensor(total) / number
    squares = sum((_as_double(part[rows], device) - mean).square().sum(0) for part, rows in parts)
    scale = (torch.as_tensor(squares) / number).sqrt().float()
    return mean.float(), torch.where(scale > 0, scale, torch.ones_like(scale))


def _move(values: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """Return values on device; None stays None."""
    return None if values is None else values.to(device)
