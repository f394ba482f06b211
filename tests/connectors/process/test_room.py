"""What a run does to its process while it goes on."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from echo_stream.connectors.process import tuning as room
from echo_stream.connectors.process.tuning import COLLECT_AFTER, SWITCH_SECONDS, tuned_process

PAGES = """
import platform, resource, threading
from echo_stream.connectors.process.malloc import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fetches():
    # As the thread does that reads from a broker: it has memory of its own.
    for _ in range(20):
        [bytearray(4 * 1024**2) for _ in range(3)]
    before = faults()
    for _ in range(20):
        [bytearray(4 * 1024**2) for _ in range(3)]
    found.append(faults() - before)

found = []
for _ in range(2):
    thread = threading.Thread(target=fetches)
    thread.start()
    thread.join()
    keep_freed_memory()
print(platform.libc_ver()[0], *found)
"""


@pytest.fixture
def _unfrozen() -> Iterator[None]:
    """Let the collector see what conftest.py has spared it."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("_unfrozen")
@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (3, 2), (1.5, 1), (64, 3)])
def test_a_core_is_left_to_the_other_threads(
    monkeypatch: pytest.MonkeyPatch, cores: float, expected: int
) -> None:
    """Torch keeps the others, but takes no more threads than it was told; then all is as before."""
    monkeypatch.setattr(room, "usable_cores", lambda: cores)
    threads, interval, frozen, thresholds = (
        torch.get_num_threads(),
        sys.getswitchinterval(),
        gc.get_freeze_count(),
        gc.get_threshold(),
    )
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), tuned_process():
            assert torch.get_num_threads() == expected
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS, rel=0.01)
            assert gc.get_freeze_count() > frozen
            assert gc.get_threshold() == COLLECT_AFTER
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert sys.getswitchinterval() == interval
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds


def test_a_shorter_interval_is_kept() -> None:
    """Whoever has asked for more switches gets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with tuned_process():
            assert sys.getswitchinterval() == pytest.approx(1e-4, rel=0.02)
    finally:
        sys.setswitchinterval(interval)


def test_freed_memory_is_used_again() -> None:
    """The system is asked for a fetch's pages once, where it was for each fetch."""
    libc, before, after = page_faults({})
    assert int(after) < 0.1 * int(before) or libc != "glibc"


def test_an_environment_that_sets_malloc_is_left_alone() -> None:
    """It goes on to ask for pages as it was told to."""
    _, before, after = page_faults({"MALLOC_MMAP_THRESHOLD_": "131072"})
    assert int(after) > 0.5 * int(before)


def page_faults(environment: dict[str, str]) -> list[str]:
    """Return the C library, and page faults of a thread's buffers before a run and in one."""
    ran = subprocess.run(
        [sys.executable, "-c", PAGES],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


def test_what_was_frozen_before_stays_so() -> None:
    """Who froze the objects of the process decides when they are collected again."""
    with tuned_process():
        gc.collect()
    assert gc.get_freeze_count()
