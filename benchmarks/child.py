"""Runs a function in a process of its own, and measures the memory that it takes."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from benchmarks.speed.fashion_mnist import anonymous_kib

POLL_SECONDS = 0.01
KIB_PER_MIB = 1_024
SLOW = ("apricot",)  # what tasks import when they need it; passed over where it is not installed

Ready: TypeAlias = Callable[[], None]
"""Called by a task when what it needs is imported and read: memory counts from then on."""

Task: TypeAlias = Callable[..., dict[str, Any]]
"""Given `Ready` and arguments; returns JSON. A function of a module with all that it imports."""


def in_child(task: Task, *arguments: Any) -> dict[str, Any]:
    """Return a task's result, and its `peak_mib`: anonymous memory above that at `Ready`.

    A task that is killed, or fails, has an `error` instead.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([task.__module__, *SLOW])  # once for all children
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, task, arguments))
    process.start()
    theirs.close()
    base = peak = 0
    result: dict[str, Any] | None = None
    while result is None:
        peak = max(peak, anonymous_kib(process.pid or 0))
        if not ours.poll(POLL_SECONDS):
            continue
        try:
            message = ours.recv()
        except EOFError:  # killed
            break
        if isinstance(message, int):
            base = peak = message
        else:
            result = message
    process.join()
    if result is None:
        return {"error": _ending(process.exitcode or 0)}
    return result | {"peak_mib": round((peak - base) / KIB_PER_MIB, 1)}


def _ending(exit_code: int) -> str:
    """Return how a process ended, in words: the name of the signal, if it was one."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"ended by {signal.Signals(-exit_code).name}"
    except ValueError:  # real-time signals have no names
        return f"ended by signal {-exit_code}"


def _work(connection: Connection, task: Task, arguments: tuple[Any, ...]) -> None:
    """Run the task and send what it returns, after the memory that it has when it is ready.

    It looks by itself: who is told that it is ready looks when it has taken more.
    """
    try:
        connection.send(task(lambda: connection.send(anonymous_kib(os.getpid())), *arguments))
    except MemoryError:
        connection.send({"error": "out of memory"})
    connection.close()
