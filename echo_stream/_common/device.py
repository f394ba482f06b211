"""Choose the device of tensors, and make its results reproducible."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, SettingName

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# Of errors that torch has no class for.
_WORDS = ("CUDA", "cuDNN", "CUBLAS", "out of memory", "can't allocate memory")

_ALONE = threading.RLock()  # threads and random states of libraries belong to the whole process


def resolve_device(name: str) -> torch.device:
    """Return the device that a name stands for.

    Parameters
    ----------
    name : str
        `auto` (a GPU when there is one), `cpu`, `cuda`, or `cuda:i` for the i-th GPU.

    Raises
    ------
    ConfigError
        When the name is unknown, or there is no such GPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = _parse(name)
    if device.type == "cuda" and not _is_present(device):
        raise ConfigError(SettingName("device"), f" {name} is not available here; use cpu or auto")
    return device


@contextmanager
def reproducible(device: torch.device, *, seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch, fix its kernels and threads for a while, and restore what was.

    One block at a time, in whatever thread; so with `single_threaded`.

    Parameters
    ----------
    device : torch.device
        The only GPU, if it is one, whose random state is seeded.
    seed : int
    threads : int, optional
        CPU threads of torch; None leaves them as they are.

    Examples
    --------
    >>> with reproducible(torch.device("cpu"), seed=0):
    ...     first = torch.rand(1)
    >>> with reproducible(torch.device("cpu"), seed=0):
    ...     print(bool(first == torch.rand(1)))
    True
    """
    cudnn = torch.backends.cudnn
    with _ALONE, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark
        try:
            seed_torch(device, seed)
            torch.set_num_threads(before[0] if threads is None else threads)
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
        finally:
            torch.set_num_threads(before[0])
            cudnn.deterministic, cudnn.benchmark = before[1:]


@contextmanager
def single_threaded() -> Iterator[None]:
    """Give the libraries of linear algebra one thread for a while, and restore what was.

    The number of cores must not decide what they find. A block in another thread would
    restore its own threads in the midst of this one, so one waits for the other.
    """
    with _ALONE, _libraries(len(sys.modules)).limit(limits=1):
        yield


def one_torch_thread() -> AbstractContextManager[object]:
    """Give OpenMP, by which torch has its threads, one thread for a while.

    In the calling thread alone: unlike `single_threaded`, no block waits for another. It is
    for speed.
    """
    openmp = _libraries(len(sys.modules)).select(user_api="openmp")
    limit: AbstractContextManager[object] = openmp.limit(limits=1)
    return limit


def is_infrastructure(err: BaseException) -> bool:
    """Return whether memory, a device, a disk or the network failed, not a sample."""
    if isinstance(err, MemoryError | OSError | torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(err, RuntimeError) and any(word in str(err) for word in _WORDS)


def on_host(tensor: torch.Tensor) -> Array:
    """Return a tensor as an array, to be worked on by numpy where there is little to do.

    Torch wakes its other threads for it, and they wait for more at a processor's full cost.
    On the host it shares the tensor's memory.
    """
    return tensor.cpu().numpy()


def rows_on_host(tensor: torch.Tensor, rows: Sequence[int]) -> Array:
    """Return some rows of a tensor as an array; of one on a GPU no others are copied."""
    if tensor.device.type == "cpu":
        return on_host(tensor)[rows]
    return on_host(tensor[list(rows)])


def largest_magnitude(tensor: torch.Tensor) -> float:
    """Return the largest absolute value, found where the tensor lies; 0 of nothing."""
    if tensor.numel() == 0:
        return 0.0
    values = on_host(tensor) if tensor.device.type == "cpu" else tensor
    return float(max(-values.min(), values.max()))


def seed_torch(device: torch.device, seed: int) -> None:
    """Seed torch's global random state on the host, and on the device if it is a GPU.

    torch.manual_seed would seed every GPU.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@lru_cache(maxsize=1)
def _libraries(_num_modules: int) -> "ThreadpoolController":
    """Return what has threads of its own; an import can bring another. To look takes 4 ms."""
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - not always needed

    return ThreadpoolController()


def _parse(name: str) -> torch.device:
    """Return the device named, present or not."""
    try:
        device = torch.device(name)
    except RuntimeError as err:
        raise _unknown(name) from err
    if device.type not in {"cpu", "cuda"}:
        raise _unknown(name)
    return device


def _unknown(name: str) -> ConfigError:
    """Return the error for a name that stands for no device we run on."""
    words = f" must be auto, cpu, cuda or cuda:i; got {name!r}"
    return ConfigError(SettingName("device"), words)


def _is_present(device: torch.device) -> bool:
    """Return whether torch can use this GPU."""
    return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
