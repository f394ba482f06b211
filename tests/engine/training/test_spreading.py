"""Labels reach the vectors around them, and what they say does not depend on the order."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from echo_stream import EchoCoreset, spread_labels
from echo_stream._common.typing import Array, Label
from echo_stream.errors import ConfigError, DataError
from echo_stream.training import spreading
from echo_stream.training.spreading import neighbour_graph


def cloud(n: int, dim: int = 3, *, seed: int = 0) -> Array:
    """Return normal points, float32."""
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def some(n: int, known: dict[int, Label]) -> list[Label]:
    """Return labels of n rows, known for some."""
    return [known.get(row) for row in range(n)]


def test_two_moons_are_told_apart_by_a_label_each() -> None:
    """Along the moons, where straight lines are wrong; what is followed is of the same moon."""
    x, y = make_moons(300, noise=0.05, random_state=0)
    first = [int(np.flatnonzero(y == label)[0]) for label in (0, 1)]
    spread = spread_labels(x, some(300, {row: "ab"[y[row]] for row in first}))
    assert spread.labels.tolist() == ["ab"[label] for label in y]
    assert spread.follows.tolist() == [first[label] for label in y]
    assert spread.is_reached.all()
    assert ((spread.confidence > 0.5) & (spread.confidence <= 1)).all()
    assert spread.confidence[first].tolist() == [1, 1]
    nearest = np.abs(x[:, None] - x[first]).sum(axis=2).argmin(axis=1)
    assert (nearest != y).any()


@pytest.mark.parametrize("k", [4, 59])
def test_spreading_is_the_one_of_scikit_learn(k: int) -> None:
    """On one graph, given as a matrix of all pairs: float32 and 1e-7 are what differs."""
    x = cloud(60)
    x = x[np.argsort(np.linalg.norm(x, axis=1))]
    x = (x - x.mean(axis=0)) / np.abs(x - x.mean(axis=0)).max()  # the graph's scale is free
    labels = [row % 3 if row < 9 else -1 for row in range(60)]
    graph = neighbour_graph(x, k).toarray()
    theirs = LabelSpreading(kernel=lambda *_: graph, alpha=0.9, max_iter=5_000, tol=1e-12)
    theirs.fit(x, labels)
    ours = spread_labels(
        x, [None if label < 0 else label for label in labels], num_neighbours=k, alpha=0.9
    )
    assert ours.labels[9:].tolist() == theirs.transduction_[9:].tolist()
    expected = theirs.label_distributions_.max(axis=1)
    assert ours.confidence[9:] == pytest.approx(expected[9:], abs=1e-5)


def test_the_graph_has_the_nearest_neighbours() -> None:
    """Those of a loop over all pairs, in both directions, with the weights of its formula."""
    x, k = cloud(40, seed=1), 3
    distances = np.linalg.norm(x[:, None] - x, axis=2).astype(np.float64)
    expected = np.zeros((40, 40))
    for row, away in enumerate(distances):
        near = np.argsort(away)[1 : k + 1]
        expected[row, near] = np.exp(-((away[near] / away[near[-1]]) ** 2))
    expected = np.maximum(expected, expected.T)
    assert neighbour_graph(x, k).toarray() == pytest.approx(expected, abs=1e-5)


def test_most_neighbours_of_many_vectors_are_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are a part of all then; whatever they are, each vector has neighbours."""
    x = cloud(3_000, 8, seed=2)
    exact = neighbour_graph(x, 5)
    monkeypatch.setattr(spreading, "EXACT_VECTORS", 2_999)
    monkeypatch.setattr(spreading, "CANDIDATES", 600)
    found = neighbour_graph(x, 5)
    assert (found.toarray() > 0).sum(axis=1).min() >= 5
    assert ((found > 0).multiply(exact > 0)).nnz > 0.75 * exact.nnz


def test_a_component_without_a_label_says_so() -> None:
    """No label, no confidence, nothing that is followed; and no NaN anywhere."""
    x = np.concatenate([cloud(20), cloud(20) + 100])
    spread = spread_labels(x, some(40, {3: 7}), num_neighbours=4)
    assert spread.labels.tolist() == [7] * 20 + [None] * 20
    assert spread.is_reached.tolist() == [True] * 20 + [False] * 20
    assert spread.confidence.tolist() == [1.0] * 20 + [0.0] * 20
    assert spread.follows.tolist() == [3] * 20 + [-1] * 20


def test_a_label_does_not_reach_the_end_of_a_long_chain() -> None:
    """So little of it arrives there that it is none; on the way it does."""
    spread = spread_labels(np.arange(2_000.0)[:, None], some(2_000, {0: "a"}), num_neighbours=2)
    assert spread.is_reached[:20].all()
    assert not spread.is_reached[-1]
    assert np.isfinite(spread.confidence).all()


def test_one_label_a_class_is_enough() -> None:
    """Of ten clusters."""
    y = np.repeat(np.arange(10), 30)
    x = cloud(300) + 20 * np.eye(10, 3)[y] + 15 * y[:, None]
    spread = spread_labels(x, some(300, {30 * label: label for label in range(10)}))
    assert spread.labels.tolist() == y.tolist()
    assert spread.follows.tolist() == (30 * y).tolist()


def test_equal_vectors_are_one_vertex() -> None:
    """However many copies there are, they do not cut themselves off, and have one label."""
    x = np.repeat(cloud(12), 50, axis=0)
    spread = spread_labels(x, some(600, {0: "a", 599: "b"}), num_neighbours=3)
    assert spread.is_reached.all()
    of_points = spread.labels.reshape(12, 50)
    assert all(len(set(copies)) == 1 for copies in of_points.tolist())
    assert spread.labels[0], spread.labels[599] == ("a", "b")
    alone = spread_labels(cloud(12), some(12, {0: "a", 11: "b"}), num_neighbours=3)
    assert of_points[:, 0].tolist() == alone.labels.tolist()
    assert spread.confidence[50:550:50] == pytest.approx(alone.confidence[1:11])


def test_equal_vectors_of_two_labels_keep_them() -> None:
    """And a third copy is as likely the one as the other: the first in order is taken."""
    spread = spread_labels([[1.0], [1.0], [1.0], [2.0]], ["b", "a", None, None])
    assert spread.labels.tolist() == ["b", "a", "a", "a"]
    assert spread.confidence.tolist() == pytest.approx([1, 1, 0.5, 0.5])
    assert spread.follows.tolist() == [0, 1, 1, 1]


def test_the_order_of_rows_decides_nothing() -> None:
    """Bit for bit, copies and ties included: of equal vectors the first is followed."""
    x = np.concatenate([cloud(150, 2).round(1), cloud(50, 2).round(1)])
    labels = np.array(some(200, {row: "abc"[row % 3] for row in range(9)}), dtype=object)
    order = np.random.default_rng(0).permutation(200)
    one, other = spread_labels(x, labels), spread_labels(x[order], labels[order])
    assert other.labels.tolist() == one.labels[order].tolist()
    assert other.confidence.tolist() == one.confidence[order].tolist()
    assert (x[order][other.follows] == x[one.follows][order]).all()
    assert (other.labels[other.follows] == other.labels).all()


@pytest.mark.parametrize(
    ("a", "b"), [(1, 2), ("left", "right"), (0.5, "half"), (np.int64(3), np.str_("x")), (0, -7)]
)
def test_labels_may_be_of_any_type(a: Label, b: Label) -> None:
    """Integers, floats, text, and mixtures of them."""
    spread = spread_labels([[0.0], [0.1], [9.0], [9.1]], [a, None, float("nan"), b])
    plain = [value.item() if isinstance(value, np.generic) else value for value in (a, b)]
    assert spread.labels.tolist() == [plain[0], plain[0], plain[1], plain[1]]
    assert [type(label) for label in spread.labels[1:3]] == [type(value) for value in plain]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool"])
def test_vectors_may_be_of_any_type_and_shape(dtype: str) -> None:
    """And of any scale that float32 has."""
    x = np.zeros((6, 2, 2), dtype)
    x[3:] = 1
    x[[1, 4], 0, 1] = 1
    spread = spread_labels(x, ["a", None, None, None, None, "b"], num_neighbours=1)
    assert spread.labels.tolist() == ["a", "a", "a", "b", "b", "b"]


@pytest.mark.parametrize(("scale", "offset"), [(1e-30, 0), (1e30, 0), (1, 1e6)])
def test_the_scale_of_vectors_does_not_matter(scale: float, offset: float) -> None:
    """Nor where their origin is."""
    x = cloud(60).astype(np.float64)
    labels = some(60, {0: "a", 1: "b", 2: "c"})
    expected = spread_labels(x, labels)
    found = spread_labels(scale * x + offset, labels)
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)


def test_a_single_vector_keeps_its_label() -> None:
    """There are no neighbours then."""
    spread = spread_labels([[1.0, 2.0]], ["only"])
    assert (spread.labels.tolist(), spread.confidence.tolist()) == (["only"], [1.0])


def test_class_counts_give_each_label_its_share() -> None:
    """A label that was given often no longer wins by that alone."""
    x = cloud(400, 2, seed=3)
    left = x[:, 0] < 0
    x[left, 0] -= 1
    labels = some(400, dict.fromkeys(np.flatnonzero(~left)[:40].tolist(), "right"))
    labels[np.flatnonzero(left)[0]] = "left"
    truth = np.where(left, "left", "right")
    without = spread_labels(x, labels, num_neighbours=20)
    counts: dict[Label, float] = {"left": left.sum(), "right": (~left).sum(), "absent": 5}
    given = spread_labels(x, labels, num_neighbours=20, class_counts=counts)
    assert (given.labels == truth).mean() > (without.labels == truth).mean() + 0.01
    doubled = {label: 2 * count for label, count in counts.items()}
    again = spread_labels(x, labels, num_neighbours=20, class_counts=doubled)
    assert again.confidence == pytest.approx(given.confidence)


def test_many_classes_are_spread_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result, class counts included."""
    x = cloud(300)
    labels = some(300, dict(zip(range(50), range(50), strict=True)))
    counts: dict[Label, float] = {label: label + 1 for label in range(50)}
    expected = spread_labels(x, labels, class_counts=counts)
    monkeypatch.setattr(spreading, "CHUNK_CLASSES", 50)
    whole = spread_labels(x, labels, class_counts=counts)
    assert whole.labels.tolist() == expected.labels.tolist()
    assert whole.confidence == pytest.approx(expected.confidence, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_neighbours": 0}, "num_neighbours must be at least 1; got 0"),
        ({"alpha": 1.0}, "alpha must be above 0 and below 1; got 1.0"),
        ({"alpha": float("nan")}, "alpha must be above 0 and below 1; got nan"),
        ({"class_counts": {"b": 2}}, "class_counts must be above 0 for each label given; got 0.0"),
        ({"class_counts": {"a": float("inf")}}, "got inf for 'a'"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], words: str) -> None:
    """With what was given."""
    with pytest.raises(ConfigError, match=words):
        spread_labels([[0.0], [1.0]], ["a", None], **changes)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([None, None], "none of 2 labels is known, so there is none to spread; give at least one"),
        (["a"], "2"),
    ],
)
def test_labels_that_cannot_be_spread_are_refused(labels: list[Label], words: str) -> None:
    """None at all, or of another length."""
    with pytest.raises(DataError, match=words):
        spread_labels([[0.0], [1.0]], labels)


def test_labels_of_a_coreset_are_spread_over_what_the_engine_holds() -> None:
    """Bought for the coreset alone, late, by id: a model learns from all that is held."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 2_000)
    x = (rng.normal(size=(2_000, 6)) + 4 * np.eye(4, 6)[y]).astype(np.float32)
    engine = EchoCoreset(budget=8, warmup=400, preset="fixed").partial_fit(x)
    bought = engine.coreset().ids
    engine.label(bought, y[bought.astype(int)])
    held, vectors = engine.held()
    rows = held.ids.astype(int)
    assert len(held) > 8
    assert set(bought) <= set(held.ids)
    assert (held.x == x[rows]).all()
    assert (vectors == engine.generation_.vectors(x[rows]).numpy()).all()
    assert held.labels is not None
    assert {
        name for name, label in zip(held.ids, held.labels, strict=True) if label is not None
    } == set(bought)
    spread = spread_labels(vectors, held.labels)
    assert (spread.labels[spread.is_reached] == y[rows][spread.is_reached]).mean() > 0.95
    there = spread.is_reached
    model = LogisticRegression().fit(
        held.x[there], spread.labels[there].astype(int), sample_weight=spread.confidence[there]
    )
    assert model.score(x, y) > 0.95


def test_what_is_held_has_the_vectors_of_the_features() -> None:
    """Payloads stay as they came, and samples of a block that is not full are there."""
    x = np.random.default_rng(0).integers(0, 255, (50, 2, 3), dtype=np.uint8)
    engine = EchoCoreset(budget=5, warmup=30, features=doubled_sums, preset="fixed").partial_fit(
        x, y=["a"] * 50
    )
    held, vectors = engine.held()
    rows = held.ids.astype(int)
    assert sorted(rows.tolist()) == list(range(50))
    assert (held.x == x[rows]).all()
    assert (vectors == doubled_sums(x[rows])).all()
    assert held.labels is not None
    assert held.labels.tolist() == ["a"] * 50


def doubled_sums(x: Array) -> Array:
    """Return features of payloads (n, 2, 3): (n, 3), float32."""
    return np.asarray(2 * x.sum(axis=1).astype(np.float32))
