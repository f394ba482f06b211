"""Rounding to multiples of a common spacing, so that float64 sums are exact and order-free.

A value rounded to a multiple of u = 2**(e - 23), with 2**e the first power of
two above the largest training value, is an integer of 24 bits times u. Float64
adds such values without rounding while the sum stays below 2**53 u, about
5 * 10**8 samples: the same bits in any order, batching or merge tree. The same
argument makes a matrix product exact when its weights are short enough.

Values beyond eight times 2**e are clipped to it. An outlier of 1e30 would otherwise push the bits
below it out of its cell's sums: subtracting it again would leave sums that look exact and are
not.
"""

import math

import torch

from echo_stream._common.device import largest_magnitude

_MANTISSA_BITS = 23  # resolution of a rounded value below the largest one, as float32 has it
_EXACT_BITS = 53  # integers up to 2**53 are exact in float64
_HEADROOM_BITS = 3  # values up to eight times the training data's largest are as they are
_MIN_WEIGHT_BITS = 8
LIMIT = 2.0 ** (_MANTISSA_BITS + _HEADROOM_BITS)  # times the spacing; larger values are cut to it
# Values added between two checks of a sum: together they are at most 1/32 of its range.
CHECK_EVERY = 2**22


def spacing_for(largest: float, dtype: torch.dtype = torch.float64) -> float:
    """Return the spacing of the numbers to which values up to largest are rounded.

    Parameters
    ----------
    largest : float
        Largest absolute value of the training data, finite.
    dtype : torch.dtype
        Of what is rounded: the spacing is no smaller than the smallest number that it holds.

    Returns
    -------
    float
        A power of two.

    Examples
    --------
    >>> spacing_for(1.0) == 2.0 ** -22, spacing_for(1e-45, torch.float32) == 2.0 ** -149
    (True, True)
    """
    _, exponent = math.frexp(largest)
    smallest = torch.finfo(dtype).tiny * torch.finfo(dtype).eps  # subnormal
    return max(math.ldexp(1.0, exponent - _MANTISSA_BITS), smallest)


def round_to_spacing(
    values: torch.Tensor, spacing: float, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Return values rounded to multiples of spacing, ties to even; in out, if given.

    Dividing by a power of two is exact, so float32 input keeps its dtype and
    loses nothing but the bits below the spacing. Values beyond `LIMIT` times it are cut to it: so
    no cell's sum can leave the range in which it is exact before it has 2**27 such samples.

    Examples
    --------
    >>> round_to_spacing(torch.tensor([0.25, -3e38]), 2.0**-22).tolist()
    [0.25, -16.0]
    """
    scaled = torch.div(values, spacing, out=out)
    return scaled.clamp_(-LIMIT, LIMIT).round_().mul_(spacing)


def weight_bits(num_inputs: int) -> int:
    """Return how many bits a weight may have for an exact product over num_inputs terms.

    Examples
    --------
    >>> weight_bits(784)
    17
    """
    spent = _MANTISSA_BITS + _HEADROOM_BITS + math.ceil(math.log2(max(num_inputs, 1)))
    return min(max(_EXACT_BITS - spent, _MIN_WEIGHT_BITS), _MANTISSA_BITS)


def is_exact(sums: torch.Tensor, spacing: float) -> bool:
    """Return whether every sum is in the range in which float64 adds exactly.

    The range ends at 2**53 times the spacing, less what `CHECK_EVERY` more values can add: sums
    that are checked so often are reported before any bit is lost, whatever is subtracted later.
    """
    return largest_magnitude(sums) < (2.0**_EXACT_BITS - CHECK_EVERY * LIMIT) * spacing
