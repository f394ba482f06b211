"""The order of samples in their cell: by distance to its centre, then by their tie."""

import math
from collections.abc import Sequence

import numpy as np

from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.samples.members import Member


def rank_members(
    members: Sequence[Member], points: Array, count: int, total: FloatArray, *, farthest: bool
) -> list[tuple[float, Member]]:
    """Return (key, member) in order of rank. O(n (k + log n)).

    Parameters are those of `rank_keys`; members has one for each point.
    """
    keys = rank_keys(points, count, total, farthest=farthest)
    return first_by_key(members, keys, len(members))


def first_by_key(
    members: Sequence[Member], keys: FloatArray, number: int
) -> list[tuple[float, Member]]:
    """Return (key, member) of the first members, at most number, by key and then `Member.tie`.

    O(n + number log number), ties apart. Keys are from `rank_keys`, of shape (n,).
    """
    entries = list(zip(keys.tolist(), members, strict=True))
    if 0 < number < len(entries):
        last = np.partition(keys, number - 1)[number - 1]
        entries = [entries[row] for row in np.flatnonzero(keys <= last).tolist()]
    return sorted(entries, key=lambda entry: (entry[0], entry[1].tie))[:number]


def rank_keys(
    points: Array, count: int | IntArray, total: FloatArray, *, farthest: bool
) -> FloatArray:
    """Return what ranks points in their cells: squared distance to the centre, ascending.

    Parameters
    ----------
    points : ndarray of shape (n, k)
        Where samples are: z for the core (eq. 5-6), x for the support (eq. 8).
    count : int, or ndarray of shape (n, 1), int64
        Samples in the cell, m_j.
    total : ndarray of shape (k,) or (n, k), float64
        Sum of the points of all samples in the cell; the centre is total / count.
    farthest : bool
        Whether the farthest come first: keys are negative then.

    Notes
    -----
    The selection probability eps + exp(-|z - c|^2 / tau) falls with the distance, so the
    distance alone ranks. It is taken as |m p - S|^2, m^2 times the squared distance:
    m p and S are exact, so samples that lie symmetrically tie exactly.
    """
    residuals = points.astype(np.float64) * count - total
    keys = np.square(residuals).sum(axis=1)
    return np.asarray(-keys if farthest else keys)


def distance_of(key: float, count: int) -> float:
    """Return the distance to the centre of its cell of a sample with a key of `rank_keys`."""
    return math.sqrt(abs(key)) / count
