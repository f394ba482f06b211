"""A classifier that learns from few labels, as an estimator of scikit-learn's and river's kind."""

import copy
import pickle
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from river import evaluate, metrics, preprocessing
from river.datasets import Phishing
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import estimator_checks_generator

from echo_stream import EchoClassifier, EchoCoreset, load_encoder
from echo_stream.errors import ConfigError, DataError, ShapeError
from tests.support.encoders import WORDS

X, Y = load_digits(return_X_y=True)
TRAIN, TEST = slice(0, 1_200), slice(1_200, None)

# What scikit-learn checks of other kinds of classifier, or of itself, and why not of this one.
# A check that is listed and passes is an error.
NOT_APPLICABLE = {
    "check_array_api_input": "needs SCIPY_ARRAY_API in the environment before scipy is imported",
    "check_classifiers_classes": "takes -1 for a class; here it says that there is no label",
    "check_complex_data": "gives a complex y, too, which is refused first, in other words",
}


def small() -> EchoClassifier:
    """Return a classifier that holds few samples."""
    return EchoClassifier(EchoCoreset(40, keep=400, device="cpu"))


def few_labels(number: int) -> Any:
    """Return the labels of the first digits, the others unknown."""
    return np.where(np.arange(TRAIN.stop) < number, Y[TRAIN], -1)


def checks() -> list[Any]:
    """Return (check, name) for each check that scikit-learn has for the classifier."""
    found = estimator_checks_generator(small(), mark=None)
    named = [(check, check.func.__name__) for _, check in found]
    return [pytest.param(check, name, id=name) for check, name in named]


@pytest.mark.filterwarnings("ignore:Estimator EchoClassifier .*:UserWarning")
@pytest.mark.parametrize(("check", "name"), checks())
def test_scikit_learns_checks(check: Callable[[Any], None], name: str) -> None:
    """Each check passes, but those that are listed with a reason, and they do not."""
    if name not in NOT_APPLICABLE:
        check(small())
        return
    with pytest.raises((AssertionError, SkipTest)):
        check(small())


def test_the_list_names_checks_that_there_are() -> None:
    """A name that scikit-learn has given up would be a line without a meaning."""
    assert set(NOT_APPLICABLE) <= {parameters.values[1] for parameters in checks()}


def test_few_labels_are_worth_more_than_alone() -> None:
    """Of a stream of digits, thirty are labelled."""
    labels = few_labels(30)
    model = EchoClassifier().partial_fit(X[TRAIN], labels)
    alone = LogisticRegression(max_iter=1_000).fit(X[:30], Y[:30])
    assert model.score(X[TEST], Y[TEST]) > alone.score(X[TEST], Y[TEST]) + 0.03


def test_labels_come_later() -> None:
    """First none, then those of the coreset; the samples are not sent again."""
    model = small().partial_fit(X[TRAIN])
    assert len(model.classes_) == 0
    with pytest.raises(DataError, match="no sample that is held is labelled"):
        model.predict(X[TEST])
    chosen = model.coreset_.coreset().ids
    assert model.label(chosen, Y[chosen.astype(int)]) == len(chosen)
    assert model.classes_.tolist() == np.unique(Y[chosen.astype(int)]).tolist()
    assert model.score(X[TEST], Y[TEST]) > 0.8


@pytest.mark.parametrize("cut", [7, 500])
def test_batches_of_any_size_give_the_same(cut: int) -> None:
    """The same probabilities, bit for bit."""
    labels = few_labels(100)
    whole = small().partial_fit(X[TRAIN], labels)
    parts = small()
    for start in range(0, len(labels), cut):
        rows = slice(start, min(start + cut, len(labels)))
        parts.partial_fit(X[rows], labels[rows])
    assert (parts.predict_proba(X[TEST]) == whole.predict_proba(X[TEST])).all()


@pytest.mark.parametrize("unknown", [None, float("nan"), -1, -1.0])
def test_what_is_unknown(unknown: Any) -> None:
    """-1, None and NaN all say that there is no label."""
    given = [label if label >= 0 else unknown for label in few_labels(80).tolist()]
    model = small().fit(X[TRAIN], given)
    expected = small().fit(X[TRAIN], few_labels(80))
    assert model.classes_.tolist() == list(range(10))
    assert (model.predict_proba(X[TEST]) == expected.predict_proba(X[TEST])).all()


def test_labels_may_be_text() -> None:
    """Classes are in order, and predictions of the same kind."""
    names = [f"digit {label}" if label >= 0 else None for label in few_labels(80).tolist()]
    model = small().fit(X[TRAIN], names)
    assert model.predict(X[TEST])[0] == f"digit {Y[TEST][0]}"
    assert model.classes_.tolist() == sorted({f"digit {digit}" for digit in range(10)})


def test_a_label_that_the_classifier_does_not_know() -> None:
    """Given to the coreset behind its back, it is an error that says where to give it."""
    model = small().partial_fit(X[:50], Y[:50])
    model.coreset_.label([0], ["zero"])
    with pytest.raises(DataError, match="label 'zero' is not among the classes; give it by"):
        model.predict(X[:1])
    model.label([0], ["zero"])
    assert model.classes_.tolist()[-1] == "zero"
    assert model.predict_proba(X[:1])[0, -1] > 0


def test_nothing_held_is_labelled_any_more() -> None:
    """The one label is of a sample that is not held, or was forgotten."""
    model = small().partial_fit(X[:50])
    assert model.label(["never seen"], [1]) == 0
    assert model.predict_proba_one(dict(enumerate(X[0]))) == {}
    with pytest.raises(DataError, match="no sample that is held is labelled"):
        model.predict(X[:1])


def test_classes_that_are_expected_have_a_column() -> None:
    """Of zeros, until a sample of theirs is labelled."""
    model = small().partial_fit(X[:300], np.minimum(Y[:300], 1), classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]
    shares = model.predict_proba(X[TEST])
    assert not shares[:, 2].any()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    model.label([0], [2])
    assert model.predict_proba(X[:1])[0, 2] > 0


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "requires y to be passed"),
        ([-1, -1], "none of 2 labels is known"),
        (np.array(["a", -1]), "row 1 is the text '-1'; give None"),
        ([0.5, 1.25], "Unknown label type: continuous"),
        ([1], "inconsistent|2 samples|1 values"),
    ],
)
def test_labels_that_are_none(y: Any, words: str) -> None:
    """Each is refused, and the classifier stays unfitted."""
    model = small()
    with pytest.raises(ValueError, match=words):
        model.fit(X[:2], y)
    with pytest.raises(NotFittedError):
        model.predict(X[:2])


def test_what_cannot_be_a_late_label() -> None:
    """-1 is unknown, and of a classifier that has seen nothing there is nothing to label."""
    with pytest.raises(NotFittedError):
        small().label([0], [1])
    model = small().partial_fit(X[:50])
    with pytest.raises(DataError, match="row 1 is -1, which is unknown"):
        model.label([0, 1], [3, -1])
    assert len(model.classes_) == 0


def test_settings_are_checked_when_samples_arrive() -> None:
    """Out of range, they are named."""
    with pytest.raises(ConfigError, match="num_neighbours must be at least 1; got 0"):
        EchoClassifier(num_neighbours=0).fit(X[:5], Y[:5])
    with pytest.raises(ConfigError, match=r"alpha must be .* below 1; got 1"):
        EchoClassifier(alpha=1.0).partial_fit(X[:5], Y[:5])


def test_refused_samples_change_nothing() -> None:
    """A batch of another shape, and one with a label that is none."""
    model = small().partial_fit(X[:300], Y[:300])
    before = model.predict_proba(X[TEST])
    with pytest.raises(ShapeError, match="X has 5 features"):
        model.partial_fit(X[:10, :5], Y[:10])
    with pytest.raises(DataError, match="'-1'"):
        model.partial_fit(X[:2], ["-1", "b"])
    assert model.coreset_.n_seen_ == 300
    assert (model.predict_proba(X[TEST]) == before).all()


def test_what_is_forgotten_has_no_vote() -> None:
    """Of two classes one is forgotten, and no longer predicted."""
    x = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0]])
    model = small().fit(x, [0, 0, 1, 1])
    assert model.predict(x).tolist() == [0, 0, 1, 1]
    for row in (2, 3):
        model.coreset_.forget(row)
    assert model.predict(x).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "copied_by", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_goes_on_apart(copied_by: Callable[[EchoClassifier], EchoClassifier]) -> None:
    """With what was learned, and without touching the original."""
    model = small().partial_fit(X[:300], few_labels(60)[:300])
    before = model.predict_proba(X[TEST])
    copied = copied_by(model).partial_fit(X[300:600], Y[300:600])
    assert (model.predict_proba(X[TEST]) == before).all()
    expected = (
        small().partial_fit(X[:300], few_labels(60)[:300]).partial_fit(X[300:600], Y[300:600])
    )
    assert (copied.predict_proba(X[TEST]) == expected.predict_proba(X[TEST])).all()


def test_texts_are_encoded() -> None:
    """A classifier of texts takes texts."""
    encoder = load_encoder(WORDS)
    texts = ["red apple", "green apple", "fast car", "slow car"] * 5
    model = EchoClassifier(EchoCoreset(10, encoder=encoder, device="cpu"))
    model.fit(texts, ["fruit", None, "traffic", None] * 5)
    assert model.predict(["green apple", "slow car"]).tolist() == ["fruit", "traffic"]


def test_river_evaluates_it() -> None:
    """In a pipeline, one sample after another: predicted, then learned from."""
    pipeline = preprocessing.StandardScaler() | EchoClassifier()
    assert EchoClassifier().predict_one({"a": 1.0}) is None
    assert EchoClassifier().predict_proba_one({"a": 1.0}) == {}
    accuracy = metrics.Accuracy()  # type: ignore[no-untyped-call]  # river's
    assert evaluate.progressive_val_score(Phishing(), pipeline, accuracy).get() > 0.85
    shares = pipeline.predict_proba_one(next(iter(Phishing()))[0])
    assert set(shares) == {0, 1}
    assert sum(shares.values()) == pytest.approx(1)
    assert pipeline.clone()["EchoClassifier"].predict_one({"a": 1.0}) is None


def test_single_samples_are_learned_as_many_are() -> None:
    """By name or in a matrix: the same probabilities, once all votes are new."""
    samples = list(Phishing())[:400]
    names = list(samples[0][0])
    one_by_one = small()
    for x, y in samples:
        one_by_one.learn_one(x, y)
        one_by_one.predict_one(x)
    matrix = np.array([[float(x[name]) for name in names] for x, _ in samples])
    at_once = small().partial_fit(matrix, [y for _, y in samples])
    assert one_by_one.feature_names_in_.tolist() == names
    with pytest.warns(UserWarning, match="valid feature names"):
        shares = one_by_one.predict_proba(matrix)
    assert (shares == at_once.predict_proba(matrix)).all()
