"""An end for a query that heeds no interrupt, or takes more memory than its database may.

The database looks at interrupts, and at its limit of memory, between pieces of work; a single
call of a function can be a piece of hours and of gigabytes. Only the end of its process ends it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from echo_stream.connectors.inspect.query import too_late
from echo_stream.errors import QueryError

LOOK_S = 0.05  # how often time and memory are looked at
GRACE_S = 2.0  # that an interrupted query has to end by itself
MEMORY_BYTES = 3 * 1024**3  # of the process: the database's 2 GB, its rows in Python, and itself


@contextmanager
def guarded(timeout_s: float, end: Callable[[QueryError], None]) -> Iterator[None]:
    """Call `end` from a thread of its own when the block takes too much.

    Parameters
    ----------
    timeout_s : float
        What the query was given; the block has two seconds more.
    end : callable
        Ends the process, with what is said of the query.
    """
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(over, timeout_s, end), name="query-guard", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(over: threading.Event, timeout_s: float, end: Callable[[QueryError], None]) -> None:
    """Look until the block is over, or takes too much."""
    process, last_s = psutil.Process(), time.monotonic() + timeout_s + GRACE_S
    while not over.wait(LOOK_S):
        if time.monotonic() > last_s:
            end(too_late(timeout_s))
            return
        if process.memory_info().rss > MEMORY_BYTES:
            gigabytes = MEMORY_BYTES // 1024**3
            end(QueryError(f"the query failed: it took more than {gigabytes} GB; ask for less"))
            return
