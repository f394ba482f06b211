"""Rows and columns as scikit-learn knows them: row numbers, rows of any array, column names."""

from typing import Any

import numpy as np

from echo_stream._common.typing import IntArray
from echo_stream.samples.samples import Samples


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
        If the caller has given ids that are no numbers.
    """
    try:
        return samples.ids.astype(np.int64)
    except ValueError as err:
        msg = "row numbers are known only where no ids were given; use coreset().ids"
        raise AttributeError(msg) from err
