"""Street View House Numbers, cropped digits, in the Matlab files of their authors."""

import io

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder
from benchmarks.data.image_npz import load_npz
from echo_stream._common.typing import Array, IntArray

FILES = {
    # MD5 as torchvision has them, which keeps the same files.
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
HOW = (
    "take its authors' train_32x32.mat and test_32x32.mat (format 2, cropped digits), which "
    "torchvision downloads too"
)
ZERO = 10  # the class of the digit 0


def load_svhn(name: str, finder: Finder) -> DataSet:
    """Return images (n, 3, 32, 32), uint8, and their digits; without the extra set."""
    parts: list[tuple[Array, IntArray]] = []
    for file, digest in FILES.items():
        content = finder.read([file, f"svhn/{file}"], digest)
        if content is None:
            return load_npz(name, finder, missing=f"{file} of {name}", how=HOW)
        parts.append(_read(content))
    (x_train, y_train), (x_test, y_test) = parts
    return DataSet(name, x_train, y_train, x_test, y_test, "resnet18", False)


def _read(content: bytes) -> tuple[Array, IntArray]:
    """Return images and digits of a file, which has samples on the last axis."""
    from scipy.io import loadmat  # noqa: PLC0415 - slow to import

    arrays = loadmat(io.BytesIO(content))
    images = np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1))
    return images, arrays["y"].ravel().astype(np.int64) % ZERO
