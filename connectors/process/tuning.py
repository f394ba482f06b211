"""How many cores there are, and how a run tunes its own process."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

SWITCH_SECONDS = 0.0005  # Python's own is ten times that
# Objects made and not freed until one collection of cycles; Python's own are (700, 10, 10).
COLLECT_AFTER = (50_000, 10, 10)


@contextmanager
def tuned_process() -> Iterator[None]:
    """Tune the process for threads that poll and write beside the one that counts.

    Torch leaves a core to them: its threads wait for each other in a busy loop, so that one
    of them without a core made counting several times as slow. No number depends on how many
    there are.

    Each operation of torch releases the interpreter's lock, and gets it back when the thread
    that polls has been asked for it for `SWITCH_SECONDS`: often, and with Python's default of
    5 ms it waits longer than it works.

    The collector of cycles is spared what is there already: with the modules of torch alone
    a collection would hold the run up for a quarter of a second, now and then. It also comes
    after more new objects: thousands of records that wait are not cycles, and going through
    them again and again took much of a run's time. What has no references is freed all the
    same, unless it is a cycle.
    """
    threads, interval, thresholds = (
        torch.get_num_threads(),
        sys.getswitchinterval(),
        gc.get_threshold(),
    )
    torch.set_num_threads(min(threads, max(int(usable_cores()) - 1, 1)))
    sys.setswitchinterval(min(interval, SWITCH_SECONDS))
    has_frozen = not gc.get_freeze_count()  # whoever froze objects before unfreezes them
    if has_frozen:
        gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if has_frozen:
            gc.unfreeze()
        sys.setswitchinterval(interval)
        torch.set_num_threads(threads)


def usable_cores() -> float:
    """Return how many cores there are for us, by affinity and by the limit of a container."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = float(affinity or psutil.cpu_count() or 1)
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores  # no limit that we can read: none
    return cores if quota == "max" else min(cores, int(quota) / int(period))
