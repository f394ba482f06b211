"""The codebook against plain loops, and the settings beyond the paper's."""

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import Array
from echo_stream.config import Preset, Rank
from echo_stream.errors import ConfigError
from echo_stream.generation.codebook import Codebook, train_codebook
from echo_stream.generation.grid import Grid, budget_aware_side, grid_side
from tests.support import naive
from tests.support.naive import naive_samples
from tests.support.strategies import clouds, codebook_generation


def words(points: Array, number: int) -> Array:
    """Return some of the points, on a coarse lattice, as distinct codewords."""
    return np.unique(np.round(points[:number] * 64) / 64, axis=0)


@given(
    clouds(),
    st.integers(1, 9),
    st.integers(0, 40),
    st.sampled_from(get_args(Rank)),
    st.sampled_from([0.0, 0.25, 0.3, 0.5]),
)
def test_snapshot_equals_the_formulas(
    points: Array, k: int, budget: int, rank: Rank, share: float
) -> None:
    """Voronoi cells, witness edges, bridges, rank rules, share of support: as plain loops do."""
    codewords = words(points, k)
    samples = naive_samples(points)
    nearest = [naive.nearest_codewords(s.latent, codewords.tolist()) for s in samples]
    witnesses = {frozenset(order[:2]) for order in nearest}
    cells: dict[tuple[int, ...], list[naive.NaiveSample]] = {}
    for sample, order in zip(samples, nearest, strict=True):
        cells.setdefault((order[0],), []).append(sample)
    cells = dict(sorted(cells.items()))
    counts = {cell: len(members) for cell, members in cells.items()}
    centres = {cell: naive.centroid([m.latent for m in ms]) for cell, ms in cells.items()}
    links, bridges = naive.pc_graph(centres, lambda a, b: frozenset(a + b) in witnesses)
    visiting = naive.visiting_order(counts, naive.degrees(list(cells), links + bridges))
    support_slots = int(Fraction(str(share)) * (budget + 1))
    core = naive.core(cells, visiting, budget + 1 - support_slots, rank)
    support = naive.shared_support(cells, visiting, core, support_slots)

    engine = EchoCoreset(
        budget + 1,
        preset="fixed",
        rank=rank,
        support_share=share,
        generation=codebook_generation(codewords),
    )
    snapshot = engine.fit(points).snapshot()
    assert snapshot.cells.cells == list(cells)
    edges = list(zip(snapshot.edges.left, snapshot.edges.right, strict=True))
    assert edges == links + bridges
    rows = snapshot.rows
    columns = zip(rows.cells, rows.ranks_in_cell.tolist(), rows.samples.ids, strict=True)
    assert list(columns) == core + support
    assert rows.roles.tolist() == ["core"] * len(core) + ["support"] * len(support)
    assert snapshot.certified_fraction == 1.0


def test_the_nearest_codeword_has_the_same_bits_anywhere() -> None:
    """Points on the border of two cells go the same way in any row, block and thread count."""
    rng = np.random.default_rng(0)
    latent = torch.from_numpy(rng.integers(-(2**22), 2**22, (1_024, 37)) * 2.0**-22)
    book = train_codebook(latent, slots=50, seed=0)
    # Midpoints of codewords lie on borders, as nearly as they can.
    latent[:500] = (
        book.codewords[torch.randint(0, book.max_cells, (500,))]
        + book.codewords[torch.randint(0, book.max_cells, (500,))]
    ) / 2
    latent = torch.round(latent * 2**22) / 2**22
    keys, seconds = book.locate(latent)
    order = torch.randperm(1_024)
    shuffled = book.locate(latent[order])
    assert seconds is not None
    assert shuffled.second_nearest is not None
    assert torch.equal(shuffled.keys, keys[order])
    assert torch.equal(shuffled.second_nearest, seconds[order])
    assert torch.equal(book.locate(latent[:7]).keys, keys[:7])


@pytest.mark.parametrize(
    ("n", "slots", "number"), [(400, 1_000, 200), (400, 5, 5), (9, 50, 4), (1, 1, 1)]
)
def test_the_number_of_codewords_follows_the_data(n: int, slots: int, number: int) -> None:
    """No more than the slots, half of the training samples, or the distinct ones."""
    latent = torch.from_numpy(np.random.default_rng(0).normal(size=(n, 3)))
    assert train_codebook(latent, slots=slots, seed=0).max_cells == number


def test_equal_samples_make_one_codeword() -> None:
    """Duplicates are no reason for an empty cell."""
    assert train_codebook(torch.ones(500, 2).double(), slots=9, seed=0).max_cells == 1


def test_budget_aware_side_is_the_largest_that_fits() -> None:
    """All sides are tried: the number of occupied cells does not grow with every side."""
    latent = torch.from_numpy(np.random.default_rng(0).random((300, 2)))
    for budget in (1, 4, 17, 60, 10_000):
        side = budget_aware_side(latent, 300, budget)
        fits = [
            g
            for g in range(1, grid_side(300) + 1)
            if g == 1 or len(set(Grid(side=g, dim=2).locate(latent).keys.tolist())) <= budget
        ]
        assert side == max(fits)


@pytest.mark.slow
@pytest.mark.parametrize("cells", ["grid-budget", "codebook"])
@pytest.mark.parametrize("latent", ["pca", "identity", "encoder"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_other_quantisers_stream_merge_and_restore(cells: str, latent: str, share: float) -> None:
    """Stream, shards and a restored engine end with the batch's cells, edges and rows."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 3)) * 4
    x = (centres[rng.integers(0, 12, 4_000)] + rng.normal(0, 0.3, (4_000, 3))).astype(np.float32)
    settings = {"cells": cells, "latent": latent, "support_share": share, "epochs": 1}
    batch = EchoCoreset(60, preset="fixed", **settings).fit(x)  # type: ignore[arg-type]  # settings by name
    rows = np.arange(len(x))
    shards = [
        EchoCoreset(60, generation=batch.generation_, preset="fixed", **settings).partial_fit(  # type: ignore[arg-type]
            x[i::3], ids=rows[i::3]
        )
        for i in range(3)
    ]
    shards[0].merge(shards[1])
    restored = EchoCoreset.from_state(shards[0].to_state(), device="cpu")
    restored.merge(shards[2])
    ours, theirs = restored.snapshot(), batch.snapshot()
    assert ours.cells.centroids.tobytes() == theirs.cells.centroids.tobytes()
    assert (ours.edges.left, ours.edges.right) == (theirs.edges.left, theirs.edges.right)
    equal = set(ours.rows.samples.ids) & set(theirs.rows.samples.ids)
    assert len(equal) >= 0.95 * 60
    assert len(ours.rows) == len(theirs.rows) == 60


def test_ranks_by_hash_are_certified_and_exact() -> None:
    """A uniform sample of each cell needs no bound: the stream knows it as the batch does."""
    x = np.random.default_rng(0).normal(size=(5_000, 2)).astype(np.float32)
    order = np.argsort(x[:, 0])
    book = codebook_generation(words(x, 10))
    settings = {"preset": "fixed", "rank": "uniform", "generation": book}
    batch = EchoCoreset(100, **settings).fit(x)  # type: ignore[arg-type]
    stream = EchoCoreset(100, **settings)  # type: ignore[arg-type]
    for part in np.array_split(order, 13):
        stream.partial_fit(x[part], ids=part)
    assert stream.snapshot().certified_fraction == 1.0
    assert stream.snapshot().rows.samples.ids.tolist() == batch.snapshot().rows.samples.ids.tolist()


def test_presets_decide_what_is_left_open() -> None:
    """What is given wins over the preset; the rest follows it."""
    paper, fixed = EngineConfig(preset="paper"), EngineConfig(preset="fixed", latent="identity")
    adaptive = EngineConfig()
    assert (adaptive.preset, adaptive.cells, adaptive.latent, adaptive.keep) == (
        "adaptive", None, "projection", 3_000,
    )  # fmt: skip
    assert (paper.cells, paper.latent, paper.rank, paper.support) == (
        "grid", "encoder", "center", 2,
    )  # fmt: skip
    assert (fixed.cells, fixed.latent, fixed.rank, fixed.support) == (
        "codebook", "identity", "mixed", 0,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="support must be 0 under preset fixed; got 2; give"):
        EngineConfig(support=2, preset="fixed")
    with pytest.raises(ConfigError, match="support_share must be 0 under preset paper"):
        EngineConfig(preset="paper", support_share=0.5)
    with pytest.raises(ConfigError, match=r"support_share must be at least 0 .*; got 0\.6"):
        EngineConfig(support_share=0.6, preset="fixed")
    with pytest.raises(ConfigError, match="cells must be one of grid, grid-budget, codebook"):
        EngineConfig(cells="voronoi", preset="fixed")  # type: ignore[arg-type]


def test_a_codebook_is_a_quantiser_of_one_at_least() -> None:
    """With a single codeword all samples share a cell, and there is no edge."""
    snapshot = (
        EchoCoreset(3, preset="fixed", generation=codebook_generation(np.array([[0.5, 0.5]])))
        .fit(np.random.default_rng(0).random((50, 2)).astype(np.float32))
        .snapshot()
    )
    assert snapshot.cells.cells == [(0,)]
    assert len(snapshot.edges.lengths) == 0
    assert isinstance(Codebook(torch.ones(1, 2).double()).describe(), dict)


@pytest.mark.parametrize("n", [1, 5])
def test_equal_samples_have_a_latent_space_too(n: int) -> None:
    """One sample, or equal ones, are one cell under the default preset as well."""
    snapshot = EchoCoreset(3, preset="fixed").fit(np.full((n, 4), 0.3, dtype=np.float32)).snapshot()
    assert snapshot.cells.counts.tolist() == [n]
    assert snapshot.certified_fraction == 1.0


def test_a_batch_build_trains_on_a_sample_of_the_warmups_size() -> None:
    """Under the default preset the rest of the data does not shape the generation."""
    x = np.random.default_rng(0).normal(size=(3_000, 5)).astype(np.float32)
    small = EchoCoreset(20, warmup=500, preset="fixed").fit(x).generation_
    assert small.id == EchoCoreset(20, warmup=500, preset="fixed").fit(x).generation_.id
    assert small.id != EchoCoreset(20, warmup=500, seed=1, preset="fixed").fit(x).generation_.id
    assert small.id != EchoCoreset(20, warmup=5_000, preset="fixed").fit(x).generation_.id
    assert small.quantiser.max_cells == 20


@pytest.mark.parametrize("preset", get_args(Preset))
def test_the_number_of_threads_does_not_decide_a_generation(preset: Preset) -> None:
    """Encoder, components and codewords have the same bits on any number of cores."""
    x = np.random.default_rng(0).normal(size=(2_000, 30)).astype(np.float32)
    ids = []
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            ids.append(EchoCoreset(50, preset=preset, epochs=2).fit(x).generation_.id)
    finally:
        torch.set_num_threads(threads)
    assert ids[0] == ids[1]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_components_do_not_depend_on_the_scale(scale: float) -> None:
    """Squares of large values overflow float32; the components are those of small ones."""
    x = np.random.default_rng(0).normal(size=(2_000, 6)).astype(np.float32)
    power = np.float32(2.0 ** round(np.log2(scale)))
    one, other = (
        EchoCoreset(20, warmup=500, preset="fixed").fit(x),
        EchoCoreset(20, warmup=500, preset="fixed").fit(x * power),
    )
    assert one.indices_.tolist() == other.indices_.tolist()
