"""Spread few labels over many vectors, along a graph of nearest neighbours."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from echo_stream._common.checks import check_number, check_whole
from echo_stream._common.device import single_threaded
from echo_stream._common.typing import Array, BoolArray, FloatArray, IntArray, Label
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError, DataError, SettingName
from echo_stream.samples.samples import as_objects, label_of, sorted_labels
from echo_stream.samples.validation import as_samples

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EXACT_VECTORS = 20_000  # up to as many, neighbours are looked for among all others
CANDIDATES = 2_048  # among which they are looked for beyond that
_BLOCK_ROWS = 256  # whose distances to their candidates are in memory at a time
CHUNK_CLASSES = 32  # spread at a time, in memory of n float64 each
_PRECISION = 1e-7  # of what is spread, of which float32 has little more
_LEAST = 1e-6  # of what a label gives to its own vector: less than that is none


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Labels that were spread over vectors.

    Attributes
    ----------
    labels : ndarray of shape (n,), object
        The label that was given, or the likeliest; None where none arrives.
    confidence : ndarray of shape (n,), float64
        Share of that label among all that arrives, from 0 to 1: 1 where it was given, 0 where
        none arrives.
    is_reached : ndarray of shape (n,), bool
        Whether a label arrives: the vector's component of the graph has one, and not too far.
    follows : ndarray of shape (n,), int64
        Row of the labelled vector, of the same label, that is nearest along the graph; itself
        where the label was given, -1 where none arrives.
    """

    labels: Array
    confidence: FloatArray
    is_reached: BoolArray
    follows: IntArray


def spread_labels(
    vectors: object,
    labels: object = None,
    *,
    num_neighbours: int = 10,
    alpha: float = 0.95,
    class_counts: Mapping[Label, float] | None = None,
) -> Spread:
    """Spread the labels that are known to the vectors around them.

    Parameters
    ----------
    vectors : array-like of shape (n, ...), or Snapshot
        Finite numbers; near vectors should be of one class. Of a snapshot its rows, and then
        its context; see `Snapshot.held`.
    labels : array-like of shape (n,)
        Integers, floats or text; None or NaN where unknown. At least one is known. A snapshot
        has its own.
    num_neighbours : int
        Of each vector in the graph, k.
    alpha : float
        How much of a vector's label comes from its neighbours, above 0 and below 1.
    class_counts : mapping, optional
        How frequent each label is, all of them, in any unit. Each label then gets that share
        of all that is spread; without it, labels that were given more often spread more. Of a
        snapshot the default is how often each label has come with the stream, exactly, or equal
        parts where labels were given later.

    Returns
    -------
    Spread
        The same whatever the order of rows, but for which of equal vectors is followed: the
        first.

    Raises
    ------
    ConfigError
        If a setting is out of range, class_counts lack a label or are not positive, or labels are
        given with a snapshot.
    DataError
        If vectors or labels are invalid, or no label is known.

    Notes
    -----
    Normalised spreading: F = (1 - alpha) (I - alpha S)^-1 Y, with the neighbours' graph S divided
    by the roots of its degrees; rows of F are divided by their sums. Source: Zhou et al.,
    Learning with local and global consistency, NIPS 2004; class_counts: class mass
    normalisation of Zhu et al., ICML 2003.

    Neighbours are exact up to 20,000 distinct vectors, O(n^2 D); among more they are looked
    for among some 2,048 candidates each, O(n D). Then O(n k classes). Memory is O(n (D + k)).
    Equal vectors are one vertex of the graph.

    Examples
    --------
    >>> vectors = [[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]
    >>> spread = spread_labels(vectors, ["low", None, None, None, None, "high"], num_neighbours=2)
    >>> spread.labels.tolist()
    ['low', 'low', 'low', 'high', 'high', 'high']
    >>> spread.follows.tolist()
    [0, 0, 0, 5, 5, 5]
    """
    check_settings(num_neighbours, alpha)
    if isinstance(vectors, Snapshot):
        vectors, labels, class_counts = _of_snapshot(vectors, labels, class_counts)
    x, known = _checked(vectors, labels)
    classes = sorted_labels({label for label in known if label is not None})
    if not classes:
        msg = f"none of {len(x)} labels is known, so there is none to spread; give at least one"
        raise DataError(msg)
    shares = _shares(classes, class_counts)
    # 1. Sort by content, so that the order of rows decides nothing; equal vectors are one.
    distinct, vertices = np.unique(_keys(x), return_inverse=True)
    points = _scaled(np.frombuffer(distinct.tobytes(), x.dtype).reshape(len(distinct), -1))
    place = {label: number for number, label in enumerate(classes)}
    rows = np.array([row for row, label in enumerate(known) if label is not None])
    given = np.array([place[known[row]] for row in rows])
    with single_threaded():
        # 2. Spread over the graph of distinct vectors.
        graph = neighbour_graph(points, num_neighbours)
        start = _start(vertices[rows], given, (len(points), len(classes)))
        best, confidence = _spread(graph, start, alpha, shares)
        # 3. Find the labelled vector that each follows.
        leaders = _leaders(graph, points, best, vertices[rows], given)
    # 4. Back to rows; what was given stays.
    found, sure = best[vertices], confidence[vertices]
    followed = leaders[vertices]
    follows = np.where(followed < 0, -1, rows[followed])
    found[rows], sure[rows], follows[rows] = given, 1.0, rows
    names = as_objects([*classes, None])  # the last one for -1
    return Spread(names[found], sure, found >= 0, follows)


def neighbour_graph(points: Array, num_neighbours: int) -> "csr_array":
    """Return the graph of nearest neighbours, symmetric, without loops.

    An edge weighs exp(-(distance / scale)^2), with the distance to the k-th neighbour for a
    scale: outliers have edges as heavy as others. Of the two directions the heavier counts.

    Parameters
    ----------
    points : ndarray of shape (n, D), float32
        Distinct.
    num_neighbours : int
        k; all others where there are no more.

    Returns
    -------
    csr_array of shape (n, n), float32
    """
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import

    n, k = len(points), min(num_neighbours, len(points) - 1)
    nearest, squares = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for rows, candidates in _searches(points, k):
        nearest[rows], squares[rows] = _nearest(points, rows, candidates, k)
    scales = np.maximum(squares.max(axis=1, initial=0), np.finfo(np.float32).tiny)
    weights = np.exp(-squares / scales[:, None])
    starts = np.arange(n + 1, dtype=np.int32) * np.int32(k)
    graph = csr_array((weights.ravel(), nearest.ravel(), starts), shape=(n, n))
    graph.sort_indices()
    return graph.maximum(graph.T).tocsr()


def _of_snapshot(
    snapshot: Snapshot, labels: object, class_counts: Mapping[Label, float] | None
) -> tuple[Array, Array, Mapping[Label, float] | None]:
    """Return the vectors and labels of a snapshot's samples, and how frequent classes are."""
    if labels is not None:
        raise ConfigError(SettingName("labels"), " are those of the snapshot; leave them out")
    samples, vectors = snapshot.held()
    assert samples.labels is not None
    if class_counts is None:
        class_counts = _class_frequencies(snapshot, samples.labels)
    return vectors, samples.labels, class_counts


def _class_frequencies(snapshot: Snapshot, labels: Array) -> Mapping[Label, float]:
    """Return how frequent the classes are that a snapshot's samples are labelled with.

    As often as the stream has counted them, if at least as many came labelled as are known now.
    """
    counted = snapshot.manifest["labels_stream"] or {}
    known = Counter(label_of(label) for label in labels.tolist())
    del known[None]
    exact = {label: float(counted.get(str(label), 0)) for label in known}
    if all(exact[label] >= number for label, number in known.items()):
        return exact
    return dict.fromkeys(known, 1.0)


def check_settings(num_neighbours: int, alpha: float) -> None:
    """Refuse settings out of range.

    Raises
    ------
    ConfigError
    """
    check_whole("num_neighbours", num_neighbours, at_least=1)
    check_number("alpha", alpha, above=0, below=1)


def _checked(vectors: object, labels: object) -> tuple[Array, list[Label]]:
    """Return vectors as rows, without negative zeros, and labels, None where unknown."""
    samples = as_samples(vectors, labels)
    x = samples.x.reshape(len(samples), -1)
    x = x + x.dtype.type(0) if x.dtype.kind == "f" else x
    column = [] if samples.labels is None else samples.labels.tolist()
    return np.ascontiguousarray(x), [label_of(label) for label in column]


def _shares(
    classes: tuple[Label, ...], class_counts: Mapping[Label, float] | None
) -> FloatArray | None:
    """Return how frequent each class is, (classes,); None where that is not to count."""
    if class_counts is None:
        return None
    name = SettingName("class_counts")
    counts = np.array([class_counts.get(label, 0.0) for label in classes], np.float64)
    for label, count in zip(classes, counts.tolist(), strict=True):
        if not (math.isfinite(count) and count > 0):
            raise ConfigError(
                name, f" must be above 0 for each label given; got {count} for {label!r}"
            )
    return np.asarray(counts / counts.sum())


def _keys(x: Array) -> Array:
    """Return the rows of x as values that can be sorted: their bytes, (n,)."""
    return x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()


def _scaled(points: Array) -> Array:
    """Return points around 0 and below 1, float32: squares of distances stay finite."""
    points = points.astype(np.result_type(points, np.float32)) / (_magnitude(points) or 1.0)
    points -= points.mean(axis=0, dtype=np.float64)
    return np.asarray(points / (_magnitude(points) or 1.0), np.float32)


def _magnitude(points: Array) -> float:
    """Return the largest absolute value."""
    return max(float(points.max()), -float(points.min()))


def _searches(points: Array, k: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield some rows and the candidates for their neighbours, until all rows have been.

    Up to `EXACT_VECTORS` all are candidates. Beyond, points are split by the nearest of some of
    them, and candidates are those of the parts around.
    """
    n = len(points)
    if n <= EXACT_VECTORS:
        parts = iter([(np.arange(n), np.arange(n))])
    else:
        parts = _parts(points, max(CANDIDATES, k + 1))
    for rows, candidates in parts:
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield rows[start : start + _BLOCK_ROWS], candidates


def _parts(points: Array, num_candidates: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the rows of each part, and at least so many candidates in the parts around it."""
    n = len(points)
    number = 2 * math.isqrt(n)
    centres = points[np.arange(number) * n // number]
    owners = np.concatenate(
        [
            _squares(points[start : start + _BLOCK_ROWS], centres).argmin(axis=1)
            for start in range(0, n, _BLOCK_ROWS)
        ]
    )
    counts = np.bincount(owners, minlength=number)
    members = np.split(np.argsort(owners, kind="stable"), np.cumsum(counts)[:-1])
    for part, rows in enumerate(members):
        around = np.argsort(_squares(centres[part : part + 1], centres)[0], kind="stable")
        enough = int(np.searchsorted(np.cumsum(counts[around]), num_candidates)) + 1
        near = np.union1d(around[:enough], part)
        yield rows, np.concatenate([members[each] for each in near])


def _nearest(points: Array, rows: IntArray, candidates: IntArray, k: int) -> tuple[Array, Array]:
    """Return the k candidates nearest to each row but itself, and the squared distances."""
    squares = _squares(points[rows], points[candidates])
    squares[rows[:, None] == candidates] = np.inf
    near = np.argpartition(squares, min(k, len(candidates) - 1), axis=1)[:, :k]
    found = candidates[near]
    # By differences: the products above round small distances away.
    offsets = points[rows][:, None] - points[found]
    return found, np.einsum("nkd,nkd->nk", offsets, offsets)


def _squares(a: Array, b: Array) -> Array:
    """Return squared distances, (len(a), len(b)), less what is the same along a row."""
    squares = -2 * (a @ b.T)
    squares += np.einsum("nd,nd->n", b, b)
    return np.asarray(squares)


def _start(vertices: IntArray, given: IntArray, shape: tuple[int, int]) -> "csr_array":
    """Return what each vertex was given, Y: 1 in all, in parts where equal vectors disagree."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import

    counts = np.bincount(vertices, minlength=shape[0])
    parts = (1 / counts[vertices]).astype(np.float32)
    return csr_array((parts, (vertices, given)), shape=shape)  # sums what is given twice


def _spread(
    graph: "csr_array", start: "csr_array", alpha: float, shares: FloatArray | None
) -> tuple[IntArray, FloatArray]:
    """Return the class of each vertex, -1 where none arrives, and the confidence."""
    from scipy.sparse import diags_array  # noqa: PLC0415 - slow to import

    n, num_classes = start.shape
    degrees = graph.sum(axis=1)
    roots = diags_array(np.sqrt(1 / np.where(degrees > 0, degrees, 1)).astype(np.float32))
    # In an order in which neighbours are near in memory too: several times as fast.
    order = _by_region(graph, start)
    normalised, start = (roots @ graph @ roots).tocsr()[order][:, order], start[order]
    best, largest = np.full(n, -1), np.zeros(n)
    arrived, total = np.zeros(n), np.zeros(n)
    for first in range(0, num_classes, CHUNK_CLASSES):
        part = start[:, first : first + CHUNK_CLASSES].toarray()
        values = np.maximum(_solved(normalised, part, alpha), 0).astype(np.float64)
        arrived += values.sum(axis=1)
        if shares is not None:
            values *= shares[first : first + CHUNK_CLASSES] / values.sum(axis=0)
        total += values.sum(axis=1)
        here = values.argmax(axis=1)
        most = values[np.arange(n), here]
        best = np.where(most > largest, first + here, best)
        largest = np.maximum(largest, most)
    is_reached = (arrived > _LEAST * (1 - alpha)) & (best >= 0)
    confidence = np.divide(largest, total, out=np.zeros(n), where=is_reached)
    back = np.argsort(order)
    return np.where(is_reached, best, -1)[back], np.minimum(confidence, 1)[back]


def _by_region(graph: "csr_array", start: "csr_array") -> IntArray:
    """Return the vertices ordered by the labelled one that is the fewest edges away."""
    from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415 - slow to import

    _, _, ends = dijkstra(
        graph,
        indices=np.flatnonzero(np.diff(start.indptr)),
        min_only=True,
        return_predecessors=True,
        unweighted=True,
    )
    return np.argsort(ends, kind="stable")


def _solved(normalised: "csr_array", start: Array, alpha: float) -> Array:
    """Return F of F = alpha S F + (1 - alpha) Y by Chebyshev's semi-iteration.

    The eigenvalues of S are between -1 and 1, so that no products of vectors are needed, and
    a sixth of the steps of plain iteration.
    """
    rate = alpha / (1 + math.sqrt(1 - alpha**2))
    now = (1 - alpha) * start
    rows = np.flatnonzero(start.any(axis=1))
    begun = now[rows]
    before, factor, damped = np.zeros_like(now), 2.0, np.float32(alpha) * normalised
    for _ in range(math.ceil(math.log(_PRECISION) / math.log(rate))):
        factor = 1 / (1 - alpha**2 * factor / 4)
        after = damped @ now
        after[rows] += begun
        after *= factor
        before *= 1 - factor
        after += before
        before, now = now, after
    return np.asarray(now)


def _leaders(
    graph: "csr_array", points: Array, best: IntArray, vertices: IntArray, given: IntArray
) -> IntArray:
    """Return for each vertex the place, in what was given, of the one it follows, or -1.

    The nearest along edges between vertices of its class, longer where they are lighter; the
    nearest point of its class where there is no such way.
    """
    from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415 - slow to import

    places = np.full(len(best), -1)
    counts = best[vertices] == given
    for place in np.flatnonzero(counts)[::-1].tolist():
        places[vertices[place]] = place  # the first of equal ones
    edges = graph.tocoo()
    within = best[edges.row] == best[edges.col]
    lengths = 1 - np.log(np.minimum(edges.data, 1)) * within
    ways = type(graph)((lengths[within], (edges.row[within], edges.col[within])), shape=graph.shape)
    sources, leaders = np.flatnonzero(places >= 0), places
    if len(sources):
        _, _, ends = dijkstra(ways, indices=sources, min_only=True, return_predecessors=True)
        leaders = np.where(ends < 0, -1, places[np.maximum(ends, 0)])
    for row in np.flatnonzero((leaders < 0) & (best >= 0)).tolist():
        own = np.flatnonzero(given == best[row])
        offsets = points[vertices[own]] - points[row]
        leaders[row] = own[np.einsum("nd,nd->n", offsets, offsets).argmin()]
    return np.where(best < 0, -1, leaders)
