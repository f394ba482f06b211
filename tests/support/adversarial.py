"""Streams meant to mislead pools, and what a batch would have chosen from them."""

import os

import numpy as np
import pytest
from hypothesis import strategies as st

from echo_stream import EchoCoreset, Generation, Snapshot
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.sketch import sketch
from tests.support.strategies import codebook_generation, falling_quota, identity_generation, twins

Row = tuple[tuple[int, ...], str, int, str]
"""What a row claims: cell, role, rank in the cell, id."""


ORDERS = (
    "as drawn", "backwards", "along an axis", "inward", "outward", "by cell", "duplicates last",
    "outlier first",
)  # fmt: skip
KINDS = (
    "normal", "lattice", "decimals", "equal", "growing", "clusters", "outliers", "spiral", "twins",
    "falling",
)  # fmt: skip
# Support vectors a cell, on top of the budget; or a share of it.
supports = st.one_of(st.integers(0, 3), st.sampled_from([0.0, 0.2, 0.5]))
# Thousands by the nightly run: make fuzz sets it.
EXAMPLES = int(os.environ.get("ECHO_STREAM_FUZZ_EXAMPLES", "150"))


@st.composite
def streams(draw: st.DrawFn) -> Array:
    """Draw a stream of points of shape (n, 2), float32, in an order meant to mislead."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(50, 600))
    points = cloud(draw(st.sampled_from(KINDS)), size, rng)
    return points[order_of(draw(st.sampled_from(ORDERS)), points, rng)].astype(np.float32)


def cloud(kind: str, size: int, rng: np.random.Generator) -> Array:
    """Return points of one kind, most of them in [0, 1]^2."""
    centre, noise = rng.uniform(0.2, 0.8, 2), rng.normal(0, 1, (size, 2))
    turns, along = rng.integers(2, 12), np.linspace(0, 1, size)[:, None]
    around = np.hstack([np.cos(2 * np.pi * turns * along), np.sin(2 * np.pi * turns * along)])
    far = 2.0 ** np.arange(size)[:, None].clip(0, 40)
    clouds = {
        "normal": centre + noise * 0.15,
        "lattice": rng.integers(0, 5, (size, 2)) / 4,
        "decimals": np.round(rng.random((size, 2)), 1),
        "equal": rng.random((3, 2))[rng.integers(0, rng.integers(1, 4), size)],
        "growing": centre + noise * np.linspace(0.001, 0.4, size)[:, None],
        "clusters": rng.random((3, 2))[rng.integers(0, 3, size)] + noise * 0.02,
        "outliers": centre + noise * 0.01 * far,
        "spiral": 0.5 + 0.5 * along * around,
        "twins": twins(size, rng),
        "falling": falling_quota(rng),
    }
    return np.asarray(clouds[kind])


def order_of(kind: str, points: Array, rng: np.random.Generator) -> Array:
    """Return an order of arrival."""
    radius = np.square(points - points.mean(axis=0)).sum(axis=1)
    shuffled = rng.permutation(len(points))
    orders = {
        "as drawn": np.arange(len(points)),
        "backwards": np.arange(len(points))[::-1],
        "along an axis": np.argsort(points[:, 0], kind="stable"),
        "inward": np.argsort(-radius, kind="stable"),
        "outward": np.argsort(radius, kind="stable"),
        "by cell": np.lexsort((shuffled, np.floor(points[:, 0] * 4))),
        "duplicates last": np.concatenate([shuffled, rng.choice(shuffled, len(points) // 2)]),
        "outlier first": np.argsort(-np.abs(points).max(axis=1), kind="stable"),
    }
    return orders[kind]


def claims(snapshot: Snapshot) -> dict[Row, bool]:
    """Return each row's claim and whether it is certified."""
    rows = snapshot.rows
    columns = (rows.cells, rows.roles, rows.ranks_in_cell.tolist(), rows.samples.ids)
    keys = zip(*columns, strict=True)
    return dict(zip(keys, rows.certified.tolist(), strict=True))


def truth(
    points: Array, empty: EchoCoreset, ids: Array | None = None, y: Array | None = None
) -> set[Row]:
    """Return the batch choice of an engine's settings, from pools that drop nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for slack in ("SLACK", "SUPPORT_SLACK"):
            patch.setattr(f"echo_stream.sketch.pools.pools.{slack}", 10 * len(points))
        patch.setattr(sketch, "BLOCK_SIZE", len(points))
        engine = EchoCoreset.from_config(empty.config, generation=empty.generation_)
        return set(claims(engine.partial_fit(points, y, ids=ids).snapshot()))


FIXED_QUANTISERS = ("grid", "codebook")


def any_generation(side: int, points: Array, *, kind: str) -> Generation:
    """Return a generation with a quantiser of a kind: about side^2 cells, among some points."""
    if kind == "grid":
        return identity_generation(2, side)
    assert kind == "codebook"
    return codebook_generation(np.unique(np.round(points[: side**2], 3), axis=0))


def any_engine(
    budget: int, rank: Rank, support: int | float, generation: Generation
) -> EchoCoreset:
    """Return an engine with so many support vectors a cell, or with a share of support."""
    if isinstance(support, float):
        return EchoCoreset(
            budget, rank=rank, support_share=support, generation=generation, preset="fixed"
        )
    return EchoCoreset(budget, preset="paper", rank=rank, support=support, generation=generation)


def stream(points: Array, generation: Generation, budget: int, support: int) -> EchoCoreset:
    """Stream points through an engine of the paper."""
    return any_engine(budget, "center", support, generation).partial_fit(points)


def assert_no_wrong_certificate(snapshot: Snapshot, expected: set[Row]) -> None:
    """Check every certified row against the batch choice."""
    wrong = {row for row, certified in claims(snapshot).items() if certified} - expected
    assert not wrong
