"""Pause Python's garbage collector of reference cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the garbage collector within the block, if it is enabled.

    For work that creates thousands of long-lived objects and no cycles: the collector would
    traverse them every few hundred allocations, and sometimes all objects of the process.
    Reference counting still frees objects meanwhile.

    Examples
    --------
    >>> with paused_collector():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            gc.enable()
