"""Snapshots in memory, for requests that come by the hundred.

A snapshot never changes, so it is read once, held and checked against its checksums;
what is answered from memory can be neither torn nor pruned meanwhile.
"""

import threading
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from echo_stream._common.typing import Array
from echo_stream.connectors.storage.snapshot_files import read_tables
from echo_stream.connectors.storage.snapshots import (
    Listing,
    open_snapshot,
    read_listing,
    snapshot_manifest,
)
from echo_stream.connectors.storage.units import TEMPORARY_PREFIX
from echo_stream.errors import SnapshotError

_MAX_BYTES = 512 * 1024**2  # of all snapshots in memory, unless one alone is larger
NEWEST = "newest"
_NOTHING = Listing([], {}, None)
_HEAVY = ("x", "mean")  # columns that only are answered where they are asked for


class SnapshotView:
    """One snapshot: its manifest, and its tables as Arrow.

    Parameters
    ----------
    manifest : dict
    tables : dict of str to Table
        "coreset", "cells" and "edges".
    """

    def __init__(self, manifest: dict[str, Any], tables: dict[str, pa.Table]) -> None:
        self.id = str(manifest["id"])
        self.manifest = manifest
        self.vectors = tables["coreset"].column("x")
        self.tables = {name: table.drop_columns(_heavy(table)) for name, table in tables.items()}
        self.size_bytes = self.vectors.nbytes + sum(each.nbytes for each in self.tables.values())
        self.pages: OrderedDict[object, bytes] = OrderedDict()
        metadata = tables["coreset"].schema.metadata
        shape = metadata[b"x_shape"].decode()
        self._dtype = np.dtype(metadata[b"x_dtype"].decode())
        self._shape = tuple(int(size) for size in shape.split(",") if size)

    @cached_property
    def rows_by_id(self) -> dict[str, list[int]]:
        """Rows of the coreset by id; a sample that is core and support has two."""
        found: dict[str, list[int]] = {}
        for row, sample_id in enumerate(self.tables["coreset"]["id"].to_pylist()):
            found.setdefault(sample_id, []).append(row)
        return found

    @cached_property
    def keys(self) -> dict[str, list[str | None]]:
        """Role, label and cell of each row as text, which rows are chosen by."""
        table = self.tables["coreset"]
        return {
            "role": table["role"].to_pylist(),
            "label": ["null" if one is None else str(one) for one in table["label"].to_pylist()],
            "cell": [",".join(map(str, cell)) for cell in table["cell"].to_pylist()],
        }

    def vector(self, row: int) -> Array:
        """Return x of one row, as it was when it arrived."""
        x: Array = np.frombuffer(self.vectors[row].as_py(), self._dtype)
        return x.reshape(self._shape)


def _heavy(table: pa.Table) -> list[str]:
    """Return the columns of a table that rows do not have in JSON: payloads only where bytes."""
    has_bytes = "payload" in table.column_names and pa.types.is_binary(table["payload"].type)
    names = (*_HEAVY, "payload") if has_bytes else _HEAVY
    return [name for name in names if name in table.column_names]


class SnapshotViews:
    """The snapshots of a state; the ones asked for last stay in memory.

    May be asked from any thread. A state that does not exist yet has none.

    Parameters
    ----------
    state : Path
    max_bytes : int
    """

    def __init__(self, state: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        self.state = state
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._listing = _NOTHING
        self._manifests: dict[str, dict[str, Any]] = {}  # by name of the folder, oldest first
        self._views: OrderedDict[str, SnapshotView] = OrderedDict()

    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the manifest of each snapshot that there is by its id, oldest first.

        O(snapshots) where one came or went, else one look at the folder.
        """
        with self._lock:
            return self._current()

    def unit(self, name: str) -> Path:
        """Return the folder of a snapshot; the name has to be one of `manifests`."""
        return self.state / "snapshots" / name

    def find(self, name: str) -> dict[str, Any]:
        """Return the manifest of a snapshot that is there: the one of that id, or the newest.

        Raises
        ------
        SnapshotError
            If there is none, or it is damaged.
        """
        with self._lock:
            found, listing = self._current(), self._listing
        if name in found:
            return found[name]
        if name in listing.damaged:
            raise listing.damaged[name]
        newest = listing.newest()
        if newest is None:
            msg = "there is no snapshot yet; `run` writes one when it is due, or stops"
            raise SnapshotError(msg)
        if name == NEWEST:
            return found[newest.name]
        msg = f"there is no snapshot {name[:80]!r}; the newest is {newest.name}"
        raise SnapshotError(msg)

    def known(self, name: str) -> str | None:
        """Return an id that `open_snapshot` can take, None for the newest; raises as `find`."""
        found = self.find(name)
        return None if name == NEWEST else str(found["id"])

    def view(self, name: str) -> SnapshotView:
        """Return a snapshot by id, or the newest. Raises as `find` does, or if it is damaged."""
        while True:
            chosen = str(self.find(name)["id"])
            with self._lock:
                if chosen in self._views:
                    self._views.move_to_end(chosen)
                    return self._views[chosen]
                try:
                    return self._keep(_read(self.state, chosen))
                except SnapshotError:
                    # Pruned between the two looks: then there is a newer one.
                    if name != NEWEST or chosen in self._current():
                        raise

    def _current(self) -> dict[str, dict[str, Any]]:
        """Return the manifests that there are now."""
        names = _names(self.state / "snapshots")
        if names != self._names:
            self._listing = read_listing(self.state) if names else _NOTHING
            self._manifests = {unit.name: manifest for unit, manifest in self._listing.whole}
            self._names = names
            for gone in self._views.keys() - self._manifests.keys():
                del self._views[gone]
        return self._manifests

    def _keep(self, view: SnapshotView) -> SnapshotView:
        """Keep a snapshot, and drop those that were not asked for longest."""
        self._views[view.id] = view
        while len(self._views) > 1 and self._size_bytes() > self._max_bytes:
            self._views.popitem(last=False)
        return view

    def _size_bytes(self) -> int:
        """Return the bytes of all that are kept."""
        return sum(view.size_bytes for view in self._views.values())


def _read(state: Path, name: str) -> SnapshotView:
    """Read a snapshot whole, and check it."""
    with open_snapshot(state, name) as unit:
        return SnapshotView(snapshot_manifest(unit), read_tables(unit))


def _names(folder: Path) -> frozenset[str]:
    """Return the names in a folder of units, whether they are whole or not."""
    if not folder.is_dir():
        return frozenset()
    names = (path.name for path in folder.iterdir())
    return frozenset(name for name in names if not name.startswith(TEMPORARY_PREFIX))
