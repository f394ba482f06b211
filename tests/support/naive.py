"""The method written straight from its formulas: slow, obvious, and independent.

Everything is plain Python. Sums and distances are exact (fractions), except where
the engine is specified to compare floats: the lengths of the graph's edges.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from echo_stream._common.typing import Array

Point = Sequence[float]
Cell = tuple[int, ...]
Edge = tuple[Cell, Cell]


@dataclass(frozen=True)
class NaiveSample:
    """A sample: its id, its z and its x."""

    id: str
    latent: tuple[float, ...]
    vector: tuple[float, ...]


def profile_loss(vectors: list[Point], latent: list[Point]) -> float:
    """Equations 1-3: mean over i of (mean_j DX_ij - mean_j DZ_ij)^2, each scaled by its maximum."""
    dx, dz = _scaled_distances(vectors), _scaled_distances(latent)
    n = len(vectors)
    return sum((sum(dx[i]) / n - sum(dz[i]) / n) ** 2 for i in range(n)) / n


def pairwise_loss(vectors: list[Point], latent: list[Point]) -> float:
    """Mean over i, j of (DX_ij - DZ_ij)^2, each scaled by its maximum."""
    dx, dz = _scaled_distances(vectors), _scaled_distances(latent)
    n = len(vectors)
    return sum((dx[i][j] - dz[i][j]) ** 2 for i in range(n) for j in range(n)) / n**2


def locate(latent: Point, side: int) -> Cell:
    """Section III-A: floor(z G), clamped to -1..G."""
    return tuple(min(max(math.floor(value * side), -1), side) for value in latent)


def nearest_codewords(latent: Point, codewords: list[Point]) -> list[int]:
    """Return the codewords by distance, compared exactly; ties to the smaller number."""
    return sorted(
        range(len(codewords)),
        key=lambda k: (squared_distance(latent, [tuple(codewords[k])]), k),
    )


def group(samples: list[NaiveSample], side: int) -> dict[Cell, list[NaiveSample]]:
    """Return the occupied cells with their samples, in order of index."""
    cells: dict[Cell, list[NaiveSample]] = {}
    for sample in samples:
        cells.setdefault(locate(sample.latent, side), []).append(sample)
    return dict(sorted(cells.items()))


def centroid(points: list[tuple[float, ...]]) -> list[float]:
    """Return the mean of points, summed exactly and divided once."""
    return [
        float(sum(map(Fraction, axis), Fraction(0))) / len(points)
        for axis in zip(*points, strict=True)
    ]


def share_face(left: Cell, right: Cell) -> bool:
    """Cells share a (d-1)-dimensional face when they differ by one in exactly one axis."""
    return sum(abs(a - b) for a, b in zip(left, right, strict=True)) == 1


def squared_length(left: Point, right: Point) -> float:
    """Return |c_i - c_j|^2 in floats, summed axis by axis."""
    total = 0.0
    for a, b in zip(left, right, strict=True):
        total += (a - b) * (a - b)
    return total


def components(cells: list[Cell], edges: list[Edge]) -> list[set[Cell]]:
    """Return the connected components by flooding."""
    unseen, found = set(cells), []
    while unseen:
        reached, frontier = set(), [min(unseen)]
        while frontier:
            cell = frontier.pop()
            if cell not in reached:
                reached.add(cell)
                frontier += [b if a == cell else a for a, b in edges if cell in (a, b)]
        unseen -= reached
        found.append(reached)
    return found


def pc_graph(
    centroids: dict[Cell, list[float]], adjacent: Callable[[Cell, Cell], bool] = share_face
) -> tuple[list[Edge], list[Edge]]:
    """Section III-B: edges of adjacent cells, and bridges by Kruskal over all pairs."""
    cells = sorted(centroids)
    pairs = list(itertools.combinations(cells, 2))
    faces = [(a, b) for a, b in pairs if adjacent(a, b)]
    bridges: list[Edge] = []
    for a, b in sorted(pairs, key=lambda p: (squared_length(centroids[p[0]], centroids[p[1]]), p)):
        if not any({a, b} <= part for part in components(cells, faces + bridges)):
            bridges.append((a, b))
    return faces, sorted(bridges)


def degrees(cells: list[Cell], edges: list[Edge]) -> dict[Cell, int]:
    """Return the number of edges at each cell."""
    return {cell: sum(cell in edge for edge in edges) for cell in cells}


def tie(sample_id: str) -> tuple[int, str]:
    """Return what breaks ties: the hash of the id, then the id.

    The hash is splitmix64's step, applied twice: to an int64 that the id is the decimal
    text of, or else to the 64-bit BLAKE2b of the id.
    """
    number = _as_int64(sample_id)
    if number is None or str(number) != sample_id:
        digest = hashlib.blake2b(sample_id.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
    return splitmix64(splitmix64(number % 2**64)), sample_id


def _as_int64(text: str) -> int | None:
    """Return the integer that a text stands for; None if there is none, or none of 64 bits."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def splitmix64(state: int) -> int:
    """Return what the generator of Steele, Lea & Flood (2014) makes of a state."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def squared_distance(point: Point, points: list[tuple[float, ...]]) -> Fraction:
    """Return the exact squared distance of point to the mean of points."""
    total = Fraction(0)
    for value, axis in zip(point, zip(*points, strict=True), strict=True):
        total += (Fraction(value) - sum(map(Fraction, axis), Fraction(0)) / len(points)) ** 2
    return total


def visiting_order(counts: dict[Cell, int], degree: dict[Cell, int]) -> list[Cell]:
    """Equation 4: by degree, descending; ties by count, descending, then by index."""
    return sorted(counts, key=lambda cell: (-degree[cell], -counts[cell], cell))


def ranked_members(members: list[NaiveSample], rank: str) -> list[NaiveSample]:
    """Order a cell's samples by a rank rule: nearest first, by hash, or one and then the other."""
    points = [m.latent for m in members]
    by_distance = sorted(members, key=lambda s: (squared_distance(s.latent, points), tie(s.id)))
    by_hash = sorted(members, key=lambda s: tie(s.id))
    if rank == "center":
        return by_distance
    first = by_distance[:1] if rank == "mixed" else []
    return first + [s for s in by_hash if s not in first]


def core(
    cells: dict[Cell, list[NaiveSample]], order: list[Cell], budget: int, rank_rule: str = "center"
) -> list[tuple[Cell, int, str]]:
    """Equations 5-7: rounds over the cells, each giving its next sample."""
    ranked = {cell: ranked_members(members, rank_rule) for cell, members in cells.items()}
    chosen: list[tuple[Cell, int, str]] = []
    most = max(len(members) for members in cells.values())
    for rank in range(1, most + 1):
        for cell in order:
            if rank <= len(ranked[cell]) and len(chosen) < budget:
                chosen.append((cell, rank, ranked[cell][rank - 1].id))
    return chosen


def class_shares(totals: dict[int, int], budget: int) -> dict[int, int]:
    """Deal a budget to classes one by one, the largest first in each round, while they last."""
    shares = dict.fromkeys(totals, 0)
    while sum(shares.values()) < min(budget, sum(totals.values())):
        for number in sorted(totals, key=lambda number: (-totals[number], number)):
            if shares[number] < totals[number] and sum(shares.values()) < budget:
                shares[number] += 1
    return shares


def balanced_core(
    cells: dict[Cell, list[NaiveSample]], order: list[Cell], budget: int, rank_rule: str
) -> list[tuple[Cell, int, str]]:
    """Return the core of each class by itself, whose number begins a cell's; round by round."""
    totals: dict[int, int] = {}
    for (number, *_), members in cells.items():
        totals[number] = totals.get(number, 0) + len(members)
    chosen: list[tuple[Cell, int, str]] = []
    for number, share in class_shares(totals, budget).items():
        own = {cell: members for cell, members in cells.items() if cell[0] == number}
        if share:
            chosen += core(own, [cell for cell in order if cell[0] == number], share, rank_rule)
    return sorted(chosen, key=lambda row: (row[1], order.index(row[0])))


def support(
    cells: dict[Cell, list[NaiveSample]], order: list[Cell], size: int
) -> list[tuple[Cell, int, str]]:
    """Equations 8-10: in each cell the samples farthest from the mean in input space."""
    chosen: list[tuple[Cell, int, str]] = []
    for cell in order:
        members = cells[cell]
        ranked = sorted(
            members,
            key=lambda s: (-squared_distance(s.vector, [m.vector for m in members]), tie(s.id)),
        )
        chosen += [(cell, rank, s.id) for rank, s in enumerate(ranked[:size], start=1)]
    return chosen


def shared_support(
    cells: dict[Cell, list[NaiveSample]],
    order: list[Cell],
    chosen: list[tuple[Cell, int, str]],
    slots: int,
) -> list[tuple[Cell, int, str]]:
    """Round r of support: each cell's r-th farthest sample that is not in the core."""
    taken = {(cell, sample_id) for cell, _, sample_id in chosen}
    farthest = {
        cell: [i for _, _, i in support(cells, [cell], len(cells[cell])) if (cell, i) not in taken]
        for cell in cells
    }
    dealt: list[tuple[Cell, int, str]] = []
    for rank in range(1, max(map(len, cells.values())) + 1):
        for cell in order:
            if rank <= len(farthest[cell]) and len(dealt) < slots:
                dealt.append((cell, rank, farthest[cell][rank - 1]))
    return dealt


def weights(
    cells: dict[Cell, list[NaiveSample]],
    centroids: dict[Cell, list[float]],
    rows: list[tuple[Cell, int, str]],
) -> list[float]:
    """Return the weight of each row: count over distinct rows; empty cells give to the nearest."""
    taken = {cell: len({i for c, _, i in rows if c == cell}) for cell in cells}
    represented = {cell: len(members) if taken[cell] else 0 for cell, members in cells.items()}
    with_rows = [cell for cell in cells if taken[cell]]
    for cell, members in cells.items():
        if not taken[cell]:
            nearest = min(
                with_rows, key=lambda c: (squared_length(centroids[c], centroids[cell]), c)
            )
            represented[nearest] += len(members)
    seen: set[str] = set()
    result = []
    for cell, _, sample_id in rows:
        result.append(0.0 if sample_id in seen else represented[cell] / taken[cell])
        seen.add(sample_id)
    return result


def _scaled_distances(points: list[Point]) -> list[list[float]]:
    """Return all distances divided by the largest; all zeros for equal points."""
    distances = [[math.dist(a, b) for b in points] for a in points]
    largest = max(max(row) for row in distances) or 1.0
    return [[distance / largest for distance in row] for row in distances]


def structural_loss(outputs: list[Point], labels: list[int], margin: float) -> float:
    """Equation 12, pair by pair."""
    rows = range(len(labels))
    pairs = [(i, j) for i in rows for j in rows if i != j]
    positive = [math.dist(outputs[i], outputs[j]) ** 2 for i, j in pairs if labels[i] == labels[j]]
    negative = [
        max(0.0, margin - math.dist(outputs[i], outputs[j]))
        for i, j in pairs
        if labels[i] != labels[j]
    ]
    return _mean(positive) + _mean(negative)


def cross_entropy(outputs: list[Point], labels: list[int], weights: list[float]) -> float:
    """Equation 11: the weighted mean of -log of the true class's probability."""
    losses = []
    for logits, label in zip(outputs, labels, strict=True):
        total = math.fsum(math.exp(logit) for logit in logits)
        losses.append(-math.log(math.exp(logits[label]) / total))
    return _weighted_mean(losses, weights)


def squared_error(outputs: list[Point], targets: list[float], weights: list[float]) -> float:
    """Equation 11 for a regression."""
    losses = [(o[0] - target) ** 2 for o, target in zip(outputs, targets, strict=True)]
    return _weighted_mean(losses, weights)


def mixed_cross_entropy(
    outputs: list[Point], distributions: list[list[float]], weights: list[float]
) -> float:
    """Return the cross-entropy against distributions over the classes, weighted."""
    losses = []
    for logits, shares in zip(outputs, distributions, strict=True):
        total = math.fsum(math.exp(logit) for logit in logits)
        losses.append(
            -math.fsum(
                share * math.log(math.exp(logit) / total)
                for logit, share in zip(logits, shares, strict=True)
            )
        )
    return _weighted_mean(losses, weights)


def calibration_error(confidences: list[float], is_right: list[bool], bins: int) -> float:
    """Guo et al. (2017), equation 3: bins ((b - 1) / bins, b / bins]."""
    error = 0.0
    for b in range(bins):
        inside = [
            i for i, c in enumerate(confidences) if b / bins < c <= (b + 1) / bins or c == b == 0
        ]
        if inside:
            accuracy = sum(is_right[i] for i in inside) / len(inside)
            confidence = math.fsum(confidences[i] for i in inside) / len(inside)
            error += len(inside) / len(confidences) * abs(accuracy - confidence)
    return error


def _weighted_mean(values: list[float], weights: list[float]) -> float:
    """Return a weighted mean; 0 where there is no weight."""
    total = math.fsum(weights)
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total if total else 0.0


def _mean(values: list[float]) -> float:
    """Return the mean; 0 without values."""
    return math.fsum(values) / len(values) if values else 0.0


def naive_samples(points: Array) -> list[NaiveSample]:
    """Return points as the naive implementation wants them, rounded as the engine rounds."""
    spacing = 2.0**-22
    rounded = [tuple(round(float(v) / spacing) * spacing for v in row) for row in points]
    return [NaiveSample(str(row), point, point) for row, point in enumerate(rounded)]
