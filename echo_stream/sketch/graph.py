"""The proximally-connected graph of occupied cells, from scratch and kept up to date.

Source: the ECHO paper, section III-B.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.generation.quantiser import Quantiser
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.witnesses import Witnesses

_CHUNK_NUMBERS = 2**22  # 32 MiB of differences between centroids, held at a time


@dataclass(frozen=True, slots=True, eq=False)
class PCGraph:
    """Vertices are positions 0 .. M - 1 of the occupied cells in order of key.

    Attributes
    ----------
    edges : ndarray of shape (E, 2), int64
        Edges between adjacent cells first, then bridges; in each row the smaller position first.
    lengths : ndarray of shape (E,), float64
        |c_i - c_j|.
    is_bridge : ndarray of shape (E,), bool
        False for cells that are adjacent: share a face of the grid, or a witness.
    degrees : ndarray of shape (M,), int64
    """

    edges: IntArray
    lengths: FloatArray
    is_bridge: Array
    degrees: IntArray


def build_graph(links: IntArray, bridges: IntArray, centroids: FloatArray) -> PCGraph:
    """Return the PC graph of occupied cells. O(M + E).

    Parameters
    ----------
    links : ndarray of shape (E, 2), int64
        Pairs of positions of adjacent cells, smaller first, in order.
    bridges : ndarray of shape (C - 1, 2), int64
        From `find_bridges`.
    centroids : ndarray of shape (M, d), float64
    """
    edges = np.concatenate([links, bridges])
    return PCGraph(
        edges=edges,
        lengths=np.sqrt(_squared_lengths(centroids[edges[:, 0]], centroids[edges[:, 1]])),
        is_bridge=np.arange(len(edges)) >= len(links),
        degrees=np.bincount(edges.ravel(), minlength=len(centroids)).astype(np.int64),
    )


def find_components(edges: IntArray, num_vertices: int) -> IntArray:
    """Return the number of each vertex's connected component, of shape (M,). O(M + E)."""
    ones = np.ones(len(edges), dtype=np.int8)
    matrix = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(num_vertices, num_vertices))
    return np.asarray(connected_components(matrix, directed=False)[1], dtype=np.int64)


def find_bridges(centroids: FloatArray, components: IntArray) -> IntArray:
    """Return the minimum spanning tree over contracted components, of shape (C - 1, 2).

    The shortest centroid distances between components join them, ties by the pair of
    cells: each edge is a bridge, and the shortest link between its two sides. O(M), and
    O(M^2 d) when there is more than one component.

    Prim's algorithm. For each vertex outside the tree the shortest link into the tree
    is kept, as (squared length, smaller position, larger position), so that the order
    of links is total and the tree unique.
    """
    outside = np.arange(len(centroids))
    best = np.full(len(centroids), np.inf)
    partner = np.zeros(len(centroids), dtype=np.int64)
    tree: list[tuple[int, int]] = []
    joining = int(components[0]) if len(components) else -1
    while True:
        joined = outside[components[outside] == joining]
        outside = outside[components[outside] != joining]
        if len(outside) == 0:
            return np.array(sorted(tree), dtype=np.int64).reshape(-1, 2)
        _relax(centroids, joined, outside, best, partner)
        low, high = _ordered(outside, partner[outside])
        nearest = np.lexsort((high, low, best[outside]))[0]
        tree.append((int(low[nearest]), int(high[nearest])))
        joining = int(components[outside[nearest]])


def _relax(
    centroids: FloatArray, joined: IntArray, outside: IntArray, best: FloatArray, partner: IntArray
) -> None:
    """Shorten the links of outside vertices by links to joined ones. Changes best and partner."""
    rows = max(_CHUNK_NUMBERS // max(len(outside) * centroids.shape[1], 1), 1)
    for start in range(0, len(joined), rows):
        chunk = joined[start : start + rows]
        lengths = _squared_lengths(centroids[outside][:, None], centroids[chunk][None])
        # chunk ascends, so argmin's first hit is the smallest partner, hence the smallest pair.
        nearest = lengths.argmin(axis=1)
        length, candidate = lengths[np.arange(len(outside)), nearest], chunk[nearest]
        old = best[outside]
        tie = (length == old) & (candidate < partner[outside])
        better = outside[(length < old) | tie]
        best[better] = length[(length < old) | tie]
        partner[better] = candidate[(length < old) | tie]


def _ordered(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """Return pairs with the smaller position first."""
    return np.minimum(left, right), np.maximum(left, right)


def _squared_lengths(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return squared distances over the last axis."""
    return np.asarray(np.square(left - right).sum(axis=-1))


_NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


class CellGraph:
    """Faces between occupied cells, and the last graph that was drawn with them.

    A face is found when the second of its cells is first occupied, and lost when one of
    them is emptied. Components depend on links alone, bridges on centroids as well: each
    is found again only where something that it depends on has changed.
    """

    def __init__(self, quantiser: Quantiser) -> None:
        self._quantiser = quantiser
        self._occupied = np.zeros(0, dtype=np.int64)
        self._faces = _NO_PAIRS
        self._links: IntArray | None = None
        self._components = np.zeros(0, dtype=np.int64)
        self._bridges = _NO_PAIRS
        self._centroids: FloatArray | None = None

    def occupy(self, keys: IntArray) -> None:
        """Take note of the cells that are occupied now, ascending keys, int64.

        O(changed cells d log M), and O(faces) where any has changed.
        """
        if np.array_equal(keys, self._occupied):
            return
        new = np.setdiff1d(keys, self._occupied, assume_unique=True)
        kept = self._faces[np.isin(self._faces, keys).all(axis=1)]
        found = self._quantiser.face_pairs(new, keys)
        self._faces = np.unique(np.concatenate([kept, found]), axis=0)
        self._occupied = keys.copy()
        self._links = None

    def draw(self, statistics: CellStatistics, witnesses: Witnesses) -> PCGraph:
        """Return the PC graph of the occupied cells.

        O(M + E); O(M^2 d) where bridges have to be found again.
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
        copy = CellGraph(self._quantiser)
        copy.__dict__.update(self.__dict__)
        return copy

    def _may_have_moved(self, centroids: FloatArray) -> bool:
        """Return whether bridges can have changed though links have not."""
        is_connected = not self._components.any()
        return not is_connected and (
            self._centroids is None or not np.array_equal(centroids, self._centroids)
        )
