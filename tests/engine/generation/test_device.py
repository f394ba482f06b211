"""Names of devices, and state that a reproducible block leaves as it was."""

import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import threadpoolctl
import torch

from echo_stream._common.device import (
    one_torch_thread,
    reproducible,
    resolve_device,
    single_threaded,
)
from echo_stream.errors import ConfigError

CPU = torch.device("cpu")


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this machine has no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def with_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this machine has one GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.usefixtures("without_gpu")
def test_auto_is_the_cpu_without_a_gpu() -> None:
    """What runs everywhere is chosen where there is nothing better."""
    assert resolve_device("auto") == CPU


@pytest.mark.usefixtures("with_one_gpu")
@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:0", "cuda:0"), ("cpu", "cpu")]
)
def test_a_gpu_is_chosen_when_present(name: str, device: str) -> None:
    """A GPU is taken when asked for, or when the choice is free."""
    assert str(resolve_device(name)) == device


@pytest.mark.usefixtures("without_gpu")
def test_an_absent_gpu_is_refused() -> None:
    """The error says how to go on."""
    with pytest.raises(ConfigError, match=r"device cuda is not available .* use cpu or auto"):
        resolve_device("cuda")


@pytest.mark.usefixtures("with_one_gpu")
def test_a_gpu_beyond_the_last_is_refused() -> None:
    """GPUs are counted from 0."""
    with pytest.raises(ConfigError, match="cuda:1"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "meta", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    """Names that torch does not know, or that we do not run on."""
    with pytest.raises(ConfigError, match=f"got '{name}'"):
        resolve_device(name)


def test_reproducible_draws_the_same_numbers() -> None:
    """The seed decides."""
    with reproducible(CPU, seed=3):
        first = torch.rand(4)
    with reproducible(CPU, seed=3):
        again = torch.rand(4)
    with reproducible(CPU, seed=4):
        other = torch.rand(4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reproducible_restores_global_state_after_an_error() -> None:
    """Random state, threads and cuDNN's settings are those from before."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(KeyError), reproducible(CPU, seed=0, threads=threads + 1):
        assert torch.get_num_threads() == threads + 1
        assert torch.backends.cudnn.deterministic
        torch.rand(1)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.backends.cudnn.deterministic


def test_libraries_that_came_since_have_one_thread_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked for again where something has been imported, and only there."""
    looked = list[int]()

    controller = threadpoolctl.ThreadpoolController

    def counted() -> object:
        looked.append(len(sys.modules))
        return controller()

    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", counted)
    for _ in range(2):
        with single_threaded():
            pass
    before = len(looked)
    monkeypatch.setitem(sys.modules, "a_library_of_linear_algebra", types.ModuleType("library"))
    for _ in range(2):
        with single_threaded():
            pass
    assert len(looked) == before + 1


def openmp_threads() -> set[int]:
    """Return how many threads OpenMP has for the calling thread."""
    found = threadpoolctl.threadpool_info()
    return {one["num_threads"] for one in found if one["user_api"] == "openmp"}


def test_one_thread_in_the_calling_thread_alone_waits_for_no_block() -> None:
    """Other threads keep theirs."""

    def within() -> tuple[set[int], set[int]]:
        with threadpoolctl.threadpool_limits(3, "openmp"):
            with one_torch_thread():
                found = openmp_threads()
            return found, openmp_threads()

    with threadpoolctl.threadpool_limits(2, "openmp"), ThreadPoolExecutor(1) as pool:
        with reproducible(CPU, seed=0, threads=2):
            assert pool.submit(within).result(60) == ({1}, {3})
        assert openmp_threads() == {2}


@pytest.mark.parametrize("block", [single_threaded, lambda: reproducible(CPU, seed=0)])
def test_blocks_in_two_threads_wait_for_each_other(
    block: Callable[[], AbstractContextManager[None]],
) -> None:
    """Each would restore the process's threads and random state in the midst of the other."""
    has_entered = threading.Event()

    def enter() -> None:
        with block():
            has_entered.set()

    with ThreadPoolExecutor(1) as pool:
        with block():
            entering = pool.submit(enter)
            assert not has_entered.wait(0.1)
        entering.result(60)
    assert has_entered.is_set()
