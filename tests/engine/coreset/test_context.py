"""The context of a snapshot: all that is held beside its rows, and what labels say of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from echo_stream import EchoCoreset, Snapshot, spread_labels
from echo_stream._common.typing import Array, Label
from echo_stream.coreset.building import with_labels
from echo_stream.errors import ConfigError

N = 400
SETTINGS: tuple[dict[str, Any], ...] = (
    {"preset": "adaptive", "keep": 60},
    {"preset": "fixed", "warmup": 100},
    {"preset": "paper", "warmup": 100, "epochs": 2},
)


def blobs(dim: int = 5, *, seed: int = 0) -> tuple[Array, Array]:
    """Return points of four separate clusters in random order, and the cluster of each."""
    x, y, *_ = make_blobs(N, dim, centers=4, cluster_std=0.6, random_state=seed)
    return x.astype(np.float32), y


def counted(size: int = N, y: object = None, **settings: Any) -> EchoCoreset:
    """Return an engine that has counted the points in batches of a size."""
    x, _ = blobs()
    engine = EchoCoreset(20, device="cpu", **settings)
    for start in range(0, N, size):
        rows = slice(start, start + size)
        engine.partial_fit(x[rows], None if y is None else y[rows])  # type: ignore[index]
    return engine


def ids(snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """Return the ids of rows and context."""
    assert snapshot.context is not None
    return snapshot.rows.samples.ids.tolist(), snapshot.context.samples.ids.tolist()


def bought(snapshot: Snapshot, number: int) -> tuple[Snapshot, dict[str, Label]]:
    """Return the snapshot with labels for its first rows, and these."""
    _, y = blobs()
    labels: dict[str, Label] = {one: f"c{y[int(one)]}" for one in ids(snapshot)[0][:number]}
    return with_labels(snapshot, list(labels.items()))[0], labels


@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_and_context_are_all_that_is_held(settings: dict[str, Any]) -> None:
    """Each sample is in one of the two; cells and z are those that it was counted by."""
    engine = counted(**settings)
    snapshot = engine.snapshot()
    context = snapshot.context
    assert context is not None
    rows, others = ids(snapshot)
    held, _ = engine.held()
    assert sorted({*rows, *others}) == sorted(set(held.ids.tolist()))
    assert len(others) == len(set(others)) == snapshot.manifest["num_context"] > 0
    assert not set(rows) & set(others)
    x, _ = blobs()
    assert context.samples.x.tolist() == x[np.array(others, int)].tolist()
    assert set(context.cells) <= set(snapshot.cells.cells)
    assert context.latents.shape == (len(others), snapshot.rows.latents.shape[1])


@pytest.mark.parametrize("settings", SETTINGS)
def test_batch_sizes_change_nothing(settings: dict[str, Any]) -> None:
    """The order is of the ids alone."""
    found = [ids(counted(size, **settings).snapshot())[1] for size in (7, N)]
    assert found[0] == found[1]


def test_it_can_be_left_out() -> None:
    """A setting decides; the snapshot says that there is none."""
    snapshot = counted(keep=60, snapshot_context=False).snapshot()
    assert snapshot.context is None
    assert snapshot.manifest["num_context"] is None
    assert len(snapshot.held()[0]) == len(snapshot.rows) == 20


def test_snapshots_of_a_warm_up_have_it() -> None:
    """What is buffered is held."""
    snapshot = counted(keep=500, warmup=500).snapshot()
    assert snapshot.manifest["provisional"]
    assert sum(map(len, ids(snapshot))) == N


def test_forgotten_samples_are_not_in_it() -> None:
    """A sample that is no longer held is missing from later snapshots."""
    engine = counted(keep=60)
    name = ids(engine.snapshot())[1][0]
    engine.forget(name)
    rows, others = ids(engine.snapshot())
    assert name not in {*rows, *others}


def test_late_labels_reach_it() -> None:
    """They match samples, and make another snapshot."""
    snapshot = counted(keep=60).snapshot()
    name = ids(snapshot)[1][3]
    labelled, num_matched = with_labels(snapshot, [(name, "late"), ("unknown", "late")])
    assert num_matched == 1
    assert labelled.context is not None
    assert labelled.context.samples.labels is not None
    assert labelled.context.samples.labels.tolist().count("late") == 1
    assert labelled.context.samples.labels[3] == "late"
    assert labelled.id != snapshot.id


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_few_labels_tell_those_of_the_context(settings: dict[str, Any]) -> None:
    """Clusters apart are found from rows with labels, and what is followed is of the cluster."""
    snapshot, labels = bought(counted(**settings).snapshot(), 20)
    samples, _ = snapshot.held()
    assert len(set(labels.values())) == 4
    spread = spread_labels(snapshot)
    truth = [f"c{label}" for label in blobs()[1][samples.ids.astype(int)].tolist()]
    right = spread.labels == truth
    assert right.mean() > 0.98
    assert [truth[row] for row in spread.follows[right]] == spread.labels[right].tolist()
    assert {samples.ids[row] for row in spread.follows} <= labels.keys()


def test_classes_are_equally_frequent_unless_the_stream_has_counted_them() -> None:
    """Labels that were bought say nothing of how frequent they are; those that came all do."""
    y = [["a", "a", "b", None][row % 4] for row in range(N)]  # within clusters, not by them
    snapshot = counted(keep=60).snapshot()
    bought = with_labels(snapshot, [(one, y[int(one)] or "b") for one in ids(snapshot)[0]])[0]
    came = counted(keep=60, y=y).snapshot()
    equal: dict[Label, float] = {"a": 3, "b": 3}
    counted_exactly: dict[Label, float] = {"a": N / 2, "b": N / 4}
    for labelled, frequent in ((bought, equal), (came, counted_exactly)):
        samples, vectors = labelled.held()
        spread = spread_labels(labelled)
        expected, other = (
            spread_labels(vectors, samples.labels, class_counts=counts)
            for counts in (frequent, {**frequent, "b": 900})
        )
        assert spread.confidence.tolist() == expected.confidence.tolist()
        assert spread.confidence.tolist() != other.confidence.tolist()


def test_labels_are_those_of_the_snapshot() -> None:
    """Others cannot be given beside it."""
    snapshot, _ = bought(counted(keep=60).snapshot(), 5)
    with pytest.raises(ConfigError, match="labels are those of the snapshot; leave them out"):
        spread_labels(snapshot, ["a"] * 80)


def test_rows_alone_can_be_spread_over() -> None:
    """A snapshot without a context has its rows."""
    snapshot, labels = bought(counted(keep=60).snapshot(), 5)
    spread = spread_labels(replace(snapshot, context=None))
    assert len(spread.labels) == 20
    assert spread.confidence[:5].tolist() == [1] * len(labels)


def test_texts_at_a_prompt_are_short() -> None:
    """Of a snapshot and its parts, whatever they hold."""
    x = np.random.default_rng(0).normal(size=(500, 30)).astype(np.float32)
    snapshot = EchoCoreset(budget=20).partial_fit(x).snapshot()
    assert snapshot.context is not None
    parts = (snapshot.rows, snapshot.context, snapshot.cells, snapshot.edges)
    assert repr(snapshot) == f"<Snapshot {snapshot.id}: 20 rows of 500 samples>"
    assert repr(snapshot.rows) == "<CoresetRows: 20 rows>"
    assert repr(snapshot.rows.samples) == "<20 samples of shape (30,) and dtype float32>"
    assert max(len(repr(part)) for part in parts) < 80
