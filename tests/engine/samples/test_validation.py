"""Checks on samples: what passes, what is refused, and in which words."""

import json
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.validation import SampleSchema, as_samples, check_finite, is_finite

NUMERIC = ("bool", "int8", "uint8", "int16", "uint64", "int64", "float16", "float32", "float64")

arrays = st.sampled_from(NUMERIC).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False, "max_value": 1e4, "min_value": 0}
        if dtype.startswith("float")
        else None,
    )
)


@given(arrays)
def test_x_keeps_its_values_and_dtype(x: np.ndarray[Any, Any]) -> None:
    """Whatever the numeric dtype and shape, x is passed on as it is."""
    samples = as_samples(x)
    assert samples.x.dtype == x.dtype
    np.testing.assert_array_equal(samples.x, x)


def test_x_is_not_copied() -> None:
    """A view is returned: checking a large array costs no memory."""
    x = np.ones((4, 3), np.float32)
    assert np.shares_memory(as_samples(x).x, x)


def test_foreign_byte_order_becomes_native() -> None:
    """Big-endian and little-endian files of the same numbers are the same samples."""
    x = np.arange(6, dtype=">f4").reshape(2, 3)
    samples = as_samples(x)
    assert samples.x.dtype == np.dtype("float32")
    assert samples.x.dtype.isnative
    np.testing.assert_array_equal(samples.x, x)


@pytest.mark.parametrize("x", [[[1, 2], [3, 4]], ((1.5, 2.0), (3.0, 4.0))])
def test_nested_lists_are_arrays(x: object) -> None:
    """Plain Python numbers need no conversion by the caller."""
    assert as_samples(x).x.shape == (2, 2)


@pytest.mark.parametrize("numbers", [[1, 2.5, True], [Decimal("0.5"), Fraction(1, 4), 2]])
def test_objects_that_are_numbers_become_float64(numbers: list[Any]) -> None:
    """What a data frame of mixed columns gives is taken, as scikit-learn takes it."""
    x = as_samples(np.array([numbers], dtype=object)).x
    assert x.dtype == np.float64
    assert x.tolist() == [[float(number) for number in numbers]]


def test_no_samples_are_fine() -> None:
    """An empty batch is a batch."""
    assert len(as_samples(np.zeros((0, 3)))) == 0


def test_torch_tensors_are_detached() -> None:
    """A tensor that requires gradients is taken without them."""
    samples = as_samples(torch.ones(2, 3, requires_grad=True), y=torch.tensor([0, 1]))
    np.testing.assert_array_equal(samples.x, np.ones((2, 3), np.float32))
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]


def test_torch_dtype_without_numpy_twin_is_refused() -> None:
    """bfloat16 has no numpy dtype: an error of ours, not of torch."""
    with pytest.raises(DataError, match="x cannot be read as an array"):
        as_samples(torch.ones(2, 3, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros(3), ShapeError, r"x has shape \(3,\); it needs at least two axes"),
        (np.float32(3), ShapeError, r"x has shape \(\)"),
        (np.zeros((3, 0)), ShapeError, "a sample needs at least one element"),
        (np.zeros((0, 3, 0)), ShapeError, "a sample needs at least one element"),
        (np.zeros((2, 2), complex), DataError, "x has dtype complex128; use"),
        (np.zeros((2, 2), np.longdouble), DataError, f"x has dtype {np.dtype(np.longdouble)}"),
        (np.zeros((2, 2), "M8[s]"), DataError, r"x has dtype datetime64\[s\]"),
        ([["a", "b"]], DataError, "x has dtype <U1"),
        ([[1, None]], DataError, "x has NaN in row 0"),
        ([[1, "a"]], DataError, "x has dtype <U21"),
        ([[1, {}]], DataError, "x has dtype object and holds no number"),
        (csr_array((2, 2)), TypeError, "x is sparse"),
        ([[1, 2], [3]], DataError, "x cannot be read as an array"),
        (np.ma.masked_equal([[1, 2]], 2), DataError, "x has masked values"),
    ],
)
def test_unusable_x_is_refused(x: object, error: type[Exception], words: str) -> None:
    """The message says what x is and what it should be."""
    with pytest.raises(error, match=words):
        as_samples(x)


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("float16", np.nan, "x has NaN in row 17; remove or impute non-finite values"),
        ("float32", np.inf, "x has inf in row 17; remove or impute non-finite values"),
        ("float64", -np.inf, "x has inf in row 17; remove or impute non-finite values"),
        ("float64", 1e300, r"x has 1e\+300 in row 17, more than a float32 can hold; rescale it"),
    ],
)
def test_first_nonfinite_row_is_named(dtype: str, value: float, words: str) -> None:
    """Of several bad rows the first is named, with what it has."""
    x = np.zeros((30, 2, 2), dtype)
    x[17, 1, 0] = value
    x[23] = np.nan
    with pytest.raises(DataError, match=words):
        as_samples(x)


def test_nonfinite_row_of_a_large_array_is_named() -> None:
    """Rows are counted across the chunks in which they are looked at."""
    x = np.zeros((1_000, 500), np.float32)
    x[987, 499] = np.nan
    with pytest.raises(DataError, match="row 987"):
        check_finite(x)


def test_finite_means_finite_as_float32() -> None:
    """The largest float64 that rounds to a finite float32 passes, the next does not."""
    limit = (2 - 2.0**-24) * 2.0**127
    assert is_finite(np.array([np.nextafter(limit, 0), -np.nextafter(limit, 0)]))
    assert not is_finite(np.array([limit]))
    assert is_finite(np.array([np.iinfo(np.uint64).max]))


@pytest.mark.parametrize(
    "x",
    [
        np.array([[0x7C01]], np.uint16).view(np.float16),
        np.array([[0x7F800001]], np.uint32).view(np.float32),
        np.array([[0x7FF0000000000001]], np.uint64).view(np.float64),
    ],
)
def test_signalling_nan_is_nan(x: np.ndarray[Any, Any]) -> None:
    """The kind of NaN that makes numpy warn is refused like any other, without a warning."""
    with pytest.raises(DataError, match="x has NaN in row 0"):
        as_samples(x)


def test_ids_are_row_numbers_by_default() -> None:
    """Row numbers go on where the part before ended."""
    samples = as_samples(np.zeros((3, 1)), first_row=40)
    assert samples.ids.dtype == np.int64
    assert samples.ids.tolist() == [40, 41, 42]


@pytest.mark.parametrize(("row_in_messages", "row"), [(0, 2), (40, 42)])
def test_message_counts_from_where_it_is_told(row_in_messages: int, row: int) -> None:
    """Who passes a batch sees its row there, who reads a file the row of the file."""
    x = np.array([[0.0], [1.0], [np.nan]])
    with pytest.raises(DataError, match=rf"NaN in row {row};"):
        as_samples(x, first_row=40, row_in_messages=row_in_messages)


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        ([3, 1, 2], "int64"),
        (np.array([3, 1, 2], np.uint8), "int64"),
        (np.array([2**64 - 1, 1, 2], np.uint64), "object"),
        (["b", "a", "c"], "object"),
        (np.array(["b", "a", "c"]), "object"),
        (["b", 1, np.int32(2)], "object"),
    ],
)
def test_ids_are_int64_or_objects(ids: Any, dtype: str) -> None:
    """Integers stay integers where 64 bits hold them; nothing changes its value."""
    samples = as_samples(np.zeros((3, 1)), ids=ids)
    assert samples.ids.dtype == dtype
    assert samples.ids.tolist() == list(ids)
    assert {type(name) for name in samples.ids.tolist()} <= {int, str}


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.array([1.0, 2.0]), "ids have dtype float64; use integers or text"),
        ([1.0, 2.0], "ids holds a value of type float; use int, str"),
        ([True, False], "ids have dtype bool"),
        ([b"a", b"b"], r"ids have dtype \|S1"),
        ([None, "a"], "ids holds a value of type NoneType; use int, str"),
        ([True, "a"], "ids holds a value of type bool"),
        ([[1], [2]], r"ids has shape \(2, 1\); pass one value for each of the 2 samples"),
        ([1], "ids has 1 values for 2 samples"),
        (["\ud800", "a"], "ids holds text that is not valid Unicode"),
    ],
)
def test_unusable_ids_are_refused(ids: object, words: str) -> None:
    """An id must be an integer or text, one for each sample."""
    with pytest.raises(DataError, match=words):
        as_samples(np.zeros((2, 1)), ids=ids)


@pytest.mark.parametrize(
    "y",
    [
        [1, 0],
        [1, 0.5],
        [True, False],
        ["cat", "dog"],
        ["cat", 3],
        ["3", 3],
        [None, "dog"],
        [None, 2],
        np.array(["cat", 3.5], dtype=object),
    ],
)
def test_labels_keep_their_types(y: Any) -> None:
    """No label is converted, not even next to others of another type."""
    labels = as_samples(np.zeros((2, 1)), y=y).labels
    assert labels is not None
    assert [(type(label), label) for label in labels.tolist()] == [(type(v), v) for v in y]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0.5, float("inf")], "y holds an infinite label; use finite numbers, text or None"),
        ([1j, 2], "y has dtype complex128; use integers, floats or text"),
        (np.array(["2020", "2021"], "M8[Y]"), "y has dtype datetime64"),
        ([b"a", b"b"], r"y has dtype \|S1"),
        ([(), None], "y cannot be read as an array|y holds a value of type tuple"),
        ([object(), 1], "y holds a value of type object; use NoneType, bool, int, float, str"),
        ([[1, 0], [0, 1]], r"y has shape \(2, 2\)"),
        ([1, 2, 3], "y has 3 values for 2 samples"),
        (np.array([2**64 - 1, 0], np.uint64), "does not fit in 64 bits"),
        ([2**64 - 1, 0], "y holds 18446744073709551615, which does not fit in 64 bits"),
        ([-(2**70), "a"], "does not fit in 64 bits"),
        pytest.param([10**5000, 1], "y holds an integer, which does not fit in 64 bits", id="huge"),
    ],
)
def test_unusable_labels_are_refused(y: object, words: str) -> None:
    """A label must be a number, text or None, one for each sample."""
    with pytest.raises(DataError, match=words):
        as_samples(np.zeros((2, 1)), y=y)


def test_wrong_code_points_are_refused() -> None:
    """An array of text that no str can hold, as a damaged file may bring."""
    y = np.array([0x7FFFFFFF, 65], np.uint32).view("U1")
    with pytest.raises(DataError, match="y holds text that is not valid Unicode"):
        as_samples(np.zeros((2, 1)), y=y)


def test_variable_width_text_is_text() -> None:
    """The string dtype of numpy 2 is taken for labels and for ids."""
    string_dtype = getattr(getattr(np, "dtypes", None), "StringDType", None)
    if string_dtype is None:
        pytest.skip("this numpy has no variable-width text")
    text = np.array(["b", "a"], dtype=string_dtype())
    samples = as_samples(np.zeros((2, 1)), y=text, ids=text)
    assert samples.labels is not None
    assert samples.labels.tolist() == samples.ids.tolist() == ["b", "a"]


def test_error_messages_are_one_line() -> None:
    """Whatever numpy says, the message can be printed as one line."""
    with pytest.raises(DataError) as caught:
        as_samples([[1, 2], [3]])
    assert len(str(caught.value).splitlines()) == 1


def test_schema_accepts_its_own_samples() -> None:
    """Samples of the same shape and dtype pass, whatever their number."""
    SampleSchema.of(np.zeros((5, 2, 3), np.uint8)).check(np.ones((0, 2, 3), np.uint8))


@pytest.mark.parametrize("x", [np.zeros((5, 3, 2), np.uint8), np.zeros((5, 2, 3), np.int8)])
def test_schema_names_what_differs(x: np.ndarray[Any, Any]) -> None:
    """Both the expected and the given shape and dtype are in the message."""
    with pytest.raises(ShapeError) as caught:
        SampleSchema((2, 3), "uint8").check(x)
    assert "shape (2, 3) and dtype uint8" in str(caught.value)
    assert f"shape {x.shape[1:]} and dtype {x.dtype}" in str(caught.value)


@given(arrays)
def test_schema_survives_json(x: np.ndarray[Any, Any]) -> None:
    """A schema written to a checkpoint comes back equal."""
    schema = SampleSchema.of(x)
    assert SampleSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_module_does_not_import_torch() -> None:
    """Reading an array must not cost the seconds that torch takes to load."""
    import subprocess  # noqa: PLC0415 - only here

    code = (
        "import sys, numpy as np; from echo_stream.samples.validation import as_samples;"
        "as_samples(np.ones((2, 2))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", [10**5000, 2**64, -(2**63) - 1], ids=["huge", "above", "below"])
def test_integer_ids_beyond_64_bits_are_refused(number: int) -> None:
    """No state could hold them; text can."""
    with pytest.raises(DataError, match=r"ids hold .*, which does not fit in 64 bits"):
        as_samples([[0.0]], ids=[number])
    assert as_samples([[0.0]], ids=[2**64 - 1]).ids.tolist() == [2**64 - 1]
