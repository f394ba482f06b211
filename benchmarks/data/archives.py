"""Tables with a rare class out of `.npz` files."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder, arrays_of
from benchmarks.data.variants import stratified_halves
from echo_stream._common.typing import Array, IntArray


class Table(NamedTuple):
    """Where a table is found, and what its array must be.

    Attributes
    ----------
    files : tuple of str
        Ours, and ADBench's.
    dtype : type
        Of x, to which ADBench's float64 is converted.
    sha256 : str
        Of the bytes of x, then of y as uint8.
    """

    files: tuple[str, ...]
    dtype: Any
    sha256: str


TABLES = {
    "covertype": Table(
        ("cover_odds.npz", "10_cover.npz", "Classical/10_cover.npz"),
        np.int16,
        "0994f0f45db81b0306d6a0e39ae9b3c5f0fc19544fe0c4888893ae9f01a02063",
    ),
    "smtp": Table(
        ("kdd_smtp.npz", "34_smtp.npz", "Classical/34_smtp.npz"),
        np.float32,
        "8185c183064af3692fabec228652c3e58dfd56dab66e781a6d09c5979ea73eb5",
    ),
    "skin": Table(
        ("skin.npz", "33_skin.npz", "Classical/33_skin.npz"),
        np.float32,
        "04e948f0af095e80dbf76194c809d5c2f6ba6658af8120f93b32de6636685069",
    ),
}


def load_table(name: str, finder: Finder) -> DataSet:
    """Return a table with a rare class as vectors, in the order of its source.

    Its sources have no test set: a seeded half of each class is one. Every feature is centred
    and scaled by the training half, so that all methods measure in the same space.
    """
    table = TABLES[name]
    for path in finder.paths(table.files):
        x, y = _read(path, table.dtype)
        if finder.accepts(path, x.tobytes() + y.tobytes(), table.sha256):
            return _split(name, x.astype(np.float32), y.astype(np.int64))
    how = f"take {table.files[1]} of ADBench, folder Classical, or an npz of its rows as x and y"
    raise finder.missing(table.files[0], how)


def _read(path: Path, dtype: Any) -> tuple[Array, Array]:
    """Return x and y of a file of ours or of ADBench, which says X; nothing of a damaged one."""
    found = arrays_of(path, ("x", "y")) or arrays_of(path, ("X", "y"))
    try:
        x, y = found or ((), ())
        return np.ascontiguousarray(x, dtype), np.ascontiguousarray(y, np.uint8)
    except (TypeError, ValueError):  # no numbers
        return np.empty(0, dtype), np.empty(0, np.uint8)


def _split(name: str, x: Array, y: IntArray) -> DataSet:
    """Return two halves of a table, scaled by the first."""
    train, test = stratified_halves(y)
    mean, scale = x[train].mean(axis=0, dtype=np.float64), x[train].std(axis=0, dtype=np.float64)
    scaled = ((x - mean) / np.where(scale > 0, scale, 1)).astype(np.float32)
    return DataSet(name, scaled[train], y[train], scaled[test], y[test], "logistic", True)
