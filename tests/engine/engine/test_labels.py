"""Labels that come after their samples."""

import numpy as np
import pytest

from echo_stream import EchoCoreset, Generation, Snapshot
from echo_stream._common.typing import Array, Label
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.inside import sketch_of
from tests.support.same_coreset import comparable
from tests.support.strategies import codebook_generation, identity_generation

N = 8_000
BUDGET = 20


@pytest.fixture(scope="module")
def x() -> Array:
    """Return a cloud that pools drop most of."""
    return np.random.default_rng(3).random((N, 2)).astype(np.float32)


@pytest.fixture(scope="module", params=["grid", "codebook"])
def generation(request: pytest.FixtureRequest, x: Array) -> Generation:
    """Return a quantiser of either kind."""
    return identity_generation(2, 3) if request.param == "grid" else codebook_generation(x[:9])


@pytest.fixture
def engine(x: Array, generation: Generation) -> EchoCoreset:
    """Return an engine that has counted the cloud, without labels."""
    return EchoCoreset(BUDGET, generation=generation, preset="fixed").partial_fit(x)


def content(snapshot: Snapshot) -> list[object]:
    """Return all that a snapshot selects and proves, but for the labels."""
    rows = snapshot.rows
    return [rows.samples.ids.tolist(), rows.weights.tolist(), rows.certified.tolist()]


def labels_of(engine: EchoCoreset) -> dict[str, Label]:
    """Return the labels of the coreset's rows by id."""
    samples = engine.snapshot().rows.samples
    assert samples.labels is not None
    return dict(zip(map(str, samples.ids), samples.labels, strict=True))


def reread(engine: EchoCoreset) -> EchoCoreset:
    """Return an engine out of the state of another."""
    return EchoCoreset.from_state(engine.to_state())


def test_labels_reach_rows_and_choose_nothing(engine: EchoCoreset, x: Array) -> None:
    """Every row has its label; rows, weights and certificates are as before."""
    before = content(engine.snapshot())
    ids = engine.snapshot().rows.samples.ids.tolist()
    assert engine.label(ids, [f"class {name}" for name in ids]) == len(ids)
    assert labels_of(engine) == {str(name): f"class {name}" for name in ids}
    assert content(engine.snapshot()) == before
    assert engine.repair(ArraySource(as_samples(x))).is_accepted


def test_labels_of_samples_that_nobody_holds_are_missed(engine: EchoCoreset) -> None:
    """A sample that was dropped cannot be told from one never seen."""
    held = {member.id for member in sketch_of(engine).members()}
    dropped = next(row for row in range(N // 2) if str(row) not in held)
    assert engine.label([dropped, "never seen", N - 1], [1, 2, 3]) == 1
    manifest = engine.snapshot().manifest
    assert (manifest["num_labelled"], manifest["num_label_missed"]) == (1, 2)
    manifest = reread(engine).snapshot().manifest
    assert (manifest["num_labelled"], manifest["num_label_missed"]) == (1, 2)


@pytest.mark.parametrize("place", ["warm-up", "tail", "pool"])
def test_a_label_reaches_a_sample_wherever_it_is(
    place: str, x: Array, generation: Generation
) -> None:
    """Held back for the warm-up, waiting for its block, or in a pool."""
    made = {"warm-up": None, "tail": generation, "pool": generation}[place]
    engine = EchoCoreset(BUDGET, generation=made, latent="identity", warmup=50, preset="fixed")
    n = 2_000 if place == "pool" else 40
    engine.partial_fit(x[:n], y=np.zeros(n, int))
    name = engine.snapshot().rows.samples.ids[0] if place == "pool" else 7
    assert engine.label(name, "late") == 1
    again = reread(engine)
    assert comparable(again) == comparable(engine)
    for going_on in (engine, again):
        going_on.partial_fit(x[2_000:2_100])
    assert comparable(again) == comparable(engine)
    members = sketch_of(engine).flushed().members()
    labels = {member.id: member.label for member in members}
    assert labels[str(name)] == "late"
    assert list(labels.values()).count("late") == 1


def test_the_last_label_counts_and_later_samples_keep_theirs(
    x: Array, generation: Generation
) -> None:
    """A label is of the samples before it, the same id or not."""
    engine = EchoCoreset(BUDGET, generation=generation, preset="fixed").partial_fit(
        x[:2], y=[0, 0], ids=["a", "b"]
    )
    engine.label(["a", "a"], [1, 2])
    engine.partial_fit(x[2:3], y=[3], ids=["a"])
    labels = engine.coreset().labels
    assert labels is not None
    assert sorted(labels.tolist()) == [0, 2, 3]


def test_labels_outlive_repair_and_regeneration(x: Array) -> None:
    """The source that is read again knows nothing of them."""
    generation = codebook_generation(x[:9])
    engine = EchoCoreset(
        BUDGET, generation=generation, latent="identity", preset="fixed"
    ).partial_fit(x)
    first = sketch_of(engine).flushed().reservoir.members[:500]
    names = [member.id for member in first]
    assert engine.label(names, ["late"] * len(names)) == len(names)
    source = ArraySource(as_samples(x))
    engine.repair(source)
    engine.regenerate(source)
    engine.regenerate()
    members = sketch_of(engine).members()
    assert {m.id for m in members if m.label == "late"} == set(names) & {m.id for m in members}
    first = sketch_of(engine).reservoir.members[:500]
    assert {member.label for member in first} == {"late"}


def test_what_is_labelled_can_still_be_forgotten_and_read_again(x: Array) -> None:
    """The sample that a source brings again without its label is the same sample."""
    engine = EchoCoreset(BUDGET, generation=codebook_generation(x[:9]), preset="fixed").partial_fit(
        x
    )
    name = engine.snapshot().rows.samples.ids[0]
    engine.label(name, "late")
    assert engine.forget(name) == 1
    report = engine.repair(ArraySource(as_samples(x)))
    assert (report.is_accepted, report.num_forgotten) == (True, 0)
    assert engine.n_seen_ == N - 1


@pytest.mark.parametrize(("mine", "theirs", "expected"), [
    (1, 2, 2), (2, 1, 2), ("a", 5, "a"), (None, 3, 3), (3, None, 3), (1, 1.0, 1.0),
])  # fmt: skip
def test_of_two_labels_the_larger_outlives_a_merge(
    mine: Label, theirs: Label, expected: Label, x: Array, generation: Generation
) -> None:
    """Numbers before text; whichever engine absorbs the other."""

    def side(label: Label, rows: slice) -> EchoCoreset:
        engine = EchoCoreset(BUDGET, generation=generation, preset="fixed")
        engine.partial_fit(x[rows], y=["sent"] * 3, ids=["both", *range(rows.start, rows.stop - 1)])
        if label is not None:
            engine.label("both", label)
        return engine

    left, right = side(mine, slice(0, 3)), side(theirs, slice(3, 6))
    left.merge(side(theirs, slice(3, 6)))
    right.merge(side(mine, slice(0, 3)))
    for merged in (left, right):
        labels = merged.coreset().labels
        assert labels is not None
        found = [(type(label), label) for label in labels.tolist() if label != "sent"]
        assert found == [(type(expected), expected)] * 2
        manifest = merged.snapshot().manifest
        assert manifest["num_labelled"] == sum(label is not None for label in (mine, theirs))


def test_a_merge_leaves_labels_that_arrived_with_their_samples(
    x: Array, generation: Generation
) -> None:
    """The same id twice is two samples, each with its label."""
    left, right = (
        EchoCoreset(BUDGET, generation=generation, preset="fixed").partial_fit(
            x[row : row + 1], y=[row], ids=["a"]
        )
        for row in (0, 1)
    )
    left.merge(right)
    labels = left.coreset().labels
    assert labels is not None
    assert sorted(labels.tolist()) == [0, 1]


def test_a_copy_does_not_hear_of_labels(engine: EchoCoreset) -> None:
    """What has been copied, for a snapshot or a checkpoint, never changes."""
    snapshot, copy = engine.snapshot(), engine.clone(include_attributes=True)
    sketch = sketch_of(engine).copy()
    engine.label(snapshot.rows.samples.ids.tolist(), [1] * len(snapshot.rows))
    assert set(labels_of(copy).values()) == {None}
    assert {member.label for member in sketch.members()} == {None}
    assert snapshot.rows.samples.labels is not None
    assert set(snapshot.rows.samples.labels.tolist()) == {None}


@pytest.mark.parametrize(("ids", "labels", "error", "words"), [
    (["a"], [None], DataError, "row 0 is unknown"),
    (["a", "b"], [1, float("nan")], DataError, "row 1 is unknown"),
    (["a", "b"], [1], ShapeError, "1 values for 2"),
    ([1.5], [1], DataError, "use int, str"),
    (["a"], [2**70], DataError, "64 bits"),
])  # fmt: skip
def test_what_is_no_label_is_refused(
    ids: list[object], labels: list[object], error: type[Exception], words: str,
    engine: EchoCoreset,
) -> None:  # fmt: skip
    """In words, and nothing is labelled."""
    before = comparable(engine)
    with pytest.raises(error, match=words):
        engine.label(ids, labels)
    assert comparable(engine) == before
