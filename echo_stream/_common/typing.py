"""Names for the types that appear in many signatures."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""An array whose shape and dtype the docstring gives."""

FloatArray: TypeAlias = NDArray[np.float64]
"""A float64 array: sums, centroids, distances."""

BoolArray: TypeAlias = NDArray[np.bool_]
"""An array of booleans; docstrings give its shape."""

IntArray: TypeAlias = NDArray[np.int64]
"""An int64 array: cell indices, counts, row numbers."""

Cell: TypeAlias = tuple[int, ...]
"""Index of a cell: one integer per latent axis of a grid."""

Label: TypeAlias = int | float | str | None
"""Label of a sample; None when it is unknown."""

State: TypeAlias = tuple[dict[str, Array], dict[str, Any]]
"""A serialised object: named arrays, and a JSON-able description."""
