"""Clouds of points for property tests, and generations whose encoder is the identity."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st

from echo_stream._common.fixed_point import spacing_for
from echo_stream._common.typing import Array
from echo_stream.generation.codebook import Codebook
from echo_stream.generation.encoder import LatentEncoder, freeze_layer
from echo_stream.generation.generation import Generation
from echo_stream.generation.grid import Grid
from echo_stream.generation.preprocessing import Preprocessing
from echo_stream.samples.validation import SampleSchema


def identity_generation(dim: int, side: int) -> Generation:
    """Return a generation with z = x (rounded to 2^-22), so that a test chooses z."""
    identity = LatentEncoder((freeze_layer(torch.eye(dim), torch.zeros(dim)),), dim)
    return Generation(
        schema=SampleSchema(shape=(dim,), dtype="float32"),
        preprocess=Preprocessing(spacing=spacing_for(1.0)),
        encoder=identity,
        span=(torch.zeros(dim, dtype=torch.float64), torch.ones(dim, dtype=torch.float64)),
        latent_spacing=spacing_for(1.0),
        norm_spacing=spacing_for(float(dim)),
        quantiser=Grid(side=side, dim=dim),
        expected_n=side,
    )


def codebook_generation(codewords: Array) -> Generation:
    """Return a generation with z = x and the given codewords, of shape (K, d)."""
    grid = identity_generation(dim=codewords.shape[1], side=1)
    book = Codebook(torch.from_numpy(codewords.astype(np.float64)))
    return replace(grid, quantiser=book)


@st.composite
def clouds(draw: st.DrawFn, max_size: int = 40) -> Array:
    """Draw points of shape (n, d), float32, d = 2, 3 or 4, mostly within [0, 1].

    Random, on a lattice (many exact ties), clustered far apart (lone cells, many
    components), of decimals, with duplicates, or a single sample.
    """
    dim = draw(st.sampled_from([2, 3, 4]))
    size = draw(st.integers(1, max_size))
    kind = draw(st.sampled_from(["uniform", "lattice", "clusters", "decimals", "equal"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = _points(kind, size, dim, rng)
    if draw(st.booleans()):
        points = points[rng.integers(0, size, size)]
    return points.astype(np.float32)


def _points(kind: str, size: int, dim: int, rng: np.random.Generator) -> Array:
    """Return a cloud of one kind."""
    if kind == "lattice":
        return rng.integers(-1, 6, (size, dim)) / 4
    if kind == "clusters":
        return rng.random((4, dim))[rng.integers(0, 4, size)] + rng.normal(0, 0.01, (size, dim))
    if kind == "decimals":
        return np.round(rng.random((size, dim)), 1)
    if kind == "equal":
        return np.tile(rng.random(dim), (size, 1))
    return rng.uniform(-0.2, 1.2, (size, dim))


def twins(size: int, rng: np.random.Generator) -> Array:
    """Return points, of shape (n, 2), of a few places that many share, and some single ones near.

    Often place by place, so that what is asked of each falls as the next one comes.
    """
    places = rng.integers(0, 9, (rng.integers(2, 8), 2)) / 8
    chosen = rng.choice(len(places), size, p=rng.dirichlet(np.ones(len(places))))
    if rng.integers(2):
        chosen = np.sort(chosen)
    is_single = rng.random((size, 1)) < rng.choice([0.0, 0.05, 0.3])
    return np.asarray(places[chosen] + is_single * rng.integers(-9, 10, (size, 2)) / 256)


def falling_quota(rng: np.random.Generator) -> Array:
    """Return points, of shape (n, 2), first of one quarter of the plane, whose quota then falls.

    Groups of twins fill its pool, so that single ones are dropped; fewer of each are held as
    other quarters are occupied, and what comes then may lie farther than those dropped.
    """

    def near(number: int, low: int = 1, high: int = 127) -> Array:
        return rng.integers(low, high, (number, 2)) / 256

    places = near(int(rng.integers(3, 6)), 50, 80)
    first = np.concatenate([
        np.repeat(places, rng.integers(10, 30, len(places)), axis=0), near(int(rng.integers(0, 30)))
    ])  # fmt: skip
    rng.shuffle(first)
    others = rng.integers(0, 255, (rng.integers(20, 120), 2)) / 256
    others[:, 0] = others[:, 0] / 2 + 0.5
    at = int(rng.integers(1, 100))
    last = near(int(rng.integers(5, int(len(first) * 0.6))), at, at + 27)
    return np.concatenate([first, others, last])
