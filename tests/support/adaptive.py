"""Engines whose cells follow the stream, and what they have counted, as integers."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from echo_stream import EchoCoreset, EngineConfig, Generation
from echo_stream._common.typing import Array, FloatArray
from echo_stream.generation.quantiser import NoQuantiser
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from tests.support.inside import sketch_of
from tests.support.strategies import identity_generation

KINDS = (
    "normal", "clusters", "heavy", "lattice", "copies", "constant", "line", "far", "sorted",
)  # fmt: skip


def adaptive_generation(dim: int) -> Generation:
    """Return a generation with z = x (rounded to 2^-22), and no fixed cells."""
    return replace(identity_generation(dim, side=1), quantiser=NoQuantiser(dim), span=None)


def adaptive_config(budget: int = 20, keep: int = 60, **others: Any) -> EngineConfig:
    """Return settings of a coreset whose cells follow the stream."""
    return EngineConfig(budget=budget, keep=keep, **others)


def adaptive_engine(dim: int, budget: int = 20, keep: int = 60, **others: Any) -> EchoCoreset:
    """Return an empty engine."""
    config = adaptive_config(budget, keep, **others)
    return EchoCoreset.from_config(config, generation=adaptive_generation(dim))


def adaptive_sketch(engine: EchoCoreset) -> AdaptiveSketch:
    """Return the sketch of an engine, with its tail counted."""
    sketch = sketch_of(engine).flushed()
    assert isinstance(sketch, AdaptiveSketch)
    return sketch


def totals(engine: EchoCoreset) -> tuple[int, list[int], int]:
    """Return N, and the sums over all cells of z and |z|^2, in their spacings."""
    cells, generation = adaptive_sketch(engine).cells, engine.generation_
    return (
        int(cells.counts.sum()),
        _multiples(cells.latent_sums, generation.latent_spacing).sum(axis=0).tolist(),
        int(_multiples(cells.norm_sums, generation.norm_spacing).sum()),
    )


def recounted(points: Array, generation: Generation) -> tuple[int, list[int], int]:
    """Return the same of some points, in integers."""
    z = _multiples(points.astype(np.float64), generation.latent_spacing)
    squares = np.square(z * generation.latent_spacing).sum(axis=1)
    return len(z), z.sum(axis=0).tolist(), int(_multiples(squares, generation.norm_spacing).sum())


def held(engine: EchoCoreset) -> list[str]:
    """Return the ids of all samples held, of each as often as it is."""
    sketch = sketch_of(engine)
    waiting = sketch.tail.peek()
    return [member.id for member in sketch.members()] + (
        [] if waiting is None else [str(name) for name in waiting.ids]
    )


def num_payloads(engine: EchoCoreset) -> int:
    """Return how many payloads there is room for in use: of cells, reservoir and tail."""
    sketch = sketch_of(engine)
    assert isinstance(sketch, AdaptiveSketch)
    of_cells = sum(member is not None for member in sketch.cells.nearest)
    return of_cells + len(sketch.reservoir) + len(sketch.tail)


def check(engine: EchoCoreset) -> None:
    """Check what must hold of a sketch at any moment, beside its sums."""
    sketch = sketch_of(engine)
    assert isinstance(sketch, AdaptiveSketch)
    cells = sketch.cells
    assert np.all(cells.counts > 0)
    assert len(set(cells.keys.tolist())) == len(cells) <= cells.most
    assert num_payloads(engine) <= max(sketch.config.held, 4)
    assert len(sketch.tail) < sketch.block_size
    copies = Counter(member.tie for member in sketch.reservoir.members)
    assert {tie: len(keys) for tie, keys in sketch.owners.items()} == copies
    assert {key for keys in sketch.owners.values() for key in keys} <= set(cells.keys.tolist())


def cloud(kind: str, size: int, dim: int, rng: np.random.Generator) -> Array:
    """Return points of one kind, of shape (size, dim), float32, within [-2, 2]."""
    centres, group = rng.uniform(-1, 1, (6, dim)), rng.integers(0, 6, size)
    noise = rng.normal(size=(size, dim))
    points: FloatArray = {
        "normal": 0.4 * noise,
        "clusters": centres[group] + 0.02 * noise,
        "heavy": 1e-3 * noise * rng.lognormal(0, 2.5, (size, 1)),
        "lattice": rng.integers(-2, 3, (size, dim)) / 4,
        "copies": centres[rng.choice(6, size, p=rng.dirichlet(np.ones(6)))],
        "constant": np.tile(centres[:1], (size, 1)),
        "line": noise[:, :1] * centres[:1],
        "far": 1.9 + 1e-3 * noise,
        "sorted": (centres[group] + 0.05 * noise)[np.argsort(group)],
    }[kind]
    return points.clip(-2, 2).astype(np.float32)


def _multiples(values: FloatArray, spacing: float) -> Array:
    """Return values as whole numbers of a spacing."""
    return np.rint(values / spacing).astype(np.int64)
