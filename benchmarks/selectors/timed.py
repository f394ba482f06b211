"""What selectors share, and what it took: each is told the time, as if it stood alone."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

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

    These are 0 where it is made now, which whoever is timed notices anyway.
    """
    known = cached.cache_info().hits
    found = cached(*arguments, **options)
    is_known = cached.cache_info().hits > known
    return found.value, (found.seconds, found.cpu_seconds) if is_known else (0.0, 0.0)
