"""Choose the coreset of a sketch whose cells follow the stream, by facility location."""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from echo_stream._common.typing import FloatArray, IntArray
from echo_stream.coreset.facility import Picks, kernel_width, locate_facilities
from echo_stream.coreset.selection import SelectedRow
from echo_stream.samples.members import Member
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.pools.pools import latents

_PREFERENCE = 1.1  # of a sample that has a label, over an equal one that has none
_STEEPEST = math.exp(-0.5)  # slope of the kernel in units of its width, where it is largest


class Cover(NamedTuple):
    """The rows of a coreset, and how well they cover everything counted.

    Attributes
    ----------
    rows : list of SelectedRow
        In the order of selection; nothing is certified.
    weights : ndarray of shape (k,), float64
        Samples that each row represents, itself included; they sum to N.
    nearest : ndarray of shape (M,), int64
        For each cell the place of the row that represents it.
    width : float
        Of the kernel.
    mean_squared_distance : float or None
        Of all samples ever counted, to the row that represents their cell: exactly, but for
        the rounding of |z|^2. None without rows, and where the sums of squares are not known
        exactly.
    coverage : float
        Average similarity of the cells' means to the nearest row, from 0 to 1.
    coverage_at_least : float or None
        What the average similarity of all samples ever counted cannot be below; None where
        sums, or those of squares, are not known exactly.
    redundancy : float
        Share of the samples whose cell has its mean within half the width of the nearest row.
    """

    rows: list[SelectedRow]
    weights: FloatArray
    nearest: IntArray
    width: float
    mean_squared_distance: float | None
    coverage: float
    coverage_at_least: float | None
    redundancy: float


def cover(sketch: AdaptiveSketch, statistics: CellStatistics) -> Cover:
    """Return the held samples that cover the cells of a flushed sketch best.

    Notes
    -----
    Each cell is asked for with its count to the power `demand_power`. Whatever is held may be
    chosen; ties are broken by the hash of the id. A sample that has a label is preferred, so
    that most rows that have been labelled stay. See `locate_facilities` for the cost.
    """
    config, dim = sketch.config, sketch.generation.encoder.dim
    supply = sorted({member.tie: member for member in sketch.members()}.values(), key=_tie)
    z, means = latents(supply, dim), statistics.centroids
    width = kernel_width(means)
    picks = locate_facilities(
        means,
        statistics.counts.astype(np.float64) ** config.demand_power,
        z,
        config.budget,
        width=width,
        preference=np.where([member.label is None for member in supply], 1.0, _PREFERENCE),
        min_distance=config.min_distance,
    )
    chosen = [supply[row] for row in picks.rows.tolist()]
    cells = np.searchsorted(statistics.keys, np.array(sketch.keys_of(chosen), dtype=np.int64))
    rows = _rows(cells.tolist(), chosen, means)
    if rows:
        squares = np.square(means - z[picks.rows[picks.nearest]]).sum(axis=1)
    else:  # all that was held has been forgotten
        squares = np.full(len(means), np.inf)
    similar = np.exp(-squares / (2 * width**2))
    counts, cells_of = statistics.counts, sketch.cells
    n = max(int(counts.sum()), 1)
    is_known = cells_of.squares_are_exact and statistics.is_exact
    scatter = cells_of.scatter()[statistics.slots] if is_known else None
    return Cover(
        rows=rows,
        weights=_weights(picks, cells, counts),
        nearest=picks.nearest,
        width=width,
        mean_squared_distance=None
        if scatter is None or not rows
        else float((scatter.sum() + squares @ counts) / n),
        coverage=float(similar @ counts / n),
        coverage_at_least=None if scatter is None else _at_least(similar, counts, scatter, width),
        redundancy=float(counts[squares <= (width / 2) ** 2].sum() / n),
    )


def _rows(cells: list[int], chosen: list[Member], means: FloatArray) -> list[SelectedRow]:
    """Return chosen samples as rows; the rank of each counts those of its cell before it."""
    ranks, rows = Counter[int](), list[SelectedRow]()
    for cell, member in zip(cells, chosen, strict=True):
        ranks[cell] += 1
        distance = math.dist(member.latent, means[cell])
        rows.append(SelectedRow(cell, ranks[cell], distance, member, None))
    return rows


def _tie(member: Member) -> tuple[int, str, object]:
    """Return what orders samples independently of arrival."""
    return member.tie


def _weights(picks: Picks, cells: IntArray, counts: IntArray) -> FloatArray:
    """Return the samples that each row represents: itself, and the others of the cells nearest it.

    cells has the position of the cell that each row was counted in.
    """
    if not len(cells):
        return np.zeros(0)
    others = counts - np.bincount(cells, minlength=len(counts))
    return np.asarray(1.0 + np.bincount(picks.nearest, weights=others, minlength=len(cells)))


def _at_least(similar: FloatArray, counts: IntArray, scatter: FloatArray, width: float) -> float:
    """Return a lower bound on the average similarity of all samples to the nearest row.

    A cell is known by its count n, its mean and the sum s of squared distances to it. The kernel
    curves by -1 / width^2 at most, and slopes cancel around the mean: its samples lose no more
    than s / (2 width^2) together. And no more than the steepest slope times sqrt(n s), the
    largest sum of distances there can be.
    """
    by_curvature = scatter / (2 * width**2)
    by_slope = _STEEPEST / width * np.sqrt(counts * scatter)
    assured = counts * similar - np.minimum(by_curvature, by_slope)
    return float(np.maximum(assured, 0.0).sum() / max(int(counts.sum()), 1))
