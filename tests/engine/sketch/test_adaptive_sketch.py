"""Cells that follow the stream: exact sums whatever happens, and bounded memory."""

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError
from echo_stream.samples.changes import Change, Forget, LateLabel
from echo_stream.samples.samples import Origin, Samples, as_objects
from tests.support.adaptive import (
    KINDS,
    adaptive_config,
    adaptive_engine,
    adaptive_generation,
    adaptive_sketch,
    check,
    cloud,
    held,
    num_payloads,
    recounted,
    totals,
)
from tests.support.inside import sketch_of
from tests.support.same_coreset import comparable


def names(size: int, prefix: str = "") -> Array:
    """Return ids."""
    return as_objects([f"{prefix}{number}" for number in range(size)])


def fed(engine: EchoCoreset, x: Array, ids: Array, size: int = 37) -> EchoCoreset:
    """Let an engine count samples in batches."""
    for start in range(0, len(x), size):
        engine.partial_fit(x[start : start + size], ids=ids[start : start + size])
    return engine


def merged(engine: EchoCoreset, other: EchoCoreset) -> EchoCoreset:
    """Merge another engine into one, and return it."""
    engine.merge(other)
    return engine


def read_again(engine: EchoCoreset, **changed: Any) -> EchoCoreset:
    """Return an engine that has been stored and read, perhaps with changed settings."""
    config = EngineConfig(**{**engine.config.to_json(), **changed})
    return EchoCoreset.from_state(engine.to_state(), config=config)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_sums_are_those_of_a_recount(kind: str, seed: int) -> None:
    """In any order, in any batches, and in any tree of merges, to the last bit."""
    rng = np.random.default_rng(seed)
    x, ids = cloud(kind, 700, 3, rng), names(700)
    for _ in range(3):
        order = rng.permutation(700)
        expected = recounted(x, adaptive_generation(3))
        assert totals(fed(adaptive_engine(3), x[order], ids[order], int(rng.integers(1, 300)))) == (
            expected
        )
        parts = [
            fed(adaptive_engine(3), x[rows], ids[rows])
            for rows in np.split(order, np.sort(rng.integers(0, 700, 4)))
        ]
        while len(parts) > 1:
            first, second = (parts.pop(int(rng.integers(len(parts)))) for _ in range(2))
            parts.append(merged(first, second))
        assert totals(parts[0]) == expected
        check(parts[0])


@pytest.mark.parametrize("size", [1, 7, 8, 100, 900])
def test_batch_sizes_change_nothing(size: int) -> None:
    """The state is the same, bit for bit, and so is the snapshot."""
    x, ids = cloud("clusters", 900, 4, np.random.default_rng(0)), names(900)
    whole = adaptive_engine(4).partial_fit(x, ids=ids)
    cut = fed(adaptive_engine(4), x, ids, size)
    assert comparable(cut) == comparable(whole)
    assert cut.snapshot().id == whole.snapshot().id


@pytest.mark.parametrize("at", [0, 3, 90, 333, 500])
def test_a_state_that_is_read_continues_as_it_was(at: int) -> None:
    """Bit for bit, whether in the middle of a block or not; and a copy is independent."""
    x, ids = cloud("sorted", 900, 4, np.random.default_rng(1)), names(900)
    first = fed(adaptive_engine(4), x[:at], ids[:at])
    second, before = read_again(first), comparable(first)
    assert comparable(second) == before
    copy = first.copy()
    fed(copy, x[at:], ids[at:])
    assert comparable(first) == before
    fed(first, x[at:], ids[at:])
    fed(second, x[at:], ids[at:], 11)
    assert comparable(first) == comparable(second) == comparable(copy)
    held_by_copy = held(copy)
    first.forget(held(first)[5])
    assert held(copy) == held_by_copy
    assert totals(copy) == recounted(x, adaptive_generation(4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "keep"), [(1, 1), (1, 3), (2, 2), (9, 9), (10, 11), (30, 70), (5, 500), (300, 300)]
)
def test_no_more_is_held_than_allowed(budget: int, keep: int) -> None:
    """At any moment, the samples that wait for their block included; 4 at least."""
    engine = adaptive_engine(2, budget, keep)
    x = cloud("normal", 1_200, 2, np.random.default_rng(budget))
    most = 0
    for number, row in enumerate(x):
        engine.partial_fit(row[None], ids=[str(number)])
        most = max(most, num_payloads(engine))
        assert most <= max(budget + keep, 4)
    check(engine)
    assert len(engine.snapshot().rows) == min(budget, len(set(held(engine))))
    assert most >= 0.75 * max(budget + keep, 4)  # what is allowed is used


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_sums_are_exact(seed: int) -> None:
    """Lives of engines: batches, copies, requests to forget, merges, and states that are read."""
    rng = np.random.default_rng(seed)
    kind, dim = str(rng.choice(KINDS)), int(rng.integers(1, 5))
    pool, ids = cloud(kind, 400, dim, rng), names(400)
    budget = int(rng.integers(1, 20))
    keep = budget + int(rng.integers(0, 60))
    engines = [adaptive_engine(dim, budget, keep) for _ in range(3)]
    counted: list[list[int]] = [[], [], []]
    gone: list[set[str]] = [set(), set(), set()]
    for _ in range(60):
        at = int(rng.integers(len(engines)))
        engine, rows = engines[at], counted[at]
        what = rng.choice(["count", "count", "copies", "forget", "merge", "read"])
        if what == "merge" and len(engines) > 1 and rng.random() < 0.3:
            other = int(rng.choice([number for number in range(len(engines)) if number != at]))
            if rng.random() < 0.5:
                engines[other] = read_again(engines[other])
            for one, another in ((at, other), (other, at)):  # each loses what the other forgot
                there = [member.id for member in adaptive_sketch(engines[one]).members()]
                for name in filter(gone[another].__contains__, there):
                    counted[one].remove(int(name))
            engine.merge(engines[other])
            rows += counted[other]
            gone[at] |= gone[other]
            del engines[other], counted[other], gone[other]
        elif what == "read":
            engines[at] = engine = read_again(engine)
        elif what == "forget" and (there := held(engine)):
            name = str(rng.choice(there))
            number = engine.forget(name)
            assert number == there.count(name) > 0
            for _ in range(number):
                rows.remove(int(name))
            assert name not in held(engine)
            gone[at].add(name)
        else:
            few = rng.choice(400, 3 if what == "copies" else 400, replace=False)
            more = rng.choice(few, int(rng.integers(1, 40)))
            fed(engine, pool[more], ids[more], int(rng.integers(1, 50)))
            rows += more.tolist()
        check(engine)
        assert totals(engine) == recounted(pool[np.array(rows, dtype=int)], engine.generation_)


@pytest.mark.parametrize("seed", range(4))
def test_all_that_is_held_can_be_forgotten(seed: int) -> None:
    """In several orders, sample by sample; what is not held is counted as missed."""
    rng = np.random.default_rng(seed)
    x, ids = cloud("normal", 500, 3, rng), names(500)
    engine = fed(adaptive_engine(3), x, ids)
    rest = np.ones(500, dtype=bool)
    there = rng.permutation(sorted(set(held(engine)), key=int))
    for number, name in enumerate(there.tolist()):
        assert engine.forget(name) == 1
        assert engine.forget(f"nobody {name}") == engine.forget(name) == 0
        rest[int(name)] = False
        assert totals(engine) == recounted(x[rest], engine.generation_)
        check(engine)
        read_again(engine)
        if number % 20 == 0 and name != there[-1]:
            weights = engine.snapshot().rows.weights
            assert weights.sum() == pytest.approx(rest.sum())
            assert weights.min() >= 1
    assert held(engine) == []
    assert engine.change_counts()["num_forgotten"] == len(there)
    assert engine.change_counts()["num_forget_missed"] == len(there)
    snapshot = engine.snapshot()
    assert (len(snapshot.rows), snapshot.n) == (0, rest.sum())
    assert snapshot.manifest["coverage"] == snapshot.manifest["coverage_at_least"] == 0
    fed(engine, x[:100], names(100, "again "))
    assert len(engine.snapshot().rows) == 20
    check(engine)


def test_a_cell_that_is_emptied_disappears() -> None:
    """Cells of single samples are gone with them, until none is left; and it all begins again."""
    x, ids = cloud("normal", 30, 2, np.random.default_rng(0)), names(30)
    engine = fed(adaptive_engine(2), x, ids)
    assert len(adaptive_sketch(engine).cells) == 30
    for left, name in zip(range(29, -1, -1), ids, strict=True):
        engine.forget(name)
        assert len(adaptive_sketch(engine).cells) == left
    assert engine.n_seen_ == 0
    assert engine.why("3")["why"] == "not held: it was forgotten on request"
    fed(engine, x, names(30, "again "))
    assert totals(engine) == recounted(x, engine.generation_)
    assert engine.snapshot().rows.weights.tolist() == pytest.approx([30 / 20] * 20, abs=10)


def test_what_arrives_again_replaces_exactly() -> None:
    """Each sample that is held when its id comes again is subtracted; one that is not stays."""
    rng = np.random.default_rng(0)
    x, ids = (
        cloud("clusters", 900, 2, rng),
        as_objects(rng.integers(0, 150, 900).astype(str).tolist()),
    )
    engine = adaptive_engine(2, on_duplicate="replace")
    counted = list[int]()
    for row in range(900):
        waiting = [at for at in counted if ids[at] == ids[row]]
        before = engine.change_counts()["num_replaced"]
        is_held = ids[row] in held(engine)
        engine.partial_fit(x[row : row + 1], ids=ids[row : row + 1])
        assert engine.change_counts()["num_replaced"] - before == is_held
        if is_held:
            counted.remove(waiting[-1])
        counted.append(row)
    assert totals(engine) == recounted(x[counted], engine.generation_)
    assert len(set(held(engine))) == len(held(engine))
    whole = adaptive_engine(2, on_duplicate="replace").partial_fit(x, ids=ids)
    assert comparable(whole) == comparable(engine)


def test_one_id_without_end_takes_no_memory() -> None:
    """However often a sample is counted, as few places are noted as the reservoir has."""
    engine = adaptive_engine(2)
    fed(engine, np.full((5_000, 2), 0.5, np.float32), as_objects(["same"] * 5_000))
    check(engine)
    sketch = adaptive_sketch(engine)
    assert sum(map(len, sketch.owners.values())) == len(sketch.reservoir) == 8
    (row,) = engine.snapshot().rows.weights
    assert row == 5_000
    assert engine.forget("same") == 8
    assert totals(engine)[0] == 4_992
    read_again(engine)


def test_late_labels_reach_all_that_is_held() -> None:
    """In cells, reservoir and tail, copies in several cells included, and in what is read."""
    x, ids = cloud("normal", 505, 2, np.random.default_rng(0)), names(505)
    engine = fed(adaptive_engine(2), x, ids)
    other = fed(adaptive_engine(2), x[::-1], ids[::-1])
    engine.merge(other)
    fed(engine, x[:5], names(5, "late "))
    there = sorted(set(held(engine)))
    assert any(name.startswith("late") for name in there)
    for name in there:
        assert engine.label([name], [f"y{name}"]) == 1
    assert engine.label(["nobody"], ["y"]) == 0
    for one in (engine, engine.copy(), read_again(engine)):
        members = adaptive_sketch(one).members()
        nearest = [member for member in adaptive_sketch(one).cells.nearest if member is not None]
        assert {f"y{member.id}" == member.label for member in [*members, *nearest]} == {True}
        assert one.change_counts()["num_label_missed"] == 1


def rows_that_stay(label: str | None) -> set[str]:
    """Return what is left of the first rows of a coreset, labelled or not, later in a stream."""
    x, ids = cloud("clusters", 3_000, 3, np.random.default_rng(0)), names(3_000)
    engine = fed(adaptive_engine(3), x[:600], ids[:600])
    first = engine.coreset().ids.tolist()
    if label is not None:
        assert engine.label(first, [label] * len(first)) == len(first)
    fed(engine, x[600:], ids[600:])
    check(engine)
    return set(first) & set(engine.coreset().ids)


def test_rows_that_are_labelled_stay() -> None:
    """Far more often than others; what the label says decides nothing."""
    assert len(rows_that_stay("y")) >= 15
    assert len(rows_that_stay(None)) <= 5
    assert rows_that_stay("y") == rows_that_stay("z")


def test_less_room_gives_up_what_has_no_label() -> None:
    """Where the reservoir becomes smaller, cells hold the labelled samples that it drops."""
    x, ids = cloud("clusters", 3_000, 8, np.random.default_rng(0)), names(3_000)
    engine = fed(adaptive_engine(8, 20, 200), x, ids)
    labelled = sorted({each.id for each in sketch_of(engine).reservoir.members})
    engine.label(labelled, ["y"] * len(labelled))
    smaller = read_again(engine, keep=100)
    check(smaller)
    assert len(set(labelled) & set(held(smaller))) > 0.8 * len(labelled)


def test_labels_of_all_samples_decide_nothing() -> None:
    """Where each sample has a label none is preferred."""
    x, ids = cloud("clusters", 900, 3, np.random.default_rng(0)), names(900)
    plain, labelled = adaptive_engine(3).partial_fit(x, ids=ids), adaptive_engine(3)
    labelled.partial_fit(x, np.arange(900), ids=ids)
    assert labelled.coreset().ids.tolist() == plain.coreset().ids.tolist()
    assert labelled.weights_.tolist() == plain.weights_.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_it_does_not_matter_which_engine_is_merged_into_which(kind: str, seed: int) -> None:
    """The snapshot is the same; the same samples in both, and equal cells, decide nothing."""
    rng = np.random.default_rng(seed)
    x, ids = cloud(kind, 300, 2, rng), names(300)
    shares = {"apart": (x[:150], ids[:150], x[150:], ids[150:]),
              "shared": (x[:200], ids[:200], x[100:], ids[100:]),
              "equal": (x, ids, x, names(300, "other ")),
              "same": (x, ids, x[::-1], ids[::-1])}  # fmt: skip
    for mine, of_mine, theirs, of_theirs in shares.values():
        a = fed(adaptive_engine(2), mine, of_mine)
        b = fed(adaptive_engine(2), theirs, of_theirs)
        for engine in (a, b):
            labelled = sorted(set(held(engine)))[seed::4]
            engine.label(labelled, ["label"] * len(labelled))
        one, other = merged(a.copy(), b), merged(b.copy(), a)
        check(one)
        assert one.snapshot().id == other.snapshot().id
        for engine in (one, other):
            for name in sorted(set(held(engine)))[::3]:
                engine.forget(name)
            check(engine)
        assert totals(one) == totals(other)
        assert one.snapshot().id == other.snapshot().id
        more = cloud(kind, 100, 2, rng)
        fed(one, more, names(100, "more ")), fed(other, more, names(100, "more "))
        assert one.snapshot().id == other.snapshot().id


def parts(number: int, size: int) -> list[Samples]:
    """Return the samples of partitions, named by partition and offset."""
    rng = np.random.default_rng(2)
    return [
        Samples(
            x=cloud("normal", size, 3, rng),
            ids=names(size, f"{part}-"),
            labels=as_objects([0] * size),
            origins=as_objects([Origin("events", part, at, 1_000 * at) for at in range(size)]),
        )
        for part in range(number)
    ]


@pytest.mark.parametrize("size", [30, 400])
def test_changes_reach_other_parts_whatever_the_order_of_merging(size: int) -> None:
    """Requests to forget and labels that came to another part: the same sums and counts."""
    cut = parts(3, size)
    engines = []
    for part in cut:
        engine = adaptive_engine(3)
        engine.update(part)
        engines.append(engine)
    gone, named = held(engines[0])[:2], held(engines[0])[2:4]
    changes: list[Change] = [
        *(Forget(name, origin=Origin("events", 1, size + at, 10**6)) for at, name in
          enumerate([*gone, "nobody"])),
        *(LateLabel(name, "late", origin=Origin("events", 2, size + at, 10**6)) for at, name in
          enumerate([*named, "no one"])),
    ]  # fmt: skip
    for change in changes:
        engines[1 if isinstance(change, Forget) else 2].change(change)
    x = np.concatenate([part.x for part in cut])
    ids = np.concatenate([part.ids for part in cut])
    expected = recounted(x[~np.isin(ids, gone)], adaptive_generation(3))
    for order in permutations(range(3)):
        first, *others = [read_again(engines[number]) for number in order]
        for other in others:
            first.merge(other)
            check(first)
        counts = first.change_counts()
        assert counts["num_forgotten"] + counts["num_forget_missed"] == 3
        assert counts["num_labelled"] + counts["num_label_missed"] == 3
        assert totals(first)[0] == 3 * size - counts["num_forgotten"]
        if size == 30:  # all are held still when the request comes
            assert totals(first) == expected
            assert counts["num_forgotten"] == counts["num_labelled"] == 2
        labels = {member.id: member.label for member in adaptive_sketch(first).members()}
        assert not set(gone) & labels.keys()
        assert {labels[name] for name in named if name in labels} <= {"late"}


def test_engines_with_other_settings_are_not_merged() -> None:
    """Nor with fixed cells; the sentence names what differs, and nothing changes."""
    x = cloud("normal", 100, 2, np.random.default_rng(0))
    engine = fed(adaptive_engine(2), x, names(100))
    for others in ({"keep": 70}, {"demand_power": 0.5}, {"min_distance": 0.1}, {"budget": 10}):
        (name,) = others
        other = adaptive_engine(2, **others).partial_fit(x)
        before = comparable(engine)
        with pytest.raises(ConfigError, match=rf"cannot merge .*{name}: "):
            engine.merge(other)
        assert comparable(engine) == before
    fixed = EchoCoreset(20, latent="identity").fit(x)
    with pytest.raises(ConfigError, match="cannot merge sketches of generations"):
        engine.merge(fixed)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_n(kind: str) -> None:
    """Each row represents itself and others, and all rows everything."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        ids = as_objects(rng.integers(0, 400, 500).astype(str).tolist())
        engine = fed(adaptive_engine(2, min_distance=0.05 * seed), cloud(kind, 500, 2, rng), ids)
        weights = engine.snapshot().rows.weights
        assert weights.sum() == pytest.approx(500)
        assert weights.min() >= 1


def test_rows_are_ranked_within_their_cell() -> None:
    """The first row of each cell has rank 1, the next one 2, in the order of selection."""
    x = cloud("lattice", 500, 2, np.random.default_rng(0))
    engine = fed(adaptive_engine(2, budget=60, keep=60), x, names(500))
    rows, seen = engine.snapshot().rows, Counter[Any]()
    for cell, rank in zip(rows.cells, rows.ranks_in_cell.tolist(), strict=True):
        seen[cell] += 1
        assert rank == seen[cell]
    assert max(seen.values()) > 1


@pytest.mark.parametrize("keep", [20, 30, 59, 60, 61, 200, 5_000])
@pytest.mark.parametrize("at", [4, 95, 399])
def test_keep_may_change(keep: int, at: int) -> None:
    """Less is held at once, or more from then on; sums stay exact, the reservoir uniform."""
    x, ids = cloud("clusters", 900, 2, np.random.default_rng(0)), names(900)
    engine = read_again(fed(adaptive_engine(2), x[:at], ids[:at]), keep=keep)
    check(engine)
    assert totals(engine) == recounted(x[:at], engine.generation_)
    fed(engine, x[at:], ids[at:])
    check(engine)
    assert totals(engine) == recounted(x, engine.generation_)
    assert num_payloads(engine) > 0.6 * min(20 + keep, 900 - at)
    reservoir = sketch_of(engine).flushed().reservoir
    whole = sketch_of(fed(adaptive_engine(2, 20, 20_000), x, ids)).flushed().reservoir
    first = [member.id for member in reservoir.members]
    assert first == [member.id for member in whole.members][: len(first)]


def test_many_cells_become_few_where_keep_does() -> None:
    """Even where not all pairs of cells are compared."""
    x = cloud("normal", 6_000, 2, np.random.default_rng(0))
    engine = read_again(adaptive_engine(2, 1, 7_000).partial_fit(x), keep=1)
    check(engine)
    assert num_payloads(engine) <= 4
    assert totals(engine) == recounted(x, engine.generation_)


def test_a_smaller_reservoir_stays_uniform_when_it_grows() -> None:
    """What a larger one would have held, but was dropped, is missed; what came later is not."""
    x, ids = cloud("normal", 4_000, 2, np.random.default_rng(0)), names(4_000)
    engine = fed(adaptive_engine(2, 20, 80), x[:2_000], ids[:2_000])
    grown = fed(read_again(engine, keep=980), x[2_000:], ids[2_000:])
    numbers = [int(member.id) for member in sketch_of(grown).flushed().reservoir.members]
    assert len(numbers) < 60  # not filled up with what came later
    assert 0.2 < np.mean(np.array(numbers) < 2_000) < 0.8


@pytest.mark.parametrize("name", ["budget", "seed", "demand_power", "min_distance", "preset"])
def test_other_settings_may_not_change(name: str) -> None:
    """They are named; with fixed cells the state is not read either."""
    engine = fed(adaptive_engine(2), np.eye(2, dtype=np.float32), names(2))
    changed = {name: {"min_distance": 1.0, "demand_power": 0.0}.get(name, 9)}
    given = engine.config.to_json() | changed
    if name == "preset":
        given = EngineConfig(budget=20, preset="fixed").to_json()
    with pytest.raises(ConfigError, match=name):
        EchoCoreset.from_state(engine.to_state(), config=EngineConfig(**given))


def bounded(kind: str, seed: int) -> tuple[float, float | None]:
    """Return the average similarity of a random stream to its coreset, and the bound on it."""
    rng = np.random.default_rng(seed)
    dim, size = int(rng.integers(1, 8)), int(rng.integers(1, 600))
    x = cloud(kind, size, dim, rng)
    if rng.random() < 0.3:
        x = x[np.argsort(x[:, 0])]
    ids = as_objects(rng.integers(0, size * 3, size).astype(str).tolist())
    budget = int(rng.integers(1, 40))
    keep = budget + int(rng.integers(0, 60))
    engine = fed(adaptive_engine(dim, budget, keep), x, ids, 200)
    if rng.random() < 0.3:
        engine.merge(fed(adaptive_engine(dim, budget, keep), x[::-2], names(len(x[::-2]), "o")))
        x = np.concatenate([x, x[::-2]])
    snapshot = engine.snapshot()
    spacing, width = engine.generation_.latent_spacing, snapshot.manifest["width"]
    z = np.rint(x.astype(np.float64) / spacing) * spacing
    squares = cdist(z, snapshot.rows.latents, "sqeuclidean").min(axis=1)
    return float(np.exp(-squares / (2 * width**2)).mean()), snapshot.manifest["coverage_at_least"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_stream_is_covered_less_than_is_said(kind: str) -> None:
    """The bound is never above the true average similarity of all samples ever counted."""
    for seed in range(34):
        true, at_least = bounded(kind, seed)
        assert at_least is not None
        assert 0 <= at_least <= true + 1e-12 <= 1 + 1e-9
        assert kind != "constant" or at_least > 0.999  # and it says something


def test_nothing_is_said_where_a_square_was_cut() -> None:
    """Of a sample far beyond the training data |z|^2 is not known: no bound is printed."""
    x = cloud("normal", 300, 2, np.random.default_rng(0))
    engine = fed(adaptive_engine(2), x, names(300))
    assert engine.snapshot().manifest["coverage_at_least"] > 0
    far = engine.copy().partial_fit(np.full((1, 2), 9.0, np.float32), ids=["far"])
    for one in (far, read_again(far), merged(engine, far)):
        assert one.snapshot().manifest["coverage_at_least"] is None
        assert one.snapshot().manifest["coverage"] > 0


def test_few_samples_are_all_chosen() -> None:
    """Up to the budget each sample is a row of weight 1; equal ones may share one."""
    different = np.random.default_rng(0).normal(0, 0.3, (15, 2)).astype(np.float32)
    for size in (1, 2, 5, 8, 9, 15):
        snapshot = adaptive_engine(2).partial_fit(different[:size], ids=names(size)).snapshot()
        assert sorted(snapshot.rows.samples.ids) == sorted(names(size))
        assert snapshot.rows.weights.tolist() == [1] * size
        assert snapshot.manifest["coverage"] == pytest.approx(1)
        equal = adaptive_engine(2).partial_fit(different[[0] * size], ids=names(size)).snapshot()
        assert equal.rows.weights.sum() == pytest.approx(size)
        assert equal.manifest["coverage_at_least"] == pytest.approx(1, abs=1e-5)


def test_two_different_samples_get_their_share() -> None:
    """Of two values each is chosen first, and their rows have the weight of their copies."""
    x = np.repeat(np.array([[0, 1], [1, 0]], np.float32), (300, 100), axis=0)
    order = np.random.default_rng(0).permutation(400)
    rows = fed(adaptive_engine(2), x[order], names(400)).snapshot().rows
    first = rows.latents[:2]
    assert sorted(first.tolist()) == [[0, 1], [1, 0]]
    is_first = np.all(rows.latents == [0, 1], axis=1)
    assert rows.weights[is_first].sum() == pytest.approx(300)
    assert rows.weights[~is_first].sum() == pytest.approx(100)


def test_rare_regions_come_first_with_a_lower_power() -> None:
    """Three samples far away of a thousand are chosen the earlier the less mass counts."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 0.2, (997, 2)), [[1.5, 1.5]] * 3]).astype(np.float32)
    x, places = x[rng.permutation(1_000)], list[int]()
    for power in (0.0, 0.5, 1.0):
        engine = fed(adaptive_engine(2, 60, 80, demand_power=power), x, names(1_000))
        is_far = engine.snapshot().rows.latents[:, 0] > 1
        places.append(int(np.flatnonzero(is_far)[0]))
    assert places[0] < places[1] < places[2]


def test_config_of_adaptive_cells() -> None:
    """Nothing of fixed cells is in it."""
    config = adaptive_config()
    assert (config.rank, config.support, config.auto_regenerate) == (None, 0, False)


def test_what_needs_fixed_cells_is_refused() -> None:
    """Regenerating and repairing name the setting, and change nothing."""
    x = cloud("clusters", 600, 3, np.random.default_rng(0))
    engine = adaptive_engine(3).partial_fit(x)
    before = comparable(engine)
    for refused in (engine.regenerate, lambda: engine.repair(x)):
        with pytest.raises(ConfigError, match=r"is for fixed cells.*set preset to fixed"):
            refused()
    assert comparable(engine) == before


def test_cells_and_samples_can_be_explained() -> None:
    """Of each cell what is held and dropped, of each row what it represents: all of N."""
    x = cloud("clusters", 600, 3, np.random.default_rng(0))
    engine = fed(adaptive_engine(3), x, names(600))
    snapshot = engine.snapshot()
    explained = [engine.explain(cell) for cell in snapshot.cells.cells]
    assert sum(cell["count"] for cell in explained) == 600
    assert all(0 <= cell["core"]["num_held"] <= cell["count"] for cell in explained)
    represented = [engine.why(name)["samples"][0] for name in snapshot.rows.samples.ids]
    assert [sample["core"]["rank"] for sample in represented] == list(range(1, 21))
    assert sum(sample["covers"]["samples"] for sample in represented) == pytest.approx(600)
    assert sum(sample["covers"]["cells"] for sample in represented) == len(explained)


@pytest.mark.parametrize("labels", [None, "some"])
def test_batches_labels_and_held_out_samples(labels: str | None) -> None:
    """A batch is counted exactly; held-out samples are in no sum and no row."""
    x = cloud("clusters", 900, 3, np.random.default_rng(0))
    y = None if labels is None else as_objects([str(row % 3) if row % 2 else None
                                                for row in range(900)])  # fmt: skip
    config = adaptive_config(latent="identity", warmup=100)
    batch = EchoCoreset.from_config(config).fit(x, y, ids=names(900))
    assert totals(batch) == recounted(x, batch.generation_)
    check(batch)
    held_out = EchoCoreset.from_config(adaptive_config(latent="identity", warmup=100, holdout=0.2))
    held_out.partial_fit(x, y, ids=names(900))
    snapshot = held_out.snapshot()
    assert snapshot.held_out is not None
    kept_out = set(snapshot.held_out.ids)
    assert 100 < len(kept_out) < 300
    assert not kept_out & set(snapshot.rows.samples.ids)
    counted = x[[row for row in range(900) if str(row) not in kept_out]]
    assert totals(held_out) == recounted(counted, held_out.generation_)
    assert snapshot.rows.weights.sum() == pytest.approx(len(counted))


def first_two(samples: torch.Tensor) -> torch.Tensor:
    """Return the first two values of samples."""
    return samples[:, :2]


def test_features_are_measured_and_payloads_kept() -> None:
    """With features cells lie among these, and rows are what arrived."""
    x = cloud("normal", 500, 6, np.random.default_rng(0))
    engine = EchoCoreset(
        20, keep=60, latent="identity", warmup=100, features=first_two
    ).partial_fit(x, ids=names(500))
    again = EchoCoreset.from_state(engine.to_state(), features=first_two)
    assert totals(again) == recounted(x[:, :2], engine.generation_)
    rows = engine.snapshot().rows
    assert rows.samples.x.tolist() == x[rows.samples.ids.astype(int)].tolist()
    engine.forget(rows.samples.ids[0])
    check(engine)
    assert totals(engine)[0] == 499


def test_mean_squared_distance_is_that_of_everything_counted() -> None:
    """With one row all samples are represented by it, whichever cells they have been merged to."""
    x = np.random.default_rng(5).normal(size=(700, 3)).astype(np.float32)
    snapshot = adaptive_engine(3, 1, 30).partial_fit(x).snapshot()
    (row,) = snapshot.rows.samples.x
    stated = snapshot.manifest["mean_squared_distance"]
    assert stated == pytest.approx(np.square(x - row).sum(axis=1).mean(), rel=1e-5)


def test_no_sample_is_farther_from_its_row_than_from_the_nearest() -> None:
    """What is stated of several rows is no less than the mean over the nearest ones."""
    x = np.random.default_rng(6).normal(size=(700, 3)).astype(np.float32)
    snapshot = adaptive_engine(3, 20, 60).partial_fit(x).snapshot()
    squares = np.square(x[:, None] - snapshot.rows.samples.x).sum(axis=2)
    nearest = float(squares.min(axis=1).mean())
    assert nearest <= snapshot.manifest["mean_squared_distance"] < 2 * nearest


def test_few_samples_to_keep_are_refused() -> None:
    """Cells that have been merged must still hold as many samples as there are rows."""
    with pytest.raises(ConfigError, match="keep must be at least 20, the budget; got 19"):
        adaptive_config(20, 19)
    with pytest.raises(ConfigError, match="keep 30 is not for preset fixed; leave it out, or set"):
        EngineConfig(budget=20, keep=30, preset="fixed")
