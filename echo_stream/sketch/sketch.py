"""The cell sketch: a bounded summary of everything that an engine has counted.

Its memory depends on the configuration, not on the number of samples, and its
content does not depend on how the caller splits the stream into batches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from echo_stream._common.collector import paused_collector
from echo_stream._common.scratch import Scratch
from echo_stream._common.typing import Cell
from echo_stream.config import EngineConfig
from echo_stream.generation.classes import MAX_CLASSES, check_number, class_cell, class_numbers
from echo_stream.generation.generation import Generation
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes, LateLabel
from echo_stream.samples.duplicates import append_replacing
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_counts import LabelCounts
from echo_stream.samples.members import Member, members_of
from echo_stream.samples.samples import Origin, Samples
from echo_stream.sketch.cells import CellStatistics, CellTable
from echo_stream.sketch.embedding import Embedded, Embedder
from echo_stream.sketch.graph import CellGraph
from echo_stream.sketch.member_index import MemberIndex, all_members
from echo_stream.sketch.pools.pools import Block, Pools
from echo_stream.sketch.pools.reservoir import Reservoir, reservoir_size
from echo_stream.sketch.witnesses import Witnesses

BLOCK_SIZE = 1_024  # samples; epochs end at block ends, so blocks are cut by position alone


class Sketch:
    """Counts, exact sums and pools of every cell of one generation.

    Samples are taken in blocks of 1,024, cut by their position in the input. A short
    tail waits for the rest of its block; `flushed` applies it to a copy.

    Attributes
    ----------
    n : int
        Samples counted, the tail included.
    embedder : Embedder
    table : CellTable
    pools : Pools
    reservoir : Reservoir
        A uniform sample, to compare with and to train a new generation on.
    witnesses : Witnesses
        Which cells of a codebook are adjacent; empty for a grid.
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
        Whether counts and sums were estimated from retained samples, since a new generation
        began in the middle of a stream that has not been read again.
    former_generations : list of str
        Ids of the generations before this one, oldest first.
    """

    def __init__(self, generation: Generation, config: EngineConfig, device: torch.device) -> None:
        self.generation = generation
        self.config = config
        self.device = device
        self.embedder = Embedder(generation, config, device)
        self.table = CellTable(generation, device)
        self.pools = Pools(generation, config, device)
        self.reservoir = Reservoir(reservoir_size(generation.partition, config.budget), config.seed)
        self.witnesses = Witnesses(generation.partition.max_cells)
        self.graph = CellGraph(generation.partition)
        self.tail = SampleBuffer()
        self.forgotten = Forgotten()
        self.changes = Changes()
        self.label_counts = LabelCounts()
        self.is_approximate = False
        self.former_generations: list[str] = []
        self.num_applied = 0
        self._index: MemberIndex | None = None
        self._classes: set[int] | None = None  # of all samples; computed on first use
        self._vectors = Scratch(torch.float32, device)

    @property
    def max_cells(self) -> int:
        """Most cells that can ever be occupied."""
        if self.config.balance == "class":
            return MAX_CLASSES * self.generation.partition.max_cells
        return self.generation.partition.max_cells

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
        return BLOCK_SIZE - len(self.tail)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is retained."""
        return sample_id in self.tail or sample_id in self.index

    @property
    def index(self) -> MemberIndex:
        """The members of pools and reservoir by id. O(retained) after a block, else O(1)."""
        if self._index is None:
            self._index = MemberIndex(self.pools, self.reservoir)
        return self._index

    def cell(self, key: int) -> Cell:
        """Return the index of a cell; with balance by class it begins with the class."""
        partition = self.generation.partition
        if self.config.balance == "class":
            return class_cell(key, partition.max_cells)
        return partition.cell(key)

    def samples_until(self, n: int) -> int:
        """Return how many samples are missing until the first block end at n or beyond."""
        blocks = max(-(-(n - self.num_applied) // BLOCK_SIZE), 1)
        return blocks * BLOCK_SIZE - len(self.tail)

    def update(self, samples: Samples) -> None:
        """Count samples of the generation's schema: all of them or, where features fail, none.

        O(n D).

        Raises
        ------
        DataError
            If there would be too many classes, where the budget is split by class.
        """
        self.add_classes(class_numbers(samples) if self.config.balance == "class" else ())
        if self.config.on_duplicate == "count":
            self.append(samples)
            return
        if self.generation.features is not None:
            for start in range(0, len(samples), BLOCK_SIZE):  # fails before any is counted
                self.embedder.embed(samples[start : start + BLOCK_SIZE])
        append_replacing(self, samples)

    def append(self, samples: Samples) -> None:
        """Count samples, whether others of their ids are retained or not."""
        blocks, tail = self.tail.cut(samples, BLOCK_SIZE)
        if self.generation.features is not None:
            made = [self.embedder.embed(block) for block in blocks]
            self.tail = tail
            for embedded in made:
                self._apply(embedded)
        else:
            self.tail = tail
            for block in blocks:
                self._apply(self.embedder.embed(block, vectors=self._vectors))
        self.label_counts.update(samples)

    def flush(self) -> None:
        """Apply the tail as a short block: what comes later starts a new one."""
        waiting = self.tail.peek()
        if waiting is not None:
            self._apply(self.embedder.embed(waiting))
            self.tail = SampleBuffer()

    def flushed(self) -> "Sketch":
        """Return this sketch with its tail applied; a copy if there is one."""
        if not len(self.tail):
            return self
        copy = self.copy()
        copy.flush()
        return copy

    def members(self) -> list[Member]:
        """Return what pools and reservoir hold, in an order fixed by the content.

        Each sample once, or as often as it was counted and is retained.
        """
        return all_members(self.pools, self.reservoir)

    def statistics(self) -> CellStatistics:
        """Return counts and sums on the host; they are not exact where they are estimates."""
        statistics = self.table.statistics()
        return replace(statistics, is_exact=statistics.is_exact and not self.is_approximate)

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Remove the samples of an id, exactly, and return how many were retained.

        O(retained). 0 if none is retained: dropped samples cannot be distinguished from ones
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
        """Remove some retained samples, exactly; return those subtracted from the sums.

        O(members D). Other samples of their ids stay.
        """
        removed = self.take_out(members)
        self.reservoir.take_out(members)
        self.release_index()
        return list(removed)

    def label(self, late: LateLabel) -> bool:
        """Set the label of the samples of an id; return whether any is retained.

        O(pool) after a first call since the last block, which is O(retained). Pools, their
        order and certificates do not change.
        """
        is_waiting = self.tail.label(late.id, late.label)
        is_matched = self.index.label(late.id, late.label) or is_waiting
        self.changes.note_label(late, is_matched=is_matched)
        return is_matched

    def release_index(self) -> None:
        """Drop the index, since pools have changed."""
        self._index = None

    def copy(self) -> "Sketch":
        """Return an independent copy; payloads, which never change, are shared."""
        copy = Sketch(self.generation, self.config, self.device)
        copy.table = self.table.copy()
        self.pools.copy_into(copy.pools)
        copy.reservoir = self.reservoir.copy()
        copy.witnesses.merge(self.witnesses)
        copy.forgotten.merge(self.forgotten)
        copy.changes = self.changes.copy()
        copy.label_counts = self.label_counts.copy()
        copy.graph = self.graph.copy()
        copy.tail = self.tail.copy()
        copy.num_applied = self.num_applied
        copy.is_approximate = self.is_approximate
        copy.former_generations = list(self.former_generations)
        return copy

    def seen_classes(self) -> set[int]:
        """Return the classes of all samples counted, forgotten ones included."""
        if self._classes is None:
            waiting = self.tail.peek()
            tail = () if waiting is None else class_numbers(waiting).tolist()
            self._classes = {*self.table.classes.tolist(), *tail}
        return self._classes

    def add_classes(self, classes: Iterable[int]) -> None:
        """Add classes, or refuse them where there are too many."""
        if self.config.balance == "class":
            united = self.seen_classes() | {int(number) for number in classes}
            check_number(united)
            self._classes = united

    @paused_collector()
    def _apply(self, block: Embedded) -> None:
        """Count one block and offer it to pools and reservoir."""
        counted = self.count(block)
        self.pools.update(self.table, counted)
        chosen = np.flatnonzero(self.reservoir.passes(counted.hashes))
        self.reservoir.offer(counted.members(chosen))
        self.release_index()

    def count(self, embedded: Embedded, times: torch.Tensor | None = None) -> Block:
        """Count samples in their cells, once or `times`, without offering them to pools.

        Returns
        -------
        Block
            The samples with their z and the slots of their cells.
        """
        vectors, latent, keys, second_nearest, samples = embedded
        if second_nearest is not None:
            self.witnesses.update(keys, second_nearest, times)
        num_cells = len(self.table)
        slots = self.table.update(keys, latent, vectors, times)
        if len(self.table) > num_cells:
            self.graph.occupy(self.table.occupied())
        self.num_applied += len(samples) if times is None else int(times.sum())
        keeps_inputs = self.generation.features is not None
        return Block(slots, latent, vectors, samples, keeps_inputs)

    def take_out(self, members: Sequence[Member]) -> Sequence[Member]:
        """Remove counted samples, retained or dropped, from sums and pools. O(n D).

        Returns
        -------
        sequence of Member
            Those subtracted from the sums: all of them, or none where sums are estimates,
            since the part of a sample in them is unknown.
        """
        if not members:
            return ()
        vectors, latent, keys, second_nearest, _ = self.embedder.placed(members)
        slots = self.table.find(keys).cpu().numpy()
        for slot in np.unique(slots).tolist():
            gone = [member for member, of in zip(members, slots, strict=True) if of == slot]
            offered = int(self.table.counts[slot]) - int(self.pools.unoffered[slot])
            self.pools.forget(slot, gone, offered)
        if self.is_approximate:
            np.add.at(self.pools.unoffered, slots, 1)
            return ()
        if second_nearest is not None:
            self.witnesses.subtract(keys, second_nearest)
        self.table.subtract(keys, latent, vectors)
        self.num_applied -= len(members)
        return members

    def _remove(self, sample_id: str) -> tuple[list[Member], int]:
        """Remove the samples of an id; return those subtracted, and how many were retained."""
        waiting = members_of(self.tail.remove(sample_id))
        held = self.index.of(sample_id)
        removed = [*waiting, *self.take_out(held)]
        self.reservoir.forget(sample_id)
        self.index.remove(sample_id)
        return removed, len(waiting) + len(held)
