"""Any of the image sets from an `.npz` file of four plain arrays.

The file is called by the set's name, `cifar10.npz`, and holds `x_train`, `y_train`, `x_test` and
`y_test` in the order of the authors: images (n, h, w), (n, h, w, c) or (n, c, h, w) with whole
numbers from 0 to 255, and labels (n,) or (n, 1). As Keras gives them, for instance. SVHN's digit
0 may be labelled 0 or, as by its authors, 10.

No two writers make the same bytes of the same arrays, so the file has no checksum: the arrays
have, once they are in the layout of the other loaders. Those of CIFAR-100 and SVHN are not known,
see `benchmarks.data.published`; a file of them is taken by shapes, values and sizes of the
classes, and stderr says so.
"""

from pathlib import Path

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder, arrays_of, as_uint8, remark
from benchmarks.data.published import PUBLISHED, has_published_size
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
UNVERIFIED = (
    "shapes, values and the sizes of the classes are those published; whether the images are the "
    "authors' cannot be told, for no checksum of these arrays is known"
)


def load_npz(name: str, finder: Finder, *, missing: str, how: str) -> DataSet:
    """Return an image set out of its `.npz`, for a loader that has found no other file.

    Parameters
    ----------
    name : str
        Of the set.
    finder : Finder
        With what had to be refused so far.
    missing : str
        What that loader lacks.
    how : str
        How to get it.

    Raises
    ------
    SourceError
        If there is none, or its arrays are others; with all ways to get the set.
    """
    for path in finder.paths([f"{name}.npz"]):
        arrays = _verified(name, path, finder)
        if arrays:
            x_train, y_train, x_test, y_test = arrays
            model = PUBLISHED[name].model
            return DataSet(name, x_train, _wide(y_train), x_test, _wide(y_test), model, False)
    raise _missing(name, finder, missing, how)


def _missing(name: str, finder: Finder, missing: str, how: str) -> SourceError:
    """Return the error that names the `.npz` behind the other ways."""
    npz = f"{name}.npz of {', '.join(ARRAYS)}, images as uint8, {_layout(name)}"
    return finder.missing(missing, f"{how}, or make {npz}")


def _wide(labels: Array) -> Array:
    """Return labels as the loaders give them."""
    return labels.astype(np.int64)


def _verified(name: str, path: Path, finder: Finder) -> list[Array]:
    """Return the four arrays as uint8, in the loaders' layout; nothing unless all are right."""
    found = arrays_of(path, ARRAYS)
    if found is None:
        finder.refuse(path, f"it is no npz of {', '.join(ARRAYS)}")
        return []
    arrays = []
    for array, values in zip(ARRAYS, found, strict=True):
        plain = _images(name, values) if array.startswith("x_") else _labels(name, values)
        if plain is None:
            finder.refuse(
                path, f"its {array}, {values.dtype} {values.shape}, {_wanted(name, array)}"
            )
        elif _is_right(name, array, plain, path, finder):
            arrays.append(plain)
    if len(arrays) == len(ARRAYS) and not PUBLISHED[name].digests:
        remark(path, UNVERIFIED)
    return arrays if len(arrays) == len(ARRAYS) else []


def _wanted(name: str, array: str) -> str:
    """Return what an array is not that could not be brought into the loaders' layout."""
    if array.startswith("y_"):
        return "is not labels as whole numbers, (n,)"
    return f"is not images of whole numbers from 0 to 255, {_layout(name)}"


def _layout(name: str) -> str:
    """Return the shape of the images of a set in words."""
    return f"({', '.join(map(str, ('n', *PUBLISHED[name].shape)))})"


def _is_right(name: str, array: str, values: Array, path: Path, finder: Finder) -> bool:
    """Return whether an array is the published one, as far as that is known; else note it."""
    published = PUBLISHED[name]
    if array in published.digests:
        return finder.accepts(path, values.tobytes(), published.digests[array], f"{array}'s ")
    if has_published_size(name, array, values):
        return True
    sizes = published.counts[array.replace("x_", "y_")]
    each = f", by class {' '.join(map(str, sizes))}" if array.startswith("y_") else ""
    finder.refuse(path, f"its {array} must have {sum(sizes)} samples{each}")
    return False


def _images(name: str, values: Array) -> Array | None:
    """Return images as the loaders give them; None of what are none of this set."""
    shape = PUBLISHED[name].shape
    channels, height, width = (1, *shape)[-3:]
    if values.shape[1:] == (height, width, channels):
        values = values.transpose(0, 3, 1, 2)
    if values.shape[1:] not in {shape, (channels, height, width)}:
        return None
    return as_uint8(values.reshape(-1, *shape))


def _labels(name: str, values: Array) -> Array | None:
    """Return classes from 0 on, (n,); None of what are no labels."""
    if values.ndim == 0 or values.size != len(values):
        return None
    labels = as_uint8(values.ravel())
    return labels if labels is None else np.where(labels == PUBLISHED[name].zero, 0, labels)
