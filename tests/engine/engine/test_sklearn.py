"""The engine as an estimator and sampler of scikit-learn's kind."""

import copy
import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimators_partial_fit_n_features,
    estimator_checks_generator,
)
from sklearn.utils.validation import check_is_fitted

from echo_stream import EchoCoreset
from echo_stream.errors import ConfigError, DataError, EchoStreamError, WarmupError
from tests.support.clusters import blobs, rng
from tests.support.same_coreset import comparable
from tests.support.strategies import identity_generation

# What scikit-learn checks of other kinds of estimator, or of itself, and why not of this one.
# A check that is listed and passes is an error: the list says what is, not what may be.
NOT_APPLICABLE = {
    "check_array_api_input": "needs SCIPY_ARRAY_API in the environment before scipy is imported",
}
ESTIMATORS = [
    EchoCoreset(20, device="cpu", preset="fixed"),
    EchoCoreset(20, preset="paper", epochs=1, device="cpu"),
]
# Run for clusterers, and for scikit-learn's own estimators, but as true of this one.
MORE_CHECKS = [check_estimators_partial_fit_n_features, check_dataframe_column_names_consistency]

Check = Callable[[Any], None]


def checks() -> list[Any]:
    """Return (estimator, check) for each check that scikit-learn has for the estimators."""
    found = []
    for estimator in ESTIMATORS:
        for _, check in estimator_checks_generator(estimator, mark=None):
            name = check.func.__name__
            found.append(pytest.param(estimator, check, name, id=f"{estimator.preset}-{name}"))
    return found


@pytest.mark.filterwarnings("ignore:Estimator EchoCoreset .*:UserWarning")
@pytest.mark.parametrize(("estimator", "check", "name"), checks())
def test_scikit_learns_checks(estimator: EchoCoreset, check: Check, name: str) -> None:
    """Each check passes, but those that are listed with a reason, and they do not."""
    if name not in NOT_APPLICABLE:
        check(estimator)
        return
    with pytest.raises((AssertionError, SkipTest)):
        check(estimator)


def test_the_list_names_checks_that_there_are() -> None:
    """A name that scikit-learn has given up would be a line without a meaning."""
    assert set(NOT_APPLICABLE) <= {parameters.values[2] for parameters in checks()}


@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda check: str(check.__name__))
def test_scikit_learns_other_checks(check: Callable[[str, Any], None]) -> None:
    """Column names and numbers of features must stay what they were."""
    check("EchoCoreset", EchoCoreset(20, device="cpu", preset="fixed"))


def test_parameters_are_stored_and_checked_when_samples_arrive() -> None:
    """A constructor that raised would break clone and grid search; `config` checks them."""
    engine = EchoCoreset(0, device="nonsense", preset="fixed")
    assert engine.get_params()["budget"] == 0
    x, _ = blobs()
    with pytest.raises(ConfigError, match="budget must be at least 1; got 0"):
        engine.fit(x)
    with pytest.raises(ConfigError, match="budget must be at least 1; got 0"):
        engine.partial_fit(x)
    with pytest.raises(ConfigError, match="device must be auto"):
        engine.set_params(budget=5).fit(x)
    with pytest.raises(ConfigError, match="generation must be a Generation or None; got str"):
        EchoCoreset(5, generation="abc", preset="fixed").fit(x)  # type: ignore[arg-type]  # what is refused
    assert engine.set_params(device="cpu").fit(x).config.budget == 5


def test_parameters_may_be_numbers_of_numpy() -> None:
    """A grid search draws them from arrays; the state holds plain ones."""
    x, _ = blobs()
    plain = EchoCoreset(9, standardise=True, support_share=0.25, device="cpu", preset="fixed").fit(
        x
    )
    drawn = clone(plain).set_params(
        budget=np.int64(9), standardise=np.True_, support_share=np.float32(0.25)
    )
    assert comparable(drawn.fit(x)) == comparable(plain)


def test_parameters_changed_later_wait_for_the_next_fit() -> None:
    """A stream goes on with the settings that it was begun with."""
    x, _ = blobs()
    engine = EchoCoreset(30, device="cpu", generation=identity_generation(3, 3), preset="paper")
    straight = clone(engine).partial_fit(x[:100]).partial_fit(x[100:])
    engine.partial_fit(x[:100]).set_params(budget=7, generation=None, preset="fixed")
    assert comparable(engine.partial_fit(x[100:])) == comparable(straight)
    assert len(engine.fit(x).indices_) == 7


def test_a_clone_has_the_parameters_and_nothing_else() -> None:
    """A generation is a parameter like another: clones of one generation merge."""
    x, _ = blobs()
    engine = EchoCoreset(30, device="cpu", preset="fixed").fit(x)
    given_one = EchoCoreset(
        30, device="cpu", generation=engine.generation_, preset="fixed"
    ).partial_fit(x[:200])
    other = clone(given_one)
    assert other.n_seen_ == 0
    assert other.generation_.id == engine.generation_.id
    other.partial_fit(x[200:], ids=np.arange(200, 400))
    given_one.merge(other)
    assert given_one.n_seen_ == 400
    assert repr(clone(engine)) == "EchoCoreset(budget=30, device='cpu', preset='fixed')"


def by_joblib(engine: EchoCoreset) -> EchoCoreset:
    """Return an engine that joblib has written and read."""
    file = BytesIO()
    joblib.dump(engine, file)
    file.seek(0)
    restored: EchoCoreset = joblib.load(file)
    return restored


def by_pickle(engine: EchoCoreset) -> EchoCoreset:
    """Return an engine that pickle has written and read."""
    restored: EchoCoreset = pickle.loads(pickle.dumps(engine))
    return restored


@pytest.mark.parametrize("copied_by", [copy.deepcopy, by_pickle, by_joblib])
@settings(max_examples=8, deadline=None)
@given(cut=st.integers(0, 1_500), warmup=st.sampled_from([1, 600, 10_000]))
def test_a_copy_goes_on_bit_for_bit(
    copied_by: Callable[[EchoCoreset], EchoCoreset], cut: int, warmup: int
) -> None:
    """In the warm-up or beyond it, with a tail or without, and apart from the original."""
    x, y = blobs(1_600)
    engine = EchoCoreset(25, warmup=warmup, device="cpu", preset="fixed").partial_fit(
        x[:cut], y[:cut]
    )
    before = comparable(engine)
    copied = copied_by(engine)
    assert copied.get_params() == engine.get_params()
    copied.partial_fit(x[cut:], y[cut:])
    assert comparable(engine) == before
    engine.partial_fit(x[cut:], y[cut:])
    assert comparable(copied) == comparable(engine)


def test_an_unfitted_copy_may_have_bad_parameters() -> None:
    """Parameters are checked when samples arrive, not when an estimator is copied."""
    assert copy.deepcopy(EchoCoreset(-1, preset="fixed")).budget == -1


@pytest.mark.parametrize("preset", ["fixed", "paper"])
def test_fit_resample_returns_the_rows_of_the_coreset(preset: Any) -> None:
    """X and y at `sample_indices_`, core first; under `paper` a sample may be there twice."""
    x, y = blobs()
    engine = EchoCoreset(20, preset=preset, epochs=1, device="cpu")
    x_kept, y_kept = engine.fit_resample(x, y)
    rows = engine.sample_indices_
    np.testing.assert_array_equal(x_kept, x[rows])
    np.testing.assert_array_equal(y_kept, y[rows])
    np.testing.assert_array_equal(rows, engine.indices_)
    assert engine.weights_.sum() == pytest.approx(len(x))
    assert (len(rows), len(np.unique(rows)) == len(rows)) == (
        (20, True) if preset == "fixed" else (20 + len(engine.support_indices_), False)
    )


def test_fit_resample_keeps_the_kind_of_its_arguments() -> None:
    """Frames stay frames, tensors tensors, lists lists; without y there is none."""
    x, y = blobs()
    engine = EchoCoreset(10, device="cpu", preset="fixed")
    frame, series = engine.fit_resample(pd.DataFrame(x, columns=["a", "b", "c"]), pd.Series(y))
    assert frame.index.tolist() == series.index.tolist() == engine.sample_indices_.tolist()
    assert engine.feature_names_in_.tolist() == ["a", "b", "c"]
    tensor, none = engine.fit_resample(torch.from_numpy(x))
    assert isinstance(tensor, torch.Tensor)
    assert none is None
    assert not hasattr(engine, "feature_names_in_")
    rows, labels = engine.fit_resample(x.tolist(), y.tolist())
    assert rows == x[engine.sample_indices_].tolist()
    assert labels == y[engine.sample_indices_].tolist()


def test_labels_and_samples_of_any_shape() -> None:
    """Images, whose values are the features, and labels that are text or missing."""
    images = rng().integers(0, 255, (60, 4, 5)).astype(np.uint8)
    labels = [None if row % 3 == 0 else f"class {row % 2}" for row in range(60)]
    engine = EchoCoreset(12, device="cpu", preset="fixed")
    kept, kept_labels = engine.fit_resample(images, labels)
    assert kept.shape == (12, 4, 5)
    assert kept_labels == [labels[row] for row in engine.sample_indices_]
    assert engine.n_features_in_ == 20


def test_what_there_is_before_the_first_sample() -> None:
    """Attributes of the data are missing, so that hasattr and check_is_fitted tell the truth."""
    engine = EchoCoreset(5, warmup=10, device="cpu", preset="fixed")
    names = ["indices_", "weights_", "generation_", "n_features_in_", "feature_names_in_"]
    assert [hasattr(engine, name) for name in names] == [False] * 5
    with pytest.raises(NotFittedError):
        check_is_fitted(engine)
    engine.partial_fit(blobs(9)[0])
    check_is_fitted(engine)
    assert [hasattr(engine, name) for name in names] == [True, True, False, True, False]
    with pytest.raises(WarmupError, match="9 of 10 samples"):
        _ = engine.generation_
    assert "EchoCoreset" in engine._repr_html_()


def test_a_pipeline_ends_with_the_engine() -> None:
    """Scaled samples go in, and the row numbers are those of the samples before scaling."""
    x, y = blobs()
    pipeline = make_pipeline(StandardScaler(), EchoCoreset(10, device="cpu", preset="fixed")).fit(
        x, y
    )
    alone = EchoCoreset(10, device="cpu", preset="fixed").fit(StandardScaler().fit_transform(x), y)
    rows = pipeline[-1].sample_indices_
    assert rows.tolist() == alone.sample_indices_.tolist()
    model = LogisticRegression().fit(x[rows], y[rows], sample_weight=pipeline[-1].weights_)
    assert model.score(x, y) > 0.95
    assert pipeline.set_params(echocoreset__budget=5).fit(x, y)[-1].sample_indices_.shape == (5,)


def test_column_names_survive_in_the_state() -> None:
    """A restored engine knows the order of the features."""
    frame = pd.DataFrame(blobs()[0], columns=["b", "a", "c"])
    engine = EchoCoreset(10, device="cpu", preset="fixed").partial_fit(frame)
    for restored in (EchoCoreset.from_state(engine.to_state()), copy.deepcopy(engine)):
        assert restored.feature_names_in_.tolist() == ["b", "a", "c"]
        with pytest.raises(ValueError, match="feature names should match"):
            restored.partial_fit(frame[["a", "b", "c"]])


@pytest.mark.parametrize("x", [[[1.0, "a"]], [["1", "2"]], np.array([["1", 2]], dtype=object)])
def test_text_is_no_number(x: Any) -> None:
    """Not even when it looks like one: one TypeError of ours."""
    with pytest.raises(TypeError, match="x has dtype") as caught:
        EchoCoreset(5, preset="fixed").fit(x)
    assert isinstance(caught.value, EchoStreamError)
    assert isinstance(caught.value, DataError)
