"""Torch: the device that was asked for, and how many threads it would use."""

from collections.abc import Iterator

import torch

from echo_stream._common.device import resolve_device
from echo_stream.connectors.inspect.doctor.finding import Finding
from echo_stream.connectors.process.cores import usable_cores
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
    threads, cores = torch.get_num_threads(), usable_cores()
    found = f"{threads} of torch on {cores:g} cores"
    if threads <= max(cores, 1):
        return Finding("threads", "ok", found)
    advice = f"set OMP_NUM_THREADS={max(int(cores), 1)}: threads that wait for each other are slow"
    return Finding("threads", "warn", found, advice)
