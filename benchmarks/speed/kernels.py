"""What the engine's arithmetic costs on its own: the reference that rates are divided by."""

from collections.abc import Callable

import torch
from torch.nn.functional import linear

from echo_stream._common.typing import Array
from echo_stream.sketch.sketch import BLOCK_SIZE

UNIT = 2.0**-21
ROWS = 256  # worked on at a time, so that they stay in the cache
LATENT_DIM = 2


def grid_kernels(dim: int, num_cells: int, seed: int) -> Callable[[Array, Array], None]:
    """Return a function that does to samples (n, D), float32, what no grid can do without.

    Rounding, a linear embedding, sums per cell and distances to the cells' means, in
    preallocated memory; cells are drawn at random. Nothing is kept.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(LATENT_DIM, dim, dtype=torch.float64, generator=generator)
    slots = torch.randint(0, num_cells, (BLOCK_SIZE,), generator=generator)
    sums = torch.zeros(num_cells, dim, dtype=torch.float64)
    means = torch.randn(num_cells, dim, generator=generator)
    single, gathered = torch.empty(ROWS, dim), torch.empty(ROWS, dim)
    double = torch.empty(ROWS, dim, dtype=torch.float64)

    def consume(x: Array, _: Array) -> None:
        for start in range(0, len(x), ROWS):
            part = torch.from_numpy(x[start : start + ROWS])
            rounded, exact, means_of = (b[: len(part)] for b in (single, double, gathered))
            cells = slots[start % BLOCK_SIZE :][: len(part)]
            torch.mul(part, 1 / UNIT, out=rounded).round_().mul_(UNIT)
            linear(exact.copy_(rounded), weight)
            sums.index_add_(0, cells, exact)
            torch.index_select(means, 0, cells, out=means_of)
            torch.linalg.vector_norm(torch.sub(rounded, means_of, out=means_of), dim=1)

    return consume
