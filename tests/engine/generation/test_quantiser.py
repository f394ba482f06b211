"""The grid: keys, the outer ring, and adjacency by brute force."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.errors import ConfigError
from echo_stream.generation.grid import Grid, grid_side
from tests.support import naive


@given(st.integers(1, 6), st.integers(1, 4), st.data())
def test_locate_is_the_clamped_floor(side: int, dim: int, data: st.DataObject) -> None:
    """Any point, far outliers included, lands in the cell of the formula."""
    values = st.floats(-1e30, 1e30) | st.floats(-0.5, 1.5) | st.sampled_from([0.0, 1.0, 0.5])
    point = data.draw(st.lists(values, min_size=dim, max_size=dim))
    grid = Grid(side=side, dim=dim)
    key = int(grid.locate(torch.tensor([point], dtype=torch.float64)).keys)
    assert 0 <= key < grid.max_cells
    assert grid.cell(key) == naive.locate(point, side)


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_face_pairs_share_a_face(side: int, dim: int, data: st.DataObject) -> None:
    """All pairs that differ by one along one axis, one of them asked for, each once."""
    grid = Grid(side=side, dim=dim)
    keys = sorted(data.draw(st.sets(st.integers(0, grid.max_cells - 1), min_size=1, max_size=30)))
    some = sorted(data.draw(st.sets(st.sampled_from(keys))))
    expected = [
        [a, b]
        for a, b in itertools.combinations(keys, 2)
        if naive.share_face(grid.cell(a), grid.cell(b)) and (a in some or b in some)
    ]
    found = grid.face_pairs(np.array(some, dtype=np.int64), np.array(keys))
    assert found.tolist() == expected


def test_keys_order_cells_as_indices_do() -> None:
    """A tie broken by key is a tie broken by cell index."""
    grid = Grid(side=3, dim=3)
    cells = [grid.cell(key) for key in range(grid.max_cells)]
    assert cells == sorted(cells)


def test_a_grid_that_is_no_bound_is_refused() -> None:
    """More than 65,536 cells: the message says how many and what to do."""
    with pytest.raises(ConfigError, match="lower the latent dimension"):
        Grid(side=23, dim=4)


@pytest.mark.parametrize(("n", "side"), [(1, 2), (100, 10), (60_000, 23), (10_000_000, 33)])
def test_grid_side_is_the_papers(n: int, side: int) -> None:
    """ceil(2 ln(1 + N)), section III-A."""
    assert grid_side(n) == side
