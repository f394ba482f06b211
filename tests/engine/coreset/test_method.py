"""The engine against the method written straight from its formulas."""

from hypothesis import given
from hypothesis import strategies as st

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from tests.support import naive
from tests.support.naive import naive_samples
from tests.support.strategies import clouds, identity_generation

sides = st.sampled_from([1, 2, 5, 9])


def build(points: Array, *, side: int, budget: int, support: int) -> Snapshot:
    """Build the snapshot of points by the engine."""
    generation = identity_generation(points.shape[1], side)
    return (
        EchoCoreset(budget, preset="paper", support=support, generation=generation)
        .fit(points)
        .snapshot()
    )


@given(clouds(), sides, st.integers(1, 60), st.integers(0, 3))
def test_snapshot_equals_the_formulas(points: Array, side: int, budget: int, support: int) -> None:
    """Rows, ranks, weights, cells and edges are those of the naive implementation."""
    snapshot = build(points, side=side, budget=budget, support=support)
    cells = naive.group(naive_samples(points), side)
    counts = {cell: len(members) for cell, members in cells.items()}
    centres = {cell: naive.centroid([m.latent for m in ms]) for cell, ms in cells.items()}
    faces, bridges = naive.pc_graph(centres)
    degree = naive.degrees(list(cells), faces + bridges)
    order = naive.visiting_order(counts, degree)
    core = naive.core(cells, order, budget)
    rows = core + naive.support(cells, order, support)

    assert snapshot.cells.cells == list(cells)
    assert snapshot.cells.counts.tolist() == list(counts.values())
    assert snapshot.cells.centroids.tolist() == list(centres.values())
    assert snapshot.cells.degrees.tolist() == list(degree.values())
    edges = list(zip(snapshot.edges.left, snapshot.edges.right, strict=True))
    is_bridge = snapshot.edges.is_bridge
    assert [edge for edge, bridge in zip(edges, is_bridge, strict=True) if not bridge] == faces
    assert [edge for edge, bridge in zip(edges, is_bridge, strict=True) if bridge] == bridges
    given_rows = zip(
        snapshot.rows.cells,
        snapshot.rows.ranks_in_cell.tolist(),
        snapshot.rows.samples.ids,
        strict=True,
    )
    assert list(given_rows) == rows
    assert snapshot.rows.roles.tolist() == ["core"] * len(core) + ["support"] * (
        len(rows) - len(core)
    )
    assert snapshot.rows.weights.tolist() == naive.weights(cells, centres, rows)


@given(clouds(), sides)
def test_graph_is_proximally_connected(points: Array, side: int) -> None:
    """By brute force: faces linked, connected, each other edge a bridge and the shortest."""
    snapshot = build(points, side=side, budget=1, support=0)
    cells = snapshot.cells.cells
    centres = dict(zip(cells, snapshot.cells.centroids.tolist(), strict=True))
    edges = list(zip(snapshot.edges.left, snapshot.edges.right, strict=True))
    assert len(naive.components(cells, edges)) == 1
    for left in cells:
        for right in cells:
            if left < right and naive.share_face(left, right):
                assert (left, right) in edges
    for edge in edges:
        if not naive.share_face(*edge):
            parts = naive.components(cells, [e for e in edges if e != edge])
            assert len(parts) == 2
            shortest = min(
                naive.squared_length(centres[a], centres[b]) for a in parts[0] for b in parts[1]
            )
            assert naive.squared_length(centres[edge[0]], centres[edge[1]]) == shortest


@given(clouds(), sides, st.integers(1, 60))
def test_weights_sum_to_n(points: Array, side: int, budget: int) -> None:
    """Every sample counted is stood for."""
    snapshot = build(points, side=side, budget=budget, support=0)
    # Each weight is rounded once; their sum over at most 60 rows stays within 60 roundings.
    assert abs(snapshot.rows.weights.sum() - len(points)) < 1e-12 * len(points)


@given(clouds(), sides, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(points: Array, side: int, random: object) -> None:
    """Shuffled with the same ids, the same coreset comes out."""
    order = list(range(len(points)))
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis leaves it unannotated
    generation = identity_generation(points.shape[1], side)
    straight = EchoCoreset(10, preset="paper", generation=generation).fit(points)
    shuffled = EchoCoreset(10, preset="paper", generation=generation).fit(points[order], ids=order)
    assert straight.snapshot().id == shuffled.snapshot().id
