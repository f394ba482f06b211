"""The threads that write checkpoints and snapshots beside a run."""

import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from echo_stream.connectors.process.malloc import give_back_freed_memory

Given = ParamSpec("Given")
Result = TypeVar("Result")

NUM_THREADS = 2  # one for a checkpoint, one for a snapshot
_jobs = weakref.WeakSet[Future[Any]]()  # a thread keeps the one that it runs


class Writers(Executor):
    """Two threads that the end of a `with` block does not wait for.

    A run leaves nothing behind but a snapshot that it has given up. The interpreter would
    wait for that; before the process ends, `is_writing` tells whether there is one.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="echo-stream-writer")

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> "Future[Result]":
        """Queue a call for a thread."""
        job = self._threads.submit(_do, fn, *args, **kwargs)
        _jobs.add(job)
        return job

    def __exit__(self, *_: object) -> None:
        """Take no more jobs."""
        self._threads.shutdown(wait=False)


def _do(fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Write something, and return the memory that this took to the system."""
    try:
        return fn(*args, **kwargs)
    finally:
        give_back_freed_memory()


def is_writing() -> bool:
    """Return whether something is still being written in this process."""
    return any(not job.done() for job in list(_jobs))
