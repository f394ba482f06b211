"""Python's collector of cycles, and when it may run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep the collector of cycles from running for a while, if it runs at all.

    For work that makes thousands of objects that stay, and no cycles: every few hundred of
    them the collector would look at them again, and now and then at all there are, those of
    torch and the like included. What is let go of meanwhile is freed all the same.

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
