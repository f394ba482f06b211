"""A budget that is split by class: the label is a part of the cell."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.config import EngineConfig, Rank
from echo_stream.errors import ConfigError, DataError
from echo_stream.generation.classes import MAX_CLASSES
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource
from echo_stream.sketch.size import memory_bound, size_bytes
from tests.support import naive
from tests.support.inside import sketch_of
from tests.support.naive import naive_samples
from tests.support.strategies import clouds, codebook_generation

NUMBERS = {None: -1, 0: 0, 3: 3}
"""Labels, and what begins the index of their cells."""


def long_tailed(n: int, *, seed: int = 0) -> tuple[Array, Array]:
    """Return points and labels of five classes, each a third of the one before."""
    rng = np.random.default_rng(seed)
    shares = 3.0 ** -np.arange(5)
    y = rng.choice(5, n, p=shares / shares.sum())
    return (rng.normal(size=(n, 3)) + 2 * y[:, None]).astype(np.float32), y


def balanced(budget: int, **settings: object) -> EchoCoreset:
    """Return an engine that splits its budget by class."""
    return EchoCoreset(budget, balance="class", warmup=300, preset="fixed", **settings)  # type: ignore[arg-type]


def of_each(snapshot: Snapshot) -> dict[object, int]:
    """Return the number of rows of each label."""
    labels, counts = np.unique(snapshot.rows.samples.labels.astype(str), return_counts=True)  # type: ignore[union-attr]
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


@given(clouds(), st.integers(1, 6), st.integers(1, 40), st.sampled_from(get_args(Rank)), st.data())
@settings(max_examples=40)
def test_snapshot_equals_the_formulas(
    points: Array, k: int, budget: int, rank: Rank, data: st.DataObject
) -> None:
    """Classes, shares, cells, edges within a class, ranks and weights: as plain loops do."""
    codewords = np.unique(np.round(points[:k] * 64) / 64, axis=0)
    n = len(points)
    labels = data.draw(st.lists(st.sampled_from(list(NUMBERS)), min_size=n, max_size=n))
    cells: dict[naive.Cell, list[naive.NaiveSample]] = {}
    witnesses = set()
    for sample, label in zip(naive_samples(points), labels, strict=True):
        ranked = naive.nearest_codewords(sample.latent, codewords.tolist())
        cells.setdefault((NUMBERS[label], ranked[0]), []).append(sample)
        witnesses.add(frozenset((NUMBERS[label], word) for word in ranked[:2]))
    cells = dict(sorted(cells.items()))
    counts = {cell: len(members) for cell, members in cells.items()}
    centres = {cell: naive.centroid([m.latent for m in ms]) for cell, ms in cells.items()}
    links, bridges = naive.pc_graph(centres, lambda a, b: frozenset((a, b)) in witnesses)
    order = naive.visiting_order(counts, naive.degrees(list(cells), links + bridges))

    generation = codebook_generation(codewords)
    engine = EchoCoreset(budget, balance="class", rank=rank, generation=generation, preset="fixed")
    snapshot = engine.fit(points, np.array(labels, dtype=object)).snapshot()
    assert snapshot.cells.cells == list(cells)
    edges = list(zip(snapshot.edges.left, snapshot.edges.right, strict=True))
    assert edges == links + bridges
    rows = snapshot.rows
    chosen = list(zip(rows.cells, rows.ranks_in_cell.tolist(), rows.samples.ids, strict=True))
    assert chosen == naive.balanced_core(cells, order, budget, rank)
    assert snapshot.certified_fraction == 1.0
    assert round(rows.weights.sum()) == len(points)
    numbers = np.array([cell[0] for cell in rows.cells])
    for number in set(numbers.tolist()):
        total = sum(count for cell, count in counts.items() if cell[0] == number)
        # A class without a row gives its count to others.
        assert rows.weights[numbers == number].sum() > total - 0.5


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_long_tail_gets_equal_shares(share: float) -> None:
    """Classes of hundreds and of a few samples: as many rows of each, or all that there are."""
    x, y = long_tailed(6_000)
    y[y == 4] = 0
    y[:7] = 4
    snapshot = balanced(103, support_share=share).fit(x, y).snapshot()
    rows = of_each(snapshot)
    assert rows["4"] == 7
    shares = [rows[str(label)] for label in range(4)]
    assert max(shares) - min(shares) <= (2 if share else 0)  # core and support are dealt each
    assert snapshot.certified_fraction == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("order", ["shuffled", "by class", "along an axis"])
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_streams_merges_and_restarts_end_like_the_batch(order: str, share: float) -> None:
    """Every certified row is the batch's, and memory stays within its bound."""
    x, y = long_tailed(6_000)
    batch = balanced(60, support_share=share).fit(x, y)
    arrival = {"shuffled": np.arange(len(x)), "by class": y, "along an axis": x[:, 0]}
    rows = np.argsort(arrival[order], kind="stable")
    shards = [balanced(60, support_share=share, generation=batch.generation_) for _ in range(3)]
    for number, part in enumerate(np.array_split(rows, 30)):
        engine = shards[number % 3].partial_fit(x[part], y[part], ids=part)
        sketch = sketch_of(engine)
        assert size_bytes(sketch, sketch.members()) <= memory_bound(sketch)
    shards[0].merge(shards[1])
    merged = EchoCoreset.from_state(shards[0].to_state(), device="cpu")
    merged.merge(shards[2])
    ours, theirs = merged.snapshot(), batch.snapshot()
    assert ours.cells.cells == theirs.cells.cells
    assert ours.cells.centroids.tobytes() == theirs.cells.centroids.tobytes()
    exact = claims(theirs)
    pairs = zip(claims(ours), ours.rows.certified, strict=True)
    certified = {row for row, is_certified in pairs if is_certified}
    assert certified <= set(exact)
    assert len(certified) >= 0.5 * 60
    if (order, share) == ("along an axis", 0.25):
        assert len(certified) < len(exact)
        assert not merged.repair(x).is_accepted  # without labels all are of the class without one
    assert merged.repair(ArraySource(as_rows(x, y))).is_accepted
    assert claims(merged.snapshot()) == exact
    assert merged.snapshot().certified_fraction == 1.0


def as_rows(x: Array, y: Array) -> Samples:
    """Return labelled samples whose ids are their row numbers."""
    return Samples(x=x, ids=np.arange(len(x)), labels=y)


def claims(snapshot: Snapshot) -> list[tuple[object, ...]]:
    """Return cell, role, rank and id of each row."""
    rows = snapshot.rows
    return list(
        zip(rows.cells, rows.roles, rows.ranks_in_cell.tolist(), rows.samples.ids, strict=True)
    )


def test_a_late_label_moves_no_sample() -> None:
    """The label that a sample came with decides its class; the newer one is what is reported."""
    x, y = long_tailed(3_000)
    known = [None if row % 3 == 0 else int(label) for row, label in enumerate(y)]
    engine = balanced(60).fit(x, np.array(known, dtype=object))
    before = engine.snapshot()
    assert of_each(before)["None"] == 10
    pairs = zip(before.rows.samples.ids, before.rows.cells, strict=True)
    ids = [sample for sample, cell in pairs if cell[0] == -1]
    engine.label(ids, ["late"] * len(ids))
    after = engine.snapshot()
    assert claims(after) == claims(before)
    assert of_each(after)["late"] == 10


def test_too_many_classes_are_refused_whole() -> None:
    """Nothing of the batch is counted, and what was counted before goes on."""
    x = np.random.default_rng(0).normal(size=(1_000, 3)).astype(np.float32)
    engine = balanced(20).partial_fit(x, np.arange(1_000) % MAX_CLASSES)
    with pytest.raises(DataError, match="balance class allows for 256 different labels; got 257"):
        engine.partial_fit(x[:2], np.array(["one", 3], dtype=object))
    assert engine.n_seen_ == 1_000
    engine.partial_fit(x[:2], [3, 4])
    assert engine.n_seen_ == 1_002


def test_what_does_not_go_with_balance_is_refused() -> None:
    """The paper's grid, and a codebook of more cells than a class may have."""
    with pytest.raises(ConfigError, match="balance class needs cells codebook; got grid"):
        EngineConfig(preset="paper", balance="class")
    with pytest.raises(ConfigError, match="balance must be one of none, class; got 'label'"):
        EngineConfig(balance="label", preset="fixed")  # type: ignore[arg-type]
    x, y = long_tailed(3_000)
    fine = EchoCoreset(300, warmup=1_000, preset="fixed").fit(x).generation_
    with pytest.raises(ConfigError, match=r"at most 256 codewords; .* codebook of 300 cells"):
        balanced(300, generation=fine).fit(x, y)
