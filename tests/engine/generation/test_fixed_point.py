"""Rounding to multiples of a spacing makes float64 sums exact."""

import math
from fractions import Fraction
from random import Random

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from echo_stream._common.fixed_point import (
    CHECK_EVERY,
    LIMIT,
    is_exact,
    round_to_spacing,
    spacing_for,
    weight_bits,
)

floats32 = st.floats(-1e6, 1e6, width=32)
TINY = [0.0, 1e-45, -1e-38]  # the smallest that float32 holds, and one that it holds in few bits


@given(floats32)
@example(TINY[1])
def test_spacing_resolves_the_largest_value_in_24_bits(largest: float) -> None:
    """The largest value is 2^22 to 2^23 times the spacing, so float32 holds every multiple."""
    spacing = spacing_for(largest, torch.float32)
    assert math.frexp(spacing)[0] == 0.5
    assert abs(largest) / spacing < 2**23
    if abs(largest) >= 2**-127:  # else float32 itself has fewer bits
        assert abs(largest) / spacing >= 2**22


@given(st.lists(floats32, min_size=1, max_size=50), st.randoms(use_true_random=False))
@example(TINY, Random(0))
def test_sums_of_rounded_values_are_exact_in_any_order(values: list[float], random: Random) -> None:
    """Float64 adds rounded values without an error, so their order does not matter."""
    spacing = spacing_for(max(map(abs, values)), torch.float32)
    rounded = round_to_spacing(torch.tensor(values), spacing).double().tolist()
    shuffled = list(rounded)
    random.shuffle(shuffled)
    assert sum(shuffled) == float(sum(map(Fraction, rounded), Fraction(0)))


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=20),
)
def test_what_is_taken_out_leaves_nothing_behind(values: list[float], others: list[float]) -> None:
    """However large it is beside what the spacing was made for."""
    spacing = spacing_for(max(map(abs, values)), torch.float32)
    kept, gone = (
        round_to_spacing(torch.tensor(each), spacing).double() for each in (values, others)
    )
    total = sum(torch.cat([gone, kept, -gone]).tolist())
    assert total == sum(kept.tolist())


@given(st.lists(floats32, min_size=1, max_size=50))
@example(TINY)
def test_rounding_twice_changes_nothing(values: list[float]) -> None:
    """A rounded value is a multiple of the spacing, within half a spacing of what it was."""
    spacing = spacing_for(max(map(abs, values)), torch.float32)
    once = round_to_spacing(torch.tensor(values), spacing)
    assert torch.equal(round_to_spacing(once, spacing), once)
    assert float((once - torch.tensor(values)).abs().max()) <= spacing / 2


def test_weight_bits_leave_room_for_every_product() -> None:
    """Inputs of 23 bits and three of headroom, the weight and the number of terms fit 53 bits."""
    for inputs in (1, 2, 3, 784, 3_072, 2**16):
        assert 23 + 3 + weight_bits(inputs) + math.ceil(math.log2(inputs)) <= 53 or (
            weight_bits(inputs) == 8
        )


def test_is_exact_knows_the_limit() -> None:
    """It ends at 2^53 spacings, less what is added until the next look; NaN is never exact."""
    limit = 2.0**53 - CHECK_EVERY * LIMIT
    for sign in (1, -1):
        assert is_exact(sums(0.0, sign * (limit - 1)), 1.0)
        assert not is_exact(sums(0.0, sign * limit), 1.0)
    assert not is_exact(sums(0.0, math.nan), 1.0)
    assert is_exact(sums(), 1.0)


def sums(*values: float) -> torch.Tensor:
    """Return sums as they are kept."""
    return torch.tensor(values, dtype=torch.float64)
