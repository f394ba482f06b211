"""What a selector has chosen, and what it took, as if each stood alone."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from echo_stream._common.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Rows of a training set.

    Attributes
    ----------
    core : ndarray of shape (B,), int64
        In the order of selection, distinct.
    support : ndarray of shape (s,), int64
        Empty for all selectors but ours.
    weights : ndarray of shape (B + s,), float64, or None
        How many samples each of the core, then of the support, stands for.
    has_proportions : bool
        See `echo_stream.training.weights.has_proportions`.
    info : dict
        What else there is to say, as JSON. `labels_seen`: the labels that the selector has
        looked at, which are more than those that are trained on.
    spent_before : tuple of (float, float)
        Seconds, by the clock and in processor time, of what was known from another choice.
    """

    core: IntArray
    support: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    weights: FloatArray | None = None
    has_proportions: bool = True
    info: dict[str, Any] = field(default_factory=dict)
    spent_before: tuple[float, float] = (0.0, 0.0)


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Timed(Generic[T]):
    """A value, and the seconds that it took, by the clock and in processor time."""

    value: T
    seconds: float
    cpu_seconds: float


def timed(make: Callable[[], T]) -> Timed[T]:
    """Return what a function makes, with the time that it takes."""
    started, cpu_started = time.perf_counter(), time.process_time()
    value = make()
    return Timed(value, time.perf_counter() - started, time.process_time() - cpu_started)


def paid(
    cached: "_lru_cache_wrapper[Timed[T]]", *arguments: Hashable, **options: Hashable
) -> tuple[T, tuple[float, float]]:
    """Return the value of a cached function, and the seconds that were spent on it before.

    0 seconds where it is computed in this call, since the caller measures that itself.
    """
    known = cached.cache_info().hits
    found = cached(*arguments, **options)
    is_known = cached.cache_info().hits > known
    return found.value, (found.seconds, found.cpu_seconds) if is_known else (0.0, 0.0)
