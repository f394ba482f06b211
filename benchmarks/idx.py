"""Images and labels in the IDX format of MNIST and Fashion-MNIST."""

import gzip
from pathlib import Path

import numpy as np

from echo_stream.errors import SourceError
from echo_stream.typing import Array

IMAGE_HEADER_BYTES = 16
LABEL_HEADER_BYTES = 8


def load_idx(folder: Path, split: str) -> tuple[Array, Array]:
    """Return images (n, 28, 28), uint8, and labels (n,), int64, of split "train" or "t10k".

    Raises
    ------
    SourceError
        If the folder does not hold the files, saying how to get them.
    """
    images = _read(folder / f"{split}-images-idx3-ubyte.gz")[IMAGE_HEADER_BYTES:]
    labels = _read(folder / f"{split}-labels-idx1-ubyte.gz")[LABEL_HEADER_BYTES:]
    x = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
    return x, np.frombuffer(labels, np.uint8).astype(np.int64)


def _read(path: Path) -> bytes:
    """Return the content of a compressed file."""
    try:
        return gzip.decompress(path.read_bytes())
    except OSError as err:
        msg = (
            f"cannot read {path}: {err.strerror}; Fashion-MNIST is Debian's package "
            "dataset-fashion-mnist, in /usr/share/datasets/fashion-mnist"
        )
        raise SourceError(msg) from err
