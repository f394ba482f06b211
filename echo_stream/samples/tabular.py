"""Rows and columns of scikit-learn and river: names of features, row numbers."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np

from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.samples import Samples, as_objects
from echo_stream.samples.validation import SampleSchema

NamedFeatures: TypeAlias = Mapping[Any, Any]
"""Features by name: a value each in a sample of river, a column each in a batch."""


def feature_names(x: NamedFeatures) -> Array:
    """Return the names of a first sample's features in their order, as an object array.

    Raises
    ------
    DataError
        If a name is neither text nor an integer, which no state could hold.
    """
    for name in x:
        if not isinstance(name, (str, int)):
            msg = f"feature {name!r} has a name of type {type(name).__name__}; use text or integers"
            raise DataError(msg)
    return as_objects(list(x))


def row_of(x: NamedFeatures, names: Sequence[Hashable]) -> FloatArray:
    """Return one sample as a row.

    Parameters
    ----------
    x : mapping
        Numbers by feature name.
    names : sequence
        The names in the order of the row's values.

    Returns
    -------
    ndarray of shape (1, D), float64

    Raises
    ------
    ShapeError
        If a feature is missing or unknown, naming it.
    DataError
        If a value is not a finite number, naming its feature.

    Examples
    --------
    >>> row_of({"b": 2, "a": 0.5}, ["a", "b"])
    array([[0.5, 2. ]])
    >>> row_of({"a": "much", "b": 2}, ["a", "b"])
    Traceback (most recent call last):
    echo_stream.errors.DataError: features must be numbers; 'a' is not: encode or remove it
    """
    _check_names(x, names)
    row = _as_array([x[name] for name in names])
    if not _holds_numbers(row):
        raise _not_numbers([name for name in names if not _holds_numbers(_as_array([x[name]]))])
    values = row.astype(np.float64)
    if not np.isfinite(values).all():
        name = names[int(np.argmin(np.isfinite(values)))]
        msg = f"feature {name!r} is {x[name]}; remove or impute non-finite values"
        raise DataError(msg)
    return values[np.newaxis]


def columns_of(x: Any) -> dict[Any, Array]:
    """Return the columns of a data frame, or of a mapping, as arrays by name.

    Parameters
    ----------
    x : pandas.DataFrame, polars.DataFrame, pyarrow.Table or mapping of sequences
    """
    if isinstance(x, Mapping):
        return {name: _as_array(column) for name, column in x.items()}
    try:
        frame = nw.from_native(x, eager_only=True)
    except TypeError as err:
        msg = f"X is a {type(x).__name__}; pass a data frame, or a mapping of columns"
        raise DataError(msg) from err
    return {name: frame[name].to_numpy() for name in frame.columns}


def matrix_of(columns: Mapping[Any, Array], names: Sequence[Hashable]) -> FloatArray:
    """Return many samples as rows of shape (n, D), float64; errors are those of `row_of`.

    Examples
    --------
    >>> matrix_of(columns_of({"b": [2, 3], "a": [0.5, 1.5]}), ["a", "b"])
    array([[0.5, 2. ],
           [1.5, 3. ]])
    """
    _check_names(columns, names)
    lengths = {name: len(columns[name]) for name in names}
    if len(set(lengths.values())) > 1:
        msg = f"the columns of X have different lengths: {lengths}"
        raise ShapeError(msg)
    if not all(_holds_numbers(column) for column in columns.values()):
        raise _not_numbers([name for name in names if not _holds_numbers(columns[name])])
    return np.stack([columns[name].astype(np.float64) for name in names], axis=1)


def cast_to(x: FloatArray, schema: SampleSchema | None) -> Array:
    """Return x in the floating type that samples must have, if there is one."""
    if schema is None or np.dtype(schema.dtype).kind != "f":
        return x
    with np.errstate(over="ignore"):  # what becomes infinite is refused like all infinite values
        return x.astype(schema.dtype)


def _check_names(x: Mapping[Any, object], names: Sequence[Hashable]) -> None:
    """Refuse missing and unknown features, naming them."""
    if len(x) == len(names) > 0 and all(name in x for name in names):
        return
    missing = [name for name in names if name not in x]
    unknown = [name for name in x if name not in names]
    msg = (
        f"features must be those of the first sample; missing: {missing}, unknown: {unknown}; "
        "impute what is missing, select what is known"
    )
    raise ShapeError(msg)


def _as_array(values: Any) -> Array:
    """Return values as an array, of objects where some are sequences of their own."""
    try:
        return np.asarray(values)
    except ValueError:
        return as_objects(values)


def _holds_numbers(column: Array) -> bool:
    """Return whether an array is one axis of numbers."""
    return column.dtype.kind in "biuf" and column.ndim == 1


def _not_numbers(names: Sequence[Hashable]) -> DataError:
    """Return the error for features that are not numbers."""
    listed = ", ".join(repr(name) for name in names)
    return DataError(f"features must be numbers; {listed} is not: encode or remove it")


def check_feature_names(estimator: object, x: object, *, is_first: bool) -> None:
    """Keep the column names of a data frame as `feature_names_in_`, or compare with those kept.

    Parameters
    ----------
    estimator : object
        Of scikit-learn's kind.
    x : array-like or data frame
        Without column names, any that are kept from before are forgotten if is_first.
    is_first : bool
        Whether these are the first samples since the estimator began.

    Raises
    ------
    TypeError
        If some column names are text and others are not.
    ValueError
        If the names differ from those kept, in scikit-learn's words.
    """
    from sklearn.utils.validation import validate_data  # noqa: PLC0415 - slow to import

    # Our own checks take more than scikit-learn's, images for one: only the names are its.
    validate_data(estimator, x, reset=is_first, skip_check_array=True, ensure_2d=False)


def take_rows(values: Any, rows: IntArray) -> Any:
    """Return some rows of an array, tensor, data frame or list, as one of its kind."""
    from sklearn.utils import _safe_indexing  # noqa: PLC0415 - slow to import

    return None if values is None else _safe_indexing(values, rows)


def row_numbers(samples: Samples) -> IntArray:
    """Return ids that are row numbers as integers.

    Raises
    ------
    AttributeError
        If the caller has given ids that are not numbers.
    """
    try:
        return samples.ids.astype(np.int64)
    except ValueError as err:
        msg = "row numbers are known only where no ids were given; use coreset().ids"
        raise AttributeError(msg) from err
