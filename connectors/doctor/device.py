"""Torch: the device that was asked for, and how many threads it would use."""

import os
from collections.abc import Iterator

import psutil
import torch

from echo_stream.connectors.doctor.finding import Finding
from echo_stream.device import resolve_device
from echo_stream.errors import ConfigError


def check_device(name: str) -> Iterator[Finding]:
    """Look at the device of a name, and at torch's threads."""
    try:
        device = resolve_device(name)
    except ConfigError as err:
        yield Finding("device", "fail", str(err), "give --device cpu, or auto")
    else:
        yield Finding("device", "ok", f"{device}, torch {torch.__version__}")
    yield _threads()


def _threads() -> Finding:
    """Compare torch's threads with the cores that this process may use."""
    threads, cores = torch.get_num_threads(), _usable_cores()
    found = f"{threads} of torch on {cores:g} cores"
    if threads <= max(cores, 1):
        return Finding("threads", "ok", found)
    advice = f"set OMP_NUM_THREADS={max(int(cores), 1)}: threads that wait for each other are slow"
    return Finding("threads", "warn", found, advice)


def _usable_cores() -> float:
    """Return how many cores there are for us, by affinity and by the limit of a container."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = float(affinity or psutil.cpu_count() or 1)
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
            quota, period = file.read().split()
    except (OSError, ValueError):
        return cores  # no limit that we can read: none
    return cores if quota == "max" else min(cores, int(quota) / int(period))
