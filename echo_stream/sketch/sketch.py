"""The cell sketch: all that an engine keeps of everything it has counted.

Its memory is bounded by the configuration, never by the number of samples, and its
content does not depend on how the caller cuts the stream into batches.
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
from echo_stream.sketch.drift import Watch
from echo_stream.sketch.embedding import Embedded, Embedder
from echo_stream.sketch.graph import CellGraph
from echo_stream.sketch.member_index import Held, all_held
from echo_stream.sketch.pools.pools import Block, Pools
from echo_stream.sketch.pools.reservoir import Reservoir, reservoir_size
from echo_stream.sketch.witnesses import Witnesses

BLOCK_SIZE = 1_024  # samples; epochs end at block ends, so blocks are cut by position alone


class Sketch:
    """Counts, exact sums and pools of every cell of one generation.

    Samples are taken in blocks of 1,024, cut by their position in the input. A short
    tail waits for the rest of its block; `settled` applies it to a copy.

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
        Which cells of a codebook are adjacent; none for a grid.
    graph : CellGraph
        Faces of the occupied cells, and the last graph drawn.
    tail : SampleBuffer
        Samples that wait for their block.
    forgotten : Forgotten
        Ids that were asked to be forgotten.
    changes : Changes
        Late labels, and samples replaced.
    labels : LabelCounts
        Of all samples counted, as they arrived.
    is_approximate : bool
        Whether counts and sums were estimated from kept samples, since a new generation
        began in the midst of a stream that has not been read again.
    former_generations : list of str
        Ids of the generations before this one, oldest first.
    watch : Watch or None
        Looks for drift where a stream may regenerate by itself.
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
        self.labels = LabelCounts()
        self.is_approximate = False
        self.former_generations: list[str] = []
        self.watch: Watch | None = None
        self.num_applied = 0
        self._held: Held | None = None
        self._classes: set[int] | None = None  # of all that was counted; found when asked for
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
    def has_wishes(self) -> bool:
        """Whether something was asked for that samples of another sketch may have to meet."""
        return len(self.forgotten) + len(self.changes.labels) > 0

    @property
    def room(self) -> int:
        """Samples that the tail still takes before pools change."""
        return BLOCK_SIZE - len(self.tail)

    def __contains__(self, sample_id: str) -> bool:
        """Tell whether a sample of an id is held."""
        return sample_id in self.tail or sample_id in self.held

    @property
    def held(self) -> Held:
        """What pools and reservoir hold, by id. O(retained) after a block, else O(1)."""
        if self._held is None:
            self._held = Held(self.pools, self.reservoir)
        return self._held

    def cell(self, key: int) -> Cell:
        """Return the index of a cell; that of a class's cell begins with the label."""
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
        self.meet_classes(class_numbers(samples) if self.config.balance == "class" else ())
        if self.config.on_duplicate == "count":
            self.append(samples)
            return
        if self.generation.features is not None:
            for start in range(0, len(samples), BLOCK_SIZE):  # fails before any is counted
                self.embedder.embed(samples[start : start + BLOCK_SIZE])
        append_replacing(self, samples)

    def append(self, samples: Samples) -> None:
        """Count samples, whether others of their ids are held or not."""
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
        self.labels.update(samples)

    def settle(self) -> None:
        """Apply the tail as a short block: what comes later starts a new one."""
        waiting = self.tail.peek()
        if waiting is not None:
            self._apply(self.embedder.embed(waiting))
            self.tail = SampleBuffer()

    def settled(self) -> "Sketch":
        """Return this sketch with its tail applied; a copy if there is one."""
        if not len(self.tail):
            return self
        copy = self.copy()
        copy.settle()
        return copy

    def members(self) -> list[Member]:
        """Return what pools and reservoir hold, in an order fixed by the content.

        Each sample once, or as often as it was counted and is held.
        """
        return all_held(self.pools, self.reservoir)

    def statistics(self) -> CellStatistics:
        """Return counts and sums on the host; they are no proof where they are estimates."""
        statistics = self.table.statistics()
        return replace(statistics, is_exact=statistics.is_exact and not self.is_approximate)

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Take the samples of an id out, exactly, and return how many were held.

        O(retained). 0: none is held, so none can be told from one never seen. From sums
        that are estimates nothing can be taken out: the id is missed there. origin is where
        the wish stands, if others have counted parts of the stream.
        """
        removed, num_held = self._remove(sample_id)
        self.forgotten.add(sample_id, removed, origin)
        self.changes.labels.drop(sample_id)
        return num_held

    def replace(self, sample_id: str) -> None:
        """Take the samples of an id out, exactly, since another comes; O(pool).

        Where sums are estimates those stay in them, and are not counted as replaced.
        """
        removed, _ = self._remove(sample_id)
        self.changes.num_replaced += len(removed)

    def drop(self, members: Sequence[Member]) -> list[Member]:
        """Take some of the samples that are held out, exactly; return those out of the sums.

        O(members D). Others of their ids stay.
        """
        removed = self.take_out(members)
        self.reservoir.take_out(members)
        self.release_index()
        return list(removed)

    def label(self, late: LateLabel) -> bool:
        """Give the samples of an id another label; return whether any is held.

        O(pool) after a first call since the last block, which is O(retained). Labels choose
        nothing: pools, their order and what is proven of them stay as they are.
        """
        is_waiting = self.tail.label(late.id, late.label)
        is_met = self.held.label(late.id, late.label) or is_waiting
        self.changes.note_label(late, is_met=is_met)
        return is_met

    def release_index(self) -> None:
        """Forget where members are, since pools have changed."""
        self._held = None

    def copy(self) -> "Sketch":
        """Return an independent copy; payloads, which never change, are shared."""
        copy = Sketch(self.generation, self.config, self.device)
        copy.table = self.table.copy()
        self.pools.copy_into(copy.pools)
        copy.reservoir = self.reservoir.copy()
        copy.witnesses.merge(self.witnesses)
        copy.forgotten.merge(self.forgotten)
        copy.changes = self.changes.copy()
        copy.labels = self.labels.copy()
        copy.graph = self.graph.copy()
        copy.tail = self.tail.copy()
        copy.num_applied = self.num_applied
        copy.is_approximate = self.is_approximate
        copy.former_generations = list(self.former_generations)
        copy.watch = self.watch
        return copy

    def classes_met(self) -> set[int]:
        """Return the classes of all that was counted; one whose samples are gone may be there."""
        if self._classes is None:
            waiting = self.tail.peek()
            tail = () if waiting is None else class_numbers(waiting).tolist()
            self._classes = {*self.table.classes.tolist(), *tail}
        return self._classes

    def meet_classes(self, classes: Iterable[int]) -> None:
        """Take note of classes that come, or refuse them where they are too many."""
        if self.config.balance == "class":
            united = self.classes_met() | {int(number) for number in classes}
            check_number(united)
            self._classes = united

    @paused_collector()
    def _apply(self, block: Embedded) -> None:
        """Count and offer one block."""
        counted = self.count(block)
        self.pools.update(self.table, counted)
        chosen = np.flatnonzero(self.reservoir.passes(counted.hashes))
        self.reservoir.offer(counted.members(chosen))
        self.release_index()

    def count(self, embedded: Embedded, times: torch.Tensor | None = None) -> Block:
        """Count samples in their cells, each once or times, and offer them to no pool yet.

        Returns
        -------
        Block
            The samples with their z and the slots of their cells.
        """
        vectors, latent, keys, runners_up, samples = embedded
        if runners_up is not None:
            self.witnesses.update(keys, runners_up, times)
        num_cells = len(self.table)
        slots = self.table.update(keys, latent, vectors, times)
        if len(self.table) > num_cells:
            self.graph.occupy(self.table.occupied())
        self.num_applied += len(samples) if times is None else int(times.sum())
        keeps_inputs = self.generation.features is not None
        return Block(slots, latent, vectors, samples, keeps_inputs)

    def take_out(self, members: Sequence[Member]) -> Sequence[Member]:
        """Take samples that have been applied, held or dropped, out of everything. O(n D).

        Returns
        -------
        sequence of Member
            Those that are in the sums no more: all of them, or none where sums are
            estimates, since what a sample has given to those is not known.
        """
        if not members:
            return ()
        vectors, latent, keys, runners_up, _ = self.embedder.placed(members)
        slots = self.table.find(keys).cpu().numpy()
        for slot in np.unique(slots).tolist():
            gone = [member for member, of in zip(members, slots, strict=True) if of == slot]
            offered = int(self.table.counts[slot]) - int(self.pools.absent[slot])
            self.pools.forget(slot, gone, offered)
        if self.is_approximate:
            np.add.at(self.pools.absent, slots, 1)
            return ()
        if runners_up is not None:
            self.witnesses.subtract(keys, runners_up)
        self.table.subtract(keys, latent, vectors)
        self.num_applied -= len(members)
        return members

    def _remove(self, sample_id: str) -> tuple[list[Member], int]:
        """Take the samples of an id out; return those out of the sums, and how many were held."""
        waiting = members_of(self.tail.remove(sample_id))
        held = self.held.of(sample_id)
        removed = [*waiting, *self.take_out(held)]
        self.reservoir.forget(sample_id)
        self.held.remove(sample_id)
        return removed, len(waiting) + len(held)
