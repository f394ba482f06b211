"""The graph that is kept equals the graph from scratch, whatever happens to a sketch."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from echo_stream import EchoCoreset, Generation, Snapshot
from tests.support import naive
from tests.support.adversarial import FIXED_QUANTISERS
from tests.support.strategies import codebook_generation, identity_generation

UNIT = 2.0**-22


def any_generation(side: int, *, kind: str) -> Generation:
    """Return a grid, or as many codewords on a lattice that few samples surround."""
    if kind == "grid":
        return identity_generation(2, side)
    axis = (np.arange(side) + 0.5) / side
    return codebook_generation(np.array([[a, b] for a in axis for b in axis]))


class Sketches(RuleBasedStateMachine):
    """Two engines that count, forget, merge and are asked, in any sequence."""

    @initialize(side=st.sampled_from([2, 5, 9]), kind=st.sampled_from(FIXED_QUANTISERS))
    def begin(self, side: int, *, kind: str) -> None:
        """Begin with empty engines, and remember what each has counted."""
        self.generation = any_generation(side, kind=kind)
        self.engines = [self.empty(), self.empty()]
        self.held: list[dict[int, tuple[float, ...]]] = [{}, {}]
        self.next_id = 0

    def empty(self) -> EchoCoreset:
        """Return an engine that keeps all that it is given."""
        return EchoCoreset(10_000, preset="paper", generation=self.generation)

    @rule(
        which=st.integers(0, 1),
        size=st.integers(1, 12),
        seed=st.integers(0, 2**32 - 1),
        scale=st.sampled_from([0.02, 0.5]),
    )
    def count(self, which: int, size: int, seed: int, scale: float) -> None:
        """Count a few samples, near each other or anywhere."""
        rng = np.random.default_rng(seed)
        points = np.round((rng.random(2) + rng.normal(0, scale, (size, 2))) / UNIT) * UNIT
        ids = np.arange(self.next_id, self.next_id + size)
        self.next_id += size
        self.engines[which].partial_fit(points.astype(np.float32), ids=ids)
        exact = points.astype(np.float32).astype(np.float64).tolist()
        self.held[which] |= {int(i): tuple(p) for i, p in zip(ids, exact, strict=True)}

    @rule(which=st.integers(0, 1))
    def settle(self, which: int) -> None:
        """Apply the samples that wait, as a merge with nothing does."""
        self.engines[which].merge(self.empty())

    @rule()
    def merge(self) -> None:
        """Absorb the second engine in the first."""
        self.engines[0].merge(self.engines[1])
        self.held[0] |= self.held[1]
        self.engines[1], self.held[1] = self.empty(), {}

    @precondition(lambda self: self.held[0])
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Forget some of the samples of the first engine."""
        known = sorted(self.held[0])
        for row in data.draw(st.sets(st.sampled_from(known), min_size=1, max_size=8)):
            assert self.engines[0].forget(row) == 1
            del self.held[0][row]

    @rule()
    def restore(self) -> None:
        """Go on from the first engine's state."""
        self.engines[0] = EchoCoreset.from_state(self.engines[0].to_state())

    @invariant()
    def is_the_graph_from_scratch(self) -> None:
        """Ask for a snapshot, and compare cells, links, bridges and degrees."""
        for engine, held in zip(self.engines, self.held, strict=True):
            if held:
                check(engine.snapshot(), self.generation, list(held.values()))


def check(snapshot: Snapshot, generation: Generation, points: list[tuple[float, ...]]) -> None:
    """Compare a snapshot's graph with the formulas."""
    cells: dict[naive.Cell, list[tuple[float, ...]]] = {}
    witnesses: set[frozenset[int]] = set()
    for point in points:
        if generation.quantiser.kind == "grid":
            side = generation.quantiser.describe()["side"]
            cells.setdefault(naive.locate(point, side), []).append(point)
        else:
            words = generation.quantiser.to_arrays()["codewords"].tolist()
            nearest = naive.nearest_codewords(point, words)
            cells.setdefault((nearest[0],), []).append(point)
            witnesses.add(frozenset(nearest[:2]))
    centres = {cell: naive.centroid(cells[cell]) for cell in sorted(cells)}

    def adjacent(left: naive.Cell, right: naive.Cell) -> bool:
        if generation.quantiser.kind == "grid":
            return naive.share_face(left, right)
        return frozenset(left + right) in witnesses

    links, bridges = naive.pc_graph(centres, adjacent)
    degree = naive.degrees(list(centres), links + bridges)
    assert snapshot.cells.cells == list(centres)
    assert snapshot.cells.counts.tolist() == [len(cells[cell]) for cell in centres]
    edges = list(zip(snapshot.edges.left, snapshot.edges.right, strict=True))
    assert edges == links + bridges
    assert snapshot.edges.is_bridge.tolist() == [False] * len(links) + [True] * len(bridges)
    assert snapshot.cells.degrees.tolist() == list(degree.values())


TestSketches = Sketches.TestCase
TestSketches.settings = settings(max_examples=40, stateful_step_count=20)
TestSketches.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note which parts of a graph are found again."""
    calls: list[str] = []
    for name in ("find_components", "find_bridges"):
        original = getattr(__import__("echo_stream.sketch.graph", fromlist=[name]), name)

        def noted(*arguments: object, name: str = name, original: object = original) -> object:
            calls.append(name)
            return original(*arguments)  # type: ignore[operator]  # one of the two functions

        monkeypatch.setattr(f"echo_stream.sketch.graph.{name}", noted)
    yield calls


def test_only_what_has_changed_is_found_again(asked: list[str]) -> None:
    """Components until links change, bridges until centroids do, if there are any."""
    points = np.random.default_rng(0).random((2_048, 2)).astype(np.float32)
    engine = EchoCoreset(10, preset="paper", generation=identity_generation(2, 3))
    engine.partial_fit(points[:1_024]).snapshot()
    assert asked == ["find_components", "find_bridges"]
    engine.snapshot()
    engine.partial_fit(points[1_024:]).snapshot()
    assert asked == ["find_components", "find_bridges"]
    lone = np.full((1_024, 2), 40, dtype=np.float32)
    engine = EchoCoreset(10, preset="paper", generation=identity_generation(2, 9))
    corner = np.concatenate([points[:1_000] * 0.1, lone[:24]])
    engine.partial_fit(corner).snapshot()
    engine.snapshot()
    assert asked == ["find_components", "find_bridges"] * 2
    engine.partial_fit(corner).snapshot()
    assert asked == ["find_components", "find_bridges"] * 2
    engine.partial_fit(points[:1_024] * 0.1).snapshot()
    assert asked == ["find_components", "find_bridges"] * 2 + ["find_bridges"]
