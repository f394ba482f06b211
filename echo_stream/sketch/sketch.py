"""The cell sketch: a bounded summary of everything that an engine has counted.

Its memory depends on the configuration, not on the number of samples, and its
content does not depend on how the caller splits the stream into batches.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch

from echo_stream._common.scratch import Scratch
from echo_stream._common.typing import Cell, FloatArray
from echo_stream.config import EngineConfig
from echo_stream.generation.generation import Generation
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes, LateLabel
from echo_stream.samples.duplicates import append_replacing
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_counts import LabelCounts
from echo_stream.samples.members import Member, members_of
from echo_stream.samples.samples import Origin, Samples
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.embedding import Embedded, Embedder
from echo_stream.sketch.graph import CellGraph, PCGraph
from echo_stream.sketch.member_index import HeldByCells, MemberIndex, all_members
from echo_stream.sketch.pools.reservoir import Reservoir

BLOCK_SIZE = 1_024  # samples; periods end at block ends, so blocks are cut by position alone


class Sketch(ABC):
    """Counts and exact sums of every cell of one generation, and the samples that are held.

    Samples are taken in blocks, cut by their position in the input. A short tail waits for the
    rest of its block; `flushed` applies it to a copy.

    Parameters
    ----------
    generation : Generation
    config : EngineConfig
    device : torch.device
    reservoir_size : int
    block_size : int, optional
        1,024 by default.

    Attributes
    ----------
    n : int
        Samples counted, the tail included.
    embedder : Embedder
    reservoir : Reservoir
        A uniform sample, to compare with and to train a new generation on.
    graph : CellGraph
        Faces of the occupied cells, and the last graph drawn.
    tail : SampleBuffer
        Samples that wait for their block.
    forgotten : Forgotten
        Forgotten ids.
    changes : Changes
        Late labels, and samples replaced.
    labels : LabelCounts
        Of all samples counted, as they arrived.
    is_approximate : bool
        Whether counts and sums are estimates.
    former_generations : list of str
        Ids of the generations before this one, oldest first.
    """

    def __init__(
        self,
        generation: Generation,
        config: EngineConfig,
        device: torch.device,
        *,
        reservoir_size: int,
        block_size: int | None = None,
    ) -> None:
        self.generation = generation
        self.config = config
        self.device = device
        self.block_size = BLOCK_SIZE if block_size is None else block_size
        self.embedder = Embedder(generation, config, device)
        self.reservoir = Reservoir(reservoir_size, config.seed)
        self.graph = CellGraph(generation.quantiser)
        self.tail = SampleBuffer()
        self.forgotten = Forgotten()
        self.changes = Changes()
        self.label_counts = LabelCounts()
        self.is_approximate = False
        self.former_generations: list[str] = []
        self.num_applied = 0
        self._index: MemberIndex | None = None
        self._vectors = Scratch(torch.float32, device)

    @property
    @abstractmethod
    def held_by_cells(self) -> HeldByCells:
        """The samples held for cells."""

    @property
    @abstractmethod
    def num_cells(self) -> int:
        """Occupied cells, M."""

    @property
    @abstractmethod
    def sums_are_exact(self) -> bool:
        """Whether no sum has ever left the range in which float64 adds exactly."""

    @abstractmethod
    def cell(self, key: int) -> Cell:
        """Return the index of a cell."""

    @abstractmethod
    def statistics(self) -> CellStatistics:
        """Return counts and sums on the host."""

    @abstractmethod
    def keys_of(self, members: Sequence[Member]) -> list[int]:
        """Return the key of the cell that each of some held samples was counted in."""

    @abstractmethod
    def centre_distances(self, latent: torch.Tensor) -> FloatArray:
        """Return squared distances of points (n, d), on the host, to the centre of their cell."""

    @abstractmethod
    def draw_graph(self, statistics: CellStatistics) -> PCGraph:
        """Return the graph of the occupied cells."""

    @abstractmethod
    def copy(self) -> Self:
        """Return an independent copy; payloads, which never change, are shared."""

    def prepare_merge(self, other: "Sketch") -> None:  # noqa: B027 - most have nothing to prepare
        """Refuse a sketch that cannot be merged, before anything changes."""

    @abstractmethod
    def merge_cells(self, other: "Sketch") -> None:
        """Add the cells and the reservoir of a flushed sketch of the same kind."""

    @abstractmethod
    def take_out(self, members: Sequence[Member]) -> Sequence[Member]:
        """Remove counted samples from sums and cells; return those subtracted from the sums."""

    @abstractmethod
    def _apply(self, embedded: Embedded) -> None:
        """Count one block, and hold of it what is to be held."""

    def _count(self, block: Samples) -> None:
        """Embed and count one block, without features."""
        self._apply(self.embedder.embed(block, vectors=self._vectors))

    @property
    def n(self) -> int:
        """Samples counted, the tail included."""
        return self.num_applied + len(self.tail)

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: those counted, and those taken out again."""
        return self.n + self.forgotten.num_removed + self.changes.num_replaced

    @property
    def has_pending_changes(self) -> bool:
        """Whether there are changes to apply to the samples of another sketch when they merge."""
        return len(self.forgotten) + len(self.changes.label_log) > 0

    @property
    def room(self) -> int:
        """Samples that the tail still takes before pools change."""
        return self.block_size - len(self.tail)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is held."""
        return sample_id in self.tail or sample_id in self.index

    @property
    def index(self) -> MemberIndex:
        """The members of pools and reservoir by id. O(held) after a block, else O(1)."""
        if self._index is None:
            self._index = MemberIndex(self.held_by_cells, self.reservoir)
        return self._index

    def samples_until(self, n: int) -> int:
        """Return how many samples are missing until the first block end at n or beyond."""
        blocks = max(-(-(n - self.num_applied) // self.block_size), 1)
        return blocks * self.block_size - len(self.tail)

    def update(self, samples: Samples) -> None:
        """Count samples of the generation's schema: all of them or, where features fail, none.

        O(n D).
        """
        if self.config.on_duplicate == "count":
            self.append(samples)
            return
        if self.generation.features is not None:
            for start in range(0, len(samples), self.block_size):  # fails before any is counted
                self.embedder.embed(samples[start : start + self.block_size])
        append_replacing(self, samples)

    def append(self, samples: Samples) -> None:
        """Count samples, whether others of their ids are held or not."""
        blocks, tail = self.tail.cut(samples, self.block_size)
        if self.generation.features is not None:
            made = [self.embedder.embed(block) for block in blocks]
            self.tail = tail
            for embedded in made:
                self._apply(embedded)
        else:
            self.tail = tail
            for block in blocks:
                self._count(block)
        self.label_counts.update(samples)

    def flush(self) -> None:
        """Apply the tail as a short block: what comes later starts a new one."""
        waiting = self.tail.peek()
        if waiting is not None:
            self._apply(self.embedder.embed(waiting))
            self.tail = SampleBuffer()

    def flushed(self) -> Self:
        """Return this sketch with its tail applied; a copy if there is one."""
        if not len(self.tail):
            return self
        copy = self.copy()
        copy.flush()
        return copy

    def members(self) -> list[Member]:
        """Return what pools and reservoir hold, in an order fixed by the content.

        Each sample once, or as often as it was counted and is held.
        """
        return all_members(self.held_by_cells, self.reservoir)

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Remove the samples of an id, exactly, and return how many were held.

        O(held). 0 if none is held: dropped samples cannot be distinguished from ones
        never seen. Nothing is subtracted from sums that are estimates: the id is missed there.
        origin is the place of the request, if others count parts of the stream.
        """
        removed, num_held = self._remove(sample_id)
        self.forgotten.add(sample_id, removed, origin)
        self.changes.label_log.drop(sample_id)
        return num_held

    def replace(self, sample_id: str) -> None:
        """Remove the samples of an id, exactly, since another arrives; O(pool).

        Where sums are estimates they stay in them, and are not counted as replaced.
        """
        removed, _ = self._remove(sample_id)
        self.changes.num_replaced += len(removed)

    def drop(self, members: Sequence[Member]) -> list[Member]:
        """Remove some held samples, exactly; return those subtracted from the sums.

        O(members D). Other samples of their ids stay.
        """
        removed = self.take_out(members)
        self.reservoir.take_out(members)
        self.release_index()
        return list(removed)

    def label(self, late: LateLabel) -> bool:
        """Set the label of the samples of an id; return whether any is held.

        O(pool) after a first call since the last block, which is O(held). Pools, their
        order and certificates do not change.
        """
        is_waiting = self.tail.label(late.id, late.label)
        is_matched = self.index.label(late.id, late.label) or is_waiting
        self.changes.note_label(late, is_matched=is_matched)
        return is_matched

    def release_index(self) -> None:
        """Drop the index, since pools have changed."""
        self._index = None

    def _copy_into(self, copy: "Sketch") -> None:
        """Make an empty sketch equal to this one, but for its cells."""
        copy.reservoir = self.reservoir.copy()
        copy.forgotten.merge(self.forgotten)
        copy.changes = self.changes.copy()
        copy.label_counts = self.label_counts.copy()
        copy.graph = self.graph.copy()
        copy.tail = self.tail.copy()
        copy.num_applied = self.num_applied
        copy.former_generations = list(self.former_generations)

    def _remove(self, sample_id: str) -> tuple[list[Member], int]:
        """Remove the samples of an id; return those subtracted, and how many were held."""
        waiting = members_of(self.tail.remove(sample_id))
        held = self.index.of(sample_id)
        removed = [*waiting, *self.take_out(held)]
        self.reservoir.forget(sample_id)
        self.index.remove(sample_id)
        return removed, len(waiting) + len(held)
