"""Data files for tests: one writer for each format, and what every source must do."""

import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from echo_stream._common.typing import Array
from echo_stream.connectors.files.source import FileSource
from echo_stream.samples.samples import Samples

Writer = Callable[[Path, Any], Path]


def write_npz(folder: Path, **arrays: Any) -> Path:
    """Return the path of a new `.npz` with the arrays."""
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def write_npy(folder: Path, x: Any) -> Path:
    """Return the path of a new `.npy` with the array."""
    path = folder / "data.npy"
    np.save(path, x)
    return path


def write_parquet(
    path: Path,
    group_rows: int | None = None,
    metadata: dict[str, str] | None = None,
    **columns: Any,
) -> Path:
    """Return the path of a new Parquet file; a list or an array becomes a column."""
    table = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=group_rows)
    return path


def write_images(folder: Path, images: dict[str, Array]) -> Path:
    """Write arrays of shape (height, width) or (height, width, 3) as the named files."""
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def read_in_steps(source: FileSource, steps: Sequence[int]) -> Samples:
    """Return what is left of a source, asking for so many rows in turn, again and again."""
    parts: list[Samples] = []
    while not source.is_exhausted:
        step = steps[len(parts) % len(steps)]
        before = source.offsets()["row"]
        samples = source.next_batch(step).samples
        assert samples is not None
        assert 0 < len(samples) <= step
        assert source.offsets() == {"row": before + len(samples)}
        parts.append(samples)
    return Samples.concatenate(parts)


def assert_same(left: Samples, right: Samples) -> None:
    """Check that two batches hold the same samples, labels and ids."""
    assert left.x.dtype == right.x.dtype
    np.testing.assert_array_equal(left.x, right.x)
    assert left.ids.tolist() == right.ids.tolist()
    assert (left.labels is None) == (right.labels is None)
    if left.labels is not None and right.labels is not None:
        assert left.labels.tolist() == right.labels.tolist()


def is_mapped(x: Any) -> bool:
    """Return whether an array's memory is a file's."""
    while isinstance(x, np.ndarray):
        x = x.base
    return isinstance(x, mmap.mmap)
