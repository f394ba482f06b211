"""One 64-bit hash of an id, for every choice that must not depend on the order of arrival.

Integers are hashed as numbers, a whole column in a few array operations; text, which
is rarer and slow to read anyway, by BLAKE2b. An integer and its decimal text are one id,
so text that is the decimal form of an int64 is hashed as that integer.

Source of the mixing function: Steele, Lea & Flood (2014), "Fast splittable
pseudorandom number generators", OOPSLA (variant 13 of Stafford's finalisers).
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from echo_stream._common.typing import Array

_HASH_BYTES = 8
_ID_BYTES = 16
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # odd, near 2**64 / the golden ratio
LATEST = 2**64 - 1  # no hash is beyond it
_EMPTY = blake2b(digest_size=_HASH_BYTES)
_FIRST = frozenset("-0123456789")  # characters of a decimal
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_SHIFTS = tuple(np.uint64(bits) for bits in (30, 27, 31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hash_ids(ids: Sequence[object] | Array) -> Array:
    """Return the hashes of ids, of shape (n,), uint64. O(n), without Python for integers.

    Examples
    --------
    >>> bool((hash_ids([7, 8]) == hash_ids(["7", "8"])).all())
    True
    """
    if isinstance(ids, np.ndarray) and ids.dtype == np.int64:
        return mix(mix(ids.view(np.uint64)))
    listed = ids.tolist() if isinstance(ids, np.ndarray) else ids  # twice as fast to iterate
    numbers = np.frombuffer(b"".join(map(_as_bytes, map(str, listed))), ">u8")
    return mix(mix(numbers.astype(np.uint64)))


def seeded(hashes: Array, seed: int) -> Array:
    """Return other hashes, of shape (n,), uint64, made of hashes and a seed."""
    return mix(hashes ^ mix(np.array([seed], dtype=np.uint64)))


def mix(values: Array) -> Array:
    """Return values, uint64, permuted so that each bit of a result depends on each of a value.

    Examples
    --------
    >>> hex(int(mix(np.array([0], dtype=np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    mixed = values + np.uint64(_GOLDEN_GAMMA)
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return np.asarray(mixed ^ (mixed >> _SHIFTS[-1]))


def digest(*parts: bytes | memoryview) -> int:
    """Return 64 bits of BLAKE2b of the bytes of all parts, one after another."""
    hasher = blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        hasher.update(part)
    return int.from_bytes(hasher.digest(), "big")


def id_digest(sample_id: object) -> bytes:
    """Return 128 bits of BLAKE2b of an id as text, to know it again: 7 and "7" are the same."""
    return blake2b(str(sample_id).encode(), digest_size=_ID_BYTES).digest()


def _as_bytes(text: str) -> bytes:
    """Return the integer below 2**64 that stands for an id before it is mixed, big-endian."""
    # Most text is not even tried: a pattern costs as much as the digest.
    if text[:1] in _FIRST and _DECIMAL.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return (int(text) & LATEST).to_bytes(_HASH_BYTES, "big")
    hasher = _EMPTY.copy()  # to make one takes longer than to use it
    hasher.update(text.encode())
    return hasher.digest()
