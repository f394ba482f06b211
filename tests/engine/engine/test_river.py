"""The engine as a learner of river's kind: one sample as a dict, many as a frame."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.compose import Pipeline
from river.datasets import Phishing
from river.preprocessing import StandardScaler

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.errors import DataError, ShapeError
from tests.support.same_coreset import comparable

SAMPLES = list(Phishing())
NAMES = list(SAMPLES[0][0])
LABELS = np.array([label for _, label in SAMPLES])
MATRIX = np.array([[x[name] for name in NAMES] for x, _ in SAMPLES], dtype=np.float64)


def engine() -> EchoCoreset:
    """Return an engine with a short warm-up."""
    return EchoCoreset(30, warmup=300, device="cpu", preset="fixed")


def by_rows() -> EchoCoreset:
    """Return an engine that has counted the matrix, without names."""
    return engine().partial_fit(MATRIX, LABELS)


def without_names(counted: EchoCoreset) -> tuple[dict[str, bytes], str]:
    """Return an engine's whole state but the names of the features."""
    del counted.feature_names_in_
    return comparable(counted)


def test_one_by_one_is_the_same_as_partial_fit() -> None:
    """Dicts, whatever the order of their keys, are the rows of the matrix."""
    one_by_one = engine()
    for row, (x, y) in enumerate(SAMPLES):
        named = dict(reversed(x.items())) if row % 2 else x
        one_by_one.learn_one(named, y)
    assert one_by_one.feature_names_in_.tolist() == NAMES
    assert one_by_one.n_features_in_ == len(NAMES)
    assert without_names(one_by_one) == comparable(by_rows())


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, len(SAMPLES)), max_size=3).map(sorted))
@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table, dict])
def test_many_at_once_are_the_same_as_one_by_one(kind: Any, cuts: list[int]) -> None:
    """Frames of pandas and pyarrow, and mappings of columns, cut anywhere."""
    many = engine()
    for start, end in zip([0, *cuts], [*cuts, len(SAMPLES)], strict=True):
        columns = {name: MATRIX[start:end, column] for column, name in enumerate(NAMES)}
        many.learn_many(kind(columns), pd.Series(LABELS[start:end]))
    assert without_names(many) == comparable(by_rows())


def scaled() -> Array:
    """Return the samples as river's scaler passes them on, one after the other."""
    scaler, rows = StandardScaler(), []
    for x, _ in SAMPLES:
        scaler.learn_one(x)  # type: ignore[no-untyped-call]  # river's
        rows.append(list(scaler.transform_one(x).values()))  # type: ignore[no-untyped-call]
    return np.array(rows)


def test_a_pipeline_of_river_ends_with_the_engine() -> None:
    """Samples arrive scaled, and with their labels."""
    pipeline = StandardScaler() | engine()
    assert isinstance(pipeline, Pipeline)
    for x, y in SAMPLES:
        pipeline.learn_one(x, y)
    alone = engine().partial_fit(scaled(), LABELS)
    assert without_names(pipeline["EchoCoreset"]) == comparable(alone)
    assert "EchoCoreset(budget=30" in repr(pipeline)


def test_a_pipeline_of_river_can_be_cloned() -> None:
    """With what it has counted or without, and with other parameters."""
    pipeline = Pipeline(StandardScaler(), engine())
    for x, y in SAMPLES[:400]:
        pipeline.learn_one(x, y)
    fresh = pipeline.clone({"EchoCoreset": {"budget": 7}})["EchoCoreset"]
    assert (fresh.budget, fresh.warmup, fresh.n_seen_) == (7, 300, 0)
    copied = pipeline.clone(include_attributes=True)["EchoCoreset"]
    assert comparable(copied) == comparable(pipeline["EchoCoreset"])


def test_a_pipeline_of_river_takes_frames() -> None:
    """learn_many hands a frame and its labels down to the engine."""
    pipeline = Pipeline(StandardScaler(), engine())
    pipeline.learn_many(pd.DataFrame(MATRIX, columns=NAMES), pd.Series(LABELS))
    labels = pipeline["EchoCoreset"].coreset().labels
    assert pipeline["EchoCoreset"].n_seen_ == len(SAMPLES)
    assert set(labels) == {0, 1}


@pytest.mark.parametrize("restore", [False, True])
def test_other_features_than_the_first_are_named(*, restore: bool) -> None:
    """Missing or unknown: nothing is counted, and a restored engine knows as much."""
    counted = engine()
    counted.learn_one({"a": 1, "b": 2.5}, "cat")
    counted = EchoCoreset.from_state(counted.to_state()) if restore else counted
    with pytest.raises(ShapeError, match=r"missing: \['b'\], unknown: \['c'\]"):
        counted.learn_one({"a": 1, "c": 2})
    with pytest.raises(ShapeError, match=r"missing: \['a', 'b'\], unknown: \[\]"):
        counted.learn_one({})
    with pytest.raises(ShapeError, match=r"missing: \[\], unknown: \['c'\]"):
        counted.learn_many({"a": [1], "b": [2], "c": [3]})
    assert counted.n_seen_ == 1
    counted.learn_one({"b": 3, "a": True})
    assert sorted(counted.coreset().x.tolist()) == [[1.0, 2.5], [1.0, 3.0]]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"a": 1, "b": "much"}, "features must be numbers; 'b' is not"),
        ({"a": "1", "b": 1}, "features must be numbers; 'a' is not"),
        ({"a": 1, "b": None}, "features must be numbers; 'b' is not"),
        ({"a": 1, "b": [1, 2]}, "features must be numbers; 'b' is not"),
        ({"a": 1, "b": 10**400}, "features must be numbers; 'b' is not"),
        ({"a": 1, "b": float("nan")}, "feature 'b' is nan"),
        ({"a": 1, "b": float("-inf")}, "feature 'b' is -inf"),
        ({"a": 1, "b": 1e300}, "more than a float32 can hold"),
        ({(1, 2): 1, "b": 2}, r"feature \(1, 2\) has a name of type tuple"),
        ({}, "features must be those of the first sample"),
    ],
)
def test_unusable_features_are_named(x: dict[Any, Any], words: str) -> None:
    """The first sample is refused as a later one is, and fixes nothing."""
    fresh = engine()
    with pytest.raises(DataError, match=words):
        fresh.learn_one(x)
    assert fresh.n_seen_ == 0
    fresh.learn_one({"c": 1})
    assert fresh.feature_names_in_.tolist() == ["c"]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"a": [1, 2], "b": [1]}, "different lengths: {'a': 2, 'b': 1}"),
        ({"a": [1, 2], "b": ["x", "y"]}, "features must be numbers; 'b' is not"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "features must be numbers; 'b' is not"),
        (pd.DataFrame({"a": [1, 2], "b": [None, 1.0]}), "x has NaN in row 0"),
        ({"a": [1, 2], "b": [[1], [1, 2]]}, "features must be numbers; 'b' is not"),
        ([[1, 2]], "X is a list; pass a data frame"),
    ],
)
def test_unusable_columns_are_named(x: Any, words: str) -> None:
    """Many at once are refused with as clear a word."""
    with pytest.raises(DataError, match=words):
        engine().learn_many(x)


def test_a_float32_generation_takes_dicts() -> None:
    """A generation that was trained on float32 arrays can go on with river's samples."""
    batch = EchoCoreset(30, device="cpu", preset="fixed").fit(MATRIX.astype(np.float32))
    stream = EchoCoreset(30, device="cpu", generation=batch.generation_, preset="fixed")
    for x, _ in SAMPLES:
        stream.learn_one(x)
    assert stream.coreset().x.dtype == np.float32
    assert stream.indices_.tolist() == batch.indices_.tolist()


def test_rows_go_on_after_other_calls() -> None:
    """Row numbers count all that has arrived, in whatever form."""
    mixed = engine().partial_fit(pd.DataFrame(MATRIX[:400], columns=NAMES), LABELS[:400])
    for x, y in SAMPLES[400:]:
        mixed.learn_one(x, y)
    assert without_names(mixed) == comparable(by_rows())
