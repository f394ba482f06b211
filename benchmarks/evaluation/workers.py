"""Processes that run trials side by side, and outlive trials that end one of them."""

import multiprocessing
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from benchmarks.evaluation.results import Line, failed
from benchmarks.evaluation.trial import Trial

LIBRARIES = ("MKL", "NUMBA", "OMP", "OPENBLAS")  # that have threads of their own
DIED = "its process died, or that of a trial beside it; is there enough memory?"


def run_all(
    trials: Sequence[Trial], folders: Sequence[Path], *, workers: int, device: str
) -> Generator[Line]:
    """Yield the line of each trial as its family is done.

    Trials that may share a selection form a family and run in one process, one after
    another. A process has one thread of its own for arithmetic.
    """
    waiting = families(trials)
    while waiting:
        with worker_pool(workers) as pool:
            yield from _fed(pool, waiting, folders, workers, device)


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes of one thread each, which end with the one that feeds them.

    Their libraries are told by the environment, before they are loaded: one that a selector
    brings later has a thread for each core otherwise, and numba gives these to torch as well.
    """
    limits = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_start) as pool, not_waited_for():
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def not_waited_for() -> Iterator[None]:
    """End child processes when what they work for is given up."""
    try:
        yield
    except BaseException:  # an interrupt above all, which is no Exception; it goes on
        for child in multiprocessing.active_children():
            child.kill()
        raise


def families(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return trials by family, those first that came first."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        found[trial.family].append(trial)
    return list(found.values())


def _fed(
    pool: ProcessPoolExecutor,
    waiting: list[list[Trial]],
    folders: Sequence[Path],
    workers: int,
    device: str,
) -> Iterator[Line]:
    """Feed a pool until nothing is left, or one of its processes has died.

    Takes families out of waiting, in place, no more at a time than there are workers.
    """
    running: dict[Future[list[Line]], list[Trial]] = {}
    is_broken = False
    while running or (waiting and not is_broken):
        while waiting and len(running) < workers and not is_broken:
            family = waiting.pop(0)
            running[pool.submit(_run_family, family, tuple(folders), device)] = family
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            family = running.pop(future)
            try:
                yield from future.result()
            except BrokenProcessPool:
                is_broken = True
                yield from (failed(trial, DIED) for trial in family)


def _run_family(trials: list[Trial], folders: tuple[Path, ...], device: str) -> list[Line]:
    """Return the lines of one family."""
    from benchmarks.evaluation.running import run_family  # noqa: PLC0415 - for workers alone: slow

    return run_family(trials, folders, device)


def _start() -> None:
    """Have a process end when nobody waits for it any more, and not by itself before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a shell interrupts all of them at once
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End this process once the one that feeds it has gone; a killed one says nothing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
