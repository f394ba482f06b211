"""Memory that is used again for every block."""

from collections.abc import Iterator

import torch

_CACHED_ROWS = 256  # rows worked on at a time: at 784 features their float64 stay in the cache


class Scratch:
    """One piece of memory for one purpose, as large as it has ever had to be.

    A tensor of some megabytes that is made again costs more than the arithmetic on it:
    the system clears every page of it.

    Examples
    --------
    >>> scratch = Scratch(torch.float64)
    >>> scratch.take(2, 3).shape, scratch.take(1, 3).shape, scratch.size_bytes
    (torch.Size([2, 3]), torch.Size([1, 3]), 48)
    """

    def __init__(self, dtype: torch.dtype, device: torch.device | None = None) -> None:
        self._memory = torch.empty(0, dtype=dtype, device=device)

    @property
    def size_bytes(self) -> int:
        """Bytes held."""
        return self._memory.nbytes

    def take(self, *shape: int) -> torch.Tensor:
        """Return a tensor of a shape, its content undefined; it is the one of the last call."""
        needed = torch.Size(shape).numel()
        if self._memory.numel() < needed:
            self._memory = self._memory.new_empty(needed)
        return self._memory[:needed].view(shape)

    def copy(self, values: torch.Tensor) -> torch.Tensor:
        """Return values, converted to the dtype of this memory."""
        return self.take(*values.shape).copy_(values)


def chunks(num_rows: int, device: torch.device) -> Iterator[slice]:
    """Yield the rows of a block in slices of `rows_at_once`."""
    step = rows_at_once(num_rows, device)
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def rows_at_once(num_rows: int, device: torch.device) -> int:
    """Return how many of a block's rows fit a processor's cache; a GPU takes all of them."""
    return _CACHED_ROWS if device.type == "cpu" else max(num_rows, 1)
