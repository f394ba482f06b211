"""The hash of an id: one for numbers and text, the same everywhere, and without bias."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream._common.hashes import hash_ids, mix, seeded
from echo_stream.samples.samples import as_objects
from tests.support import naive

N = 100_000
# Of the integers 0 and -1, and of the texts a and 007; then of 0 under the seed 3.
PINNED = ["a706dd2f4d197e6f", "5dc20aa7b2a27137", "b6d5709b55b706e1", "49414f1a376e35bb"]
SEEDED = "88c33fc15ed6e079"
integers = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.one_of(st.text(), integers.map(str), st.from_regex("0?-?[0-9]+"))))
def test_a_hash_is_the_one_of_the_formula(ids: list[str]) -> None:
    """Text of any kind, numbers that are not in their shortest form and too long ones too."""
    assert hash_ids(as_objects(ids)).tolist() == [naive.tie(name)[0] for name in ids]


@given(st.lists(integers, min_size=1))
def test_a_number_and_its_text_are_one_id(numbers: list[int]) -> None:
    """A checkpoint holds ids as text; hashes must not change on the way."""
    hashes = hash_ids(np.array(numbers, dtype=np.int64)).tolist()
    assert hash_ids([str(number) for number in numbers]).tolist() == hashes
    assert hash_ids(as_objects(numbers)).tolist() == hashes


def test_hashes_are_pinned() -> None:
    """The same on every platform and in every version: a state is read by later ones."""
    assert [f"{value:016x}" for value in hash_ids([0, -1, "a", "007"]).tolist()] == PINNED
    assert f"{int(seeded(hash_ids([0]), 3)[0]):016x}" == SEEDED


@pytest.mark.parametrize("start", [0, -N // 2, 2**62])
def test_hashes_of_row_numbers_are_uniform(start: int) -> None:
    """Chi-squared over the first and the last byte: within five deviations of its mean."""
    hashes = hash_ids(np.arange(start, start + N))
    for column in (hashes, seeded(hashes, 1), seeded(hashes, 2)):
        for byte in (column >> np.uint64(56), column & np.uint64(255)):
            counts = np.bincount(byte.astype(np.int64), minlength=256)
            chi_squared = np.square(counts - N / 256).sum() / (N / 256)
            assert abs(chi_squared - 255) < 5 * np.sqrt(2 * 255)


def test_each_bit_changes_half_of_the_others() -> None:
    """Avalanche: flipping any bit of a value flips each bit of the result half of the time."""
    values = mix(np.arange(4_096, dtype=np.uint64))
    for bit in range(64):
        changed = mix(values) ^ mix(values ^ np.uint64(1 << bit))
        flips = np.unpackbits(changed.view(np.uint8)).reshape(-1, 64).mean(axis=0)
        assert np.abs(flips - 0.5).max() < 5 * 0.5 / np.sqrt(len(values))


def test_seeds_choose_samples_of_their_own() -> None:
    """Two reservoirs of a tenth share a tenth of their samples, within five deviations."""
    hashes, tenth = hash_ids(np.arange(N)), N // 10
    first, second = (set(np.argsort(seeded(hashes, seed))[:tenth].tolist()) for seed in (0, 1))
    assert abs(len(first & second) - tenth / 10) < 5 * np.sqrt(tenth / 10)
