"""Quotas: how many samples of each cell can ever be selected, which sets the size of pools."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from echo_stream._common.typing import Array, FloatArray, IntArray


class Quota(NamedTuple):
    """The rounds that a class may go through.

    Attributes
    ----------
    rounds : float
        R: the smallest number with sum_j min(m_j, R) >= its core slots, over the cells of
        the class; infinite before so many of its samples have been counted.
    support_rounds : float
        R_s: the same for its slots of support, among the samples beyond R of each cell.
    """

    rounds: float = math.inf
    support_rounds: float = math.inf


@dataclass(slots=True)
class Quotas:
    """The quota of each class: of one alone, number 0, where labels make no cells.

    A class is allocated no more core slots than the smallest u with sum_c min(n_c, u) >= all of
    them. Counts only grow and classes only come, so u only falls, and with it each R: a pool
    that was large enough stays so.

    Examples
    --------
    >>> quotas = Quotas(core_slots=6, support_slots=0)
    >>> quotas.lower(np.array([5, 1, 3]), np.zeros(3, dtype=np.int64)), quotas.of(0).rounds
    (True, 3.0)
    """

    core_slots: int
    support_slots: int
    by_class: dict[int, Quota] = field(default_factory=dict)

    def of(self, number: int) -> Quota:
        """Return the quota of a class."""
        return self.by_class.get(number, Quota())

    def lower(self, offered: IntArray, classes: IntArray) -> bool:
        """Recompute R and R_s; tell whether any has fallen. O(M C) for C classes.

        Parameters
        ----------
        offered, classes : ndarray of shape (M,), int64
            Samples of each cell, and the number of its class.
        """
        numbers, places = np.unique(classes, return_inverse=True)
        before = [self.of(number) for number in numbers.tolist()]
        rounds = _lowered([q.rounds for q in before], offered, places, self.core_slots)
        support_rounds = np.array([q.support_rounds for q in before])
        if self.support_slots and len(numbers):
            beyond = np.maximum(offered - rounds[places], 0)
            support_rounds = _lowered(support_rounds, beyond, places, self.support_slots)
        now = [Quota(*both) for both in zip(rounds.tolist(), support_rounds.tolist(), strict=True)]
        self.by_class |= zip(numbers.tolist(), now, strict=True)
        return now != before

    def take(self, other: "Quotas") -> None:
        """Keep the smaller of the quotas of two sketches, class by class."""
        for number in other.by_class:
            pairs = zip(self.of(number), other.of(number), strict=True)
            self.by_class[number] = Quota(*map(min, pairs))

    def to_json(self) -> list[list[Any]]:
        """Return rows of class, R and R_s; None for what is infinite."""
        return [
            [number, *(None if math.isinf(rounds) else int(rounds) for rounds in quota)]
            for number, quota in sorted(self.by_class.items())
        ]

    def restore(self, rows: list[list[Any]]) -> None:
        """Restore what `to_json` returned."""
        self.by_class = {
            number: Quota(*(math.inf if rounds is None else rounds for rounds in both))
            for number, *both in rows
        }


def rounds_needed(counts: Array, slots: float) -> float:
    """Return R, the smallest number with sum_j min(m_j, R) >= slots; inf if there is none.

    O(M log slots).

    Examples
    --------
    >>> rounds_needed(np.array([5, 1, 3]), 6)
    3
    """
    if counts.sum() < slots:
        return math.inf
    low, high = 1, int(slots)
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if np.minimum(counts, middle).sum() >= slots else (middle + 1, high)
        )
    return low


def _lowered(rounds: Any, counts: Array, places: IntArray, slots: int) -> FloatArray:
    """Return the rounds of each class for what it is allocated of slots: those given, or fewer."""
    totals = np.bincount(places, weights=counts, minlength=len(rounds))
    share = rounds_needed(totals, slots)
    return np.array(
        [_lower(r, counts[places == place], share) for place, r in enumerate(rounds)],
        dtype=np.float64,
    )


def _lower(rounds: float, counts: Array, slots: float) -> float:
    """Return the rounds needed for slots, which are rounds or fewer. O(M) where they stay."""
    if np.minimum(counts, rounds - 1).sum() < slots:
        return rounds
    return rounds_needed(counts, slots)
