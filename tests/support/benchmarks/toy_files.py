"""Small files in the formats that data sets come in."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.idx import FILES, IMAGE_HEADER_BYTES, LABEL_HEADER_BYTES
from echo_stream._common.typing import Array


def write_idx(folder: Path, x: Array, y: Array, *, is_packed: bool = True) -> None:
    """Write images and labels as the four IDX files; the test set is the training set."""
    folder.mkdir(parents=True, exist_ok=True)
    headers = (IMAGE_HEADER_BYTES, LABEL_HEADER_BYTES)
    contents = [bytes(n) + a.tobytes() for n, a in zip(headers, (x, y), strict=True)] * 2
    for name, content in zip(FILES, contents, strict=True):
        if is_packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def write_npz(path: Path, arrays: dict[str, Any], *, is_packed: bool = False) -> None:
    """Write arrays by name into one file."""
    save = np.savez_compressed if is_packed else np.savez
    save(path, **arrays)
