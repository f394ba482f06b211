"""How many cores there are."""

import os

import psutil


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
