"""What the processes of a plan leave to each other."""

import os

import pytest
import torch
from threadpoolctl import threadpool_info

from benchmarks.evaluation.workers import worker_pool
from benchmarks.selectors import select
from tests.support.benchmarks.toy_data import clusters


def threads_after_choosing() -> tuple[int, set[int]]:
    """Return the threads of torch, and those of all libraries that a process has loaded."""
    for name in ("k-medoids", "graph-cut", "echo"):
        select(name, clusters(), 8, 0, {})
    return torch.get_num_threads(), {library["num_threads"] for library in threadpool_info()}


@pytest.mark.slow
def test_a_process_has_one_thread_whatever_it_loads() -> None:
    """Numba, which comes with a selector, would give torch a thread for each core."""
    before = dict(os.environ)
    with worker_pool(1) as pool:
        assert pool.submit(threads_after_choosing).result() == (1, {1})
    assert dict(os.environ) == before
