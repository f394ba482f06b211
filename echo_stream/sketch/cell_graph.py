"""The PC graph of a sketch, kept as samples arrive and drawn when asked for."""

import numpy as np

from echo_stream._common.typing import FloatArray, IntArray
from echo_stream.generation.partition import Partition
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.graph import PCGraph, build_graph, find_bridges, find_components
from echo_stream.sketch.witnesses import Witnesses

NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


class CellGraph:
    """Faces between occupied cells, and the last graph that was drawn with them.

    A face is found when the second of its cells is first occupied, and lost when one of
    them is emptied. Components depend on links alone, bridges on centroids as well: each
    is found anew only where something that it depends on has changed.
    """

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._occupied = np.zeros(0, dtype=np.int64)
        self._faces = NO_PAIRS
        self._links: IntArray | None = None
        self._components = np.zeros(0, dtype=np.int64)
        self._bridges = NO_PAIRS
        self._centroids: FloatArray | None = None

    def occupy(self, keys: IntArray) -> None:
        """Take note of the cells that are occupied now, ascending keys, int64.

        O(changed cells d log M), and O(faces) where any has changed.
        """
        if np.array_equal(keys, self._occupied):
            return
        new = np.setdiff1d(keys, self._occupied, assume_unique=True)
        kept = self._faces[np.isin(self._faces, keys).all(axis=1)]
        found = self._partition.face_pairs(new, keys)
        self._faces = np.unique(np.concatenate([kept, found]), axis=0)
        self._occupied = keys.copy()
        self._links = None

    def draw(self, statistics: CellStatistics, witnesses: Witnesses) -> PCGraph:
        """Return the PC graph of the occupied cells.

        O(M + E); O(M^2 d) where bridges have to be found anew.
        """
        self.occupy(statistics.keys)
        pairs = np.concatenate([self._faces, witnesses.pairs_among(statistics.keys)])
        links = np.searchsorted(statistics.keys, pairs).astype(np.int64)
        centroids = statistics.centroids
        is_relinked = self._links is None or not np.array_equal(links, self._links)
        if is_relinked:
            self._links = links
            self._components = find_components(links, len(centroids))
        if is_relinked or self._may_have_moved(centroids):
            self._bridges = find_bridges(centroids, self._components)
            self._centroids = centroids
        return build_graph(links, self._bridges, centroids)

    def copy(self) -> "CellGraph":
        """Return an independent copy; arrays, which never change, are shared."""
        copy = CellGraph(self._partition)
        copy.__dict__.update(self.__dict__)
        return copy

    def _may_have_moved(self, centroids: FloatArray) -> bool:
        """Tell whether bridges can have changed though links have not."""
        is_connected = not self._components.any()
        return not is_connected and (
            self._centroids is None or not np.array_equal(centroids, self._centroids)
        )
