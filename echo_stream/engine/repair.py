"""Read the source again, to certify the rows that the stream left in doubt."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.coreset.allocation import order_cells
from echo_stream.coreset.choosing import choose
from echo_stream.errors import ConfigError
from echo_stream.samples.members import Member, copies, cross_off, detached
from echo_stream.samples.source import Rereadable, read_again
from echo_stream.sketch.cells import CellStatistics, CellTable
from echo_stream.sketch.embedding import Embedded
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.late_labels import LateLabels
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.certificates import RankKey
from echo_stream.sketch.pools.distance_pools import TINY
from echo_stream.sketch.pools.hash_pools import HashPools
from echo_stream.sketch.pools.ranks import rank_keys

_SAME = 1e-4  # relative deviation of sums of features that are made again


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of a repair.

    Attributes
    ----------
    num_cells : int
        Cells whose pools were filled again.
    num_forgotten : int
        Samples of forgotten ids that were still in the sums, and have been removed.
    differences : list of (cell, int, int)
        Cells for which the source has other samples than were counted: the cell, samples
        counted, samples found; the two numbers can be equal. If there are any, nothing has
        been changed.
    """

    num_cells: int = 0
    num_forgotten: int = 0
    differences: list[tuple[Cell, int, int]] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        """Whether the source has the samples that were counted."""
        return not self.differences


def repair(sketch: FixedSketch, source: Rereadable) -> RepairReport:
    """Fill the pools of cells in doubt from all that was counted; see `EchoCoreset.repair`.

    O(N D), and one reading of the source; a second one where samples of forgotten ids
    may still be in the sums.
    """
    if sketch.is_approximate:
        msg = (
            "counts are estimates since a generation was trained on held samples; "
            "call regenerate(source), which counts everything again"
        )
        raise ConfigError(msg)
    sketch.flush()
    num_forgotten = 0
    if len(sketch.forgotten):
        pending, differences = _read_forgotten(sketch, source)
        if differences:
            return RepairReport(differences=differences)
        num_forgotten = _take_out(sketch, pending)
        sketch.pools.renew_quota(sketch.table.counts.cpu().numpy())
        sketch.release_index()
    cells = _Cells.in_doubt(sketch)
    if not len(cells.positions):
        return RepairReport(num_forgotten=num_forgotten)
    differences = cells.fill(sketch, source)
    if differences:
        return RepairReport(num_forgotten=num_forgotten, differences=differences)
    cells.install(sketch)
    return RepairReport(len(cells.positions), num_forgotten)


def _read_forgotten(
    sketch: FixedSketch, source: Rereadable
) -> tuple[list[Member], list[tuple[Cell, int, int]]]:
    """Return the samples of forgotten ids that are still in the sums, and differences."""
    recount, found = _Recount(sketch), []
    for block in _read(sketch, source):
        is_forgotten = _forgotten_rows(sketch, block)
        recount.add(block, np.flatnonzero(~is_forgotten))
        found += sketch.embedder.members_of(block, np.flatnonzero(is_forgotten))
    pending = sketch.forgotten.pending(found)
    recount.add(sketch.embedder.placed(pending), np.arange(len(pending)))
    return pending, recount.differences(sketch)


def _take_out(sketch: FixedSketch, pending: list[Member]) -> int:
    """Remove samples that were read again: the held ones first, then the others."""
    names = sorted({member.id for member in pending})
    held = copies(member for name in names for member in sketch.index.of(name))
    num_held = sum(sketch.forget(name) for name in names)
    dropped = [member for member in pending if not cross_off(member, held)]
    for member in sketch.take_out(dropped):
        sketch.forgotten.add(member.id, [member])
    return num_held + len(dropped)


class _Recount:
    """Counts and sums of the second reading, to compare with those of the sketch."""

    def __init__(self, sketch: FixedSketch) -> None:
        self._table = CellTable(sketch.generation, sketch.device)
        self._device = sketch.device

    def add(self, embedded: Embedded, rows: IntArray) -> None:
        """Count rows of samples that have been embedded. O(n D)."""
        index = torch.from_numpy(rows).to(self._device)
        vectors, latent, keys, *_ = embedded
        self._table.update(keys[index], latent[index], vectors[index])

    def differences(self, sketch: FixedSketch) -> list[tuple[Cell, int, int]]:
        """Return the cells with other samples, and both numbers, which may be equal."""
        mine, theirs = self._table.statistics(), sketch.table.statistics()
        differences: list[tuple[Cell, int, int]] = []
        for key in np.union1d(mine.keys, theirs.keys).tolist():
            here, there = mine.position(key), theirs.position(key)
            if not _is_same(sketch, mine, here, theirs, there):
                counted = 0 if there is None else int(theirs.counts[there])
                found = 0 if here is None else int(mine.counts[here])
                differences.append((sketch.cell(key), counted, found))
        return differences


def _is_same(
    sketch: FixedSketch,
    mine: CellStatistics,
    here: int | None,
    theirs: CellStatistics,
    there: int | None,
) -> bool:
    """Return whether a cell has the same count and sums twice."""
    if here is None or there is None or mine.counts[here] != theirs.counts[there]:
        return False
    if not (mine.is_exact and theirs.is_exact):
        return True  # sums depend on their order then
    sums = (
        (mine.latent_sums[here], theirs.latent_sums[there]),
        (mine.input_sums[here], theirs.input_sums[there]),
    )
    if sketch.generation.features is None:
        return all(np.array_equal(a, b) for a, b in sums)
    # A network's last bits may differ with the row at which a sample stood in its block.
    return all(np.allclose(a, b, rtol=_SAME, atol=_SAME * np.abs(b).max()) for a, b in sums)


class _Cells:
    """The cells in doubt, and new pools for them."""

    def __init__(self, sketch: FixedSketch, positions: IntArray) -> None:
        statistics, pools = sketch.table.statistics(), sketch.pools
        self.positions = positions
        self._late = LateLabels(sketch.members())
        self._slots = statistics.slots[positions]
        self._counts = statistics.counts[positions]
        totals = {"nearest": statistics.latent_sums, "support": statistics.input_sums}
        self._ranked = {
            name: _RankedPools(
                self._counts,
                totals[name][positions],
                side.capacities[self._slots],
                sketch.device,
                farthest=side.farthest,
            )
            for name, side in pools.ordered.items()
        }
        self._hashed = None if pools.hashed is None else HashPools(sketch.device)
        if self._hashed is not None and pools.hashed is not None:
            self._hashed.extend(len(positions))
            self._hashed.capacities = pools.hashed.capacities[self._slots]
        # By slot: the number of the cell in doubt, or -1. The last entry is for no slot.
        numbers = np.full(len(sketch.table) + 1, -1, dtype=np.int64)
        numbers[self._slots] = np.arange(len(positions))
        self._numbers = torch.from_numpy(numbers).to(sketch.device)

    @classmethod
    def in_doubt(cls, sketch: FixedSketch) -> "_Cells":
        """Return the cells with a selected sample that is not certified, or not held."""
        statistics = sketch.table.statistics()
        if not len(statistics.keys):  # all was forgotten
            return cls(sketch, np.zeros(0, dtype=np.int64))
        graph = sketch.graph.draw(statistics, sketch.witnesses)
        order = order_cells(graph.degrees, statistics.counts)
        choice = choose(sketch.pools, statistics, order, sketch.config)
        # Where sums are not exact, no reading can certify anything.
        cells = sorted(choice.cells_in_doubt) if statistics.is_exact else []
        return cls(sketch, np.array(cells, dtype=np.int64))

    def fill(self, sketch: FixedSketch, source: Rereadable) -> list[tuple[Cell, int, int]]:
        """Read the source into the pools; return the cells that have other counts there."""
        recount = _Recount(sketch)
        for block in _read(sketch, source):
            is_forgotten = _forgotten_rows(sketch, block)
            recount.add(block, np.flatnonzero(~is_forgotten))
            is_kept = torch.from_numpy(~is_forgotten).to(sketch.device)
            self._offer(sketch, block, is_kept)
        return recount.differences(sketch)

    def install(self, sketch: FixedSketch) -> None:
        """Replace the sketch's pools by those that have been filled."""
        # A sample that is held already stays the same object: its payload is stored once.
        held = {member.tie: member for member in sketch.members()}
        for number, slot in enumerate(self._slots.tolist()):
            for name, ranked in self._ranked.items():
                last = ranked.last(number)
                members = [held.setdefault(m.tie, m) for m in ranked.pools[number]]
                sketch.pools.ordered[name].refill(slot, members, ranked.centres[number], last)
            if self._hashed is not None and sketch.pools.hashed is not None:
                members = [held.setdefault(m.tie, m) for m in self._hashed.pools[number]]
                sketch.pools.hashed.refill(slot, members)
            sketch.pools.period_counts[slot] = self._counts[number]
        sketch.release_index()

    def _offer(self, sketch: FixedSketch, block: Embedded, is_kept: torch.Tensor) -> None:
        """Offer the kept rows of a block to the pools of the cells in doubt."""
        numbers_of = self._numbers[sketch.table.find(block.keys)]
        rows = torch.nonzero(is_kept & (numbers_of >= 0)).squeeze(1)
        cells = numbers_of[rows]
        points = {"nearest": block.latent[rows], "support": block.vectors[rows].double()}
        passed = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        if self._hashed is not None:
            passed |= self._hashed.passes(cells, hash_ids(block.samples.ids[rows.cpu().numpy()]))
        for name, ranked in self._ranked.items():
            passed |= ranked.passes(cells, points[name])
        chosen, numbers = rows[passed].cpu().numpy(), cells[passed].cpu().numpy()
        members = self._late.apply(sketch.embedder.members_of(block, chosen))
        for name, ranked in self._ranked.items():
            ranked.offer(numbers, members, points[name][passed].cpu().numpy())
        if self._hashed is not None:
            self._hashed.offer(numbers, members)


def _read(sketch: FixedSketch, source: Rereadable) -> Iterator[Embedded]:
    """Read again and embed as many samples as have arrived."""
    for samples in read_again(source, sketch.num_arrived):
        yield sketch.embedder.embed(samples)


def _forgotten_rows(sketch: FixedSketch, block: Embedded) -> Array:
    """Tell which rows of a block have a forgotten id, of shape (n,), bool."""
    if not len(sketch.forgotten):
        return np.zeros(len(block.samples), dtype=bool)
    return np.array([name in sketch.forgotten for name in block.samples.ids], dtype=bool)


class _RankedPools:
    """Members in their final order, where count and sum of the cell are known.

    Parameters
    ----------
    counts : ndarray of shape (M,), int64
        Samples in each cell.
    totals : ndarray of shape (M, k), float64
        Sum of their points.
    capacities : ndarray of shape (M,), float64
        Members that each pool may hold.
    device : torch.device
    farthest : bool
        Whether those farthest from the centre come first.
    """

    def __init__(
        self,
        counts: IntArray,
        totals: FloatArray,
        capacities: FloatArray,
        device: torch.device,
        *,
        farthest: bool,
    ) -> None:
        self.centres = totals / counts[:, None]
        self.pools = [BoundedPool() for _ in counts]
        self._counts, self._totals = counts, totals
        self._capacities, self._farthest = capacities, farthest
        self._on_device = torch.from_numpy(self.centres).to(device)
        start = -np.inf if farthest else np.inf
        self._limits = torch.full((len(counts),), start, dtype=torch.float64, device=device)
        # k squares sum with a relative error below (k + 2) eps / 2; twice that is safe.
        self._margin = (totals.shape[1] + 8) * torch.finfo(torch.float64).eps
        # A centre is off by its rounding, which can be much of a small distance to it.
        lengths = np.sqrt(np.square(self.centres).sum(axis=1))
        self._centre_errors = lengths * torch.finfo(torch.float64).eps

    def passes(self, cells: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Tell which points may enter the pools of their cells. O(n k) on the device."""
        distances = (points - self._on_device[cells]).square_().sum(dim=1)
        limits = self._limits[cells]
        return distances >= limits if self._farthest else distances <= limits

    def offer(self, cells: IntArray, members: Sequence[Member], points: Array) -> None:
        """Offer members at points, of shape (n, k), to the pools of their cells."""
        counts, totals = self._counts[cells][:, None], self._totals[cells]
        keys = rank_keys(points, counts, totals, farthest=self._farthest).tolist()
        for cell, member, key in zip(cells.tolist(), members, keys, strict=True):
            self.pools[cell].offer(key, member, self._capacities[cell])
        for cell in np.unique(cells).tolist():
            self._limits[cell] = self._limit(cell)

    def last(self, cell: int) -> RankKey:
        """Return the rank key of the last member of a cell: all others rank after it."""
        key, member = self.pools[cell].last()
        return RankKey(key, detached(member.tie), int(self._counts[cell]))

    def _limit(self, cell: int) -> float:
        """Return the squared distance beyond which nothing can enter a cell's pool."""
        key = self.pools[cell].limit(self._capacities[cell])
        sign = -1.0 if self._farthest else 1.0
        if not math.isfinite(key):
            return sign * math.inf
        distance = math.sqrt(abs(key)) / float(self._counts[cell])
        squared = max(distance + sign * float(self._centre_errors[cell]), 0.0) ** 2
        return float(squared + sign * (squared * self._margin + TINY))
