"""The sketch of one generation whose cells are fixed: counts, exact sums, pools and links."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from echo_stream._common.collector import paused_collector
from echo_stream._common.typing import Cell, FloatArray
from echo_stream.config import EngineConfig
from echo_stream.generation.classes import MAX_CLASSES, check_number, class_cell, class_numbers
from echo_stream.generation.generation import Generation
from echo_stream.generation.quantiser import centre_distances
from echo_stream.samples.members import Member
from echo_stream.samples.samples import Samples
from echo_stream.sketch.cells import CellStatistics, CellTable
from echo_stream.sketch.embedding import Embedded
from echo_stream.sketch.graph import PCGraph
from echo_stream.sketch.pools.pools import Block, Pools
from echo_stream.sketch.pools.reservoir import reservoir_size
from echo_stream.sketch.sketch import Sketch
from echo_stream.sketch.witnesses import Witnesses


class FixedSketch(Sketch):
    """Counts, exact sums and pools of every cell of a grid or a codebook.

    Attributes
    ----------
    table : CellTable
    pools : Pools
    witnesses : Witnesses
        Which cells of a codebook are adjacent; empty for a grid.
    is_approximate : bool
        Whether counts and sums were estimated from held samples, since a new generation
        began in the middle of a stream that has not been read again.
    """

    def __init__(self, generation: Generation, config: EngineConfig, device: torch.device) -> None:
        size = reservoir_size(generation.quantiser, config.budget)
        super().__init__(generation, config, device, reservoir_size=size)
        self.table = CellTable(generation, device)
        self.pools = Pools(generation, config, device)
        self.witnesses = Witnesses(generation.quantiser.max_cells)
        self._classes: set[int] | None = None  # of all samples; computed on first use

    @property
    def held_by_cells(self) -> Pools:
        """The pools."""
        return self.pools

    @property
    def num_cells(self) -> int:
        """Occupied cells, M."""
        return len(self.table)

    @property
    def sums_are_exact(self) -> bool:
        """Whether no sum has ever left the range in which float64 adds exactly."""
        return self.table.is_exact

    @property
    def max_cells(self) -> int:
        """Most cells that can ever be occupied."""
        if self.config.balance == "class":
            return MAX_CLASSES * self.generation.quantiser.max_cells
        return self.generation.quantiser.max_cells

    def cell(self, key: int) -> Cell:
        """Return the index of a cell; with balance by class it begins with the class."""
        quantiser = self.generation.quantiser
        if self.config.balance == "class":
            return class_cell(key, quantiser.max_cells)
        return quantiser.cell(key)

    def update(self, samples: Samples) -> None:
        """Count samples of the generation's schema: all of them or, where features fail, none.

        O(n D).

        Raises
        ------
        DataError
            If there would be too many classes, where the budget is split by class.
        """
        self.add_classes(class_numbers(samples) if self.config.balance == "class" else ())
        super().update(samples)

    def keys_of(self, members: Sequence[Member]) -> list[int]:
        """Return the cell of each member. O(n D + n K d)."""
        keys: list[int] = self.embedder.placed(members).keys.tolist()
        return keys

    def statistics(self) -> CellStatistics:
        """Return counts and sums on the host; they are not exact where they are estimates."""
        statistics = self.table.statistics()
        return replace(statistics, is_exact=statistics.is_exact and not self.is_approximate)

    def centre_distances(self, latent: torch.Tensor) -> FloatArray:
        """Return squared distances of points (n, d) to the fixed centre of their cell. O(n K d)."""
        return centre_distances(self.generation.fixed_quantiser, latent)

    def draw_graph(self, statistics: CellStatistics) -> PCGraph:
        """Return the graph of the occupied cells."""
        return self.graph.draw(statistics, self.witnesses)

    def copy(self) -> "FixedSketch":
        """Return an independent copy; payloads, which never change, are shared."""
        copy = FixedSketch(self.generation, self.config, self.device)
        self._copy_into(copy)
        copy.table = self.table.copy()
        self.pools.copy_into(copy.pools)
        copy.witnesses.merge(self.witnesses)
        copy.is_approximate = self.is_approximate
        return copy

    def prepare_merge(self, other: Sketch) -> None:
        """Add the classes of another sketch, or refuse them where there are too many."""
        assert isinstance(other, FixedSketch)
        self.add_classes(other.seen_classes())

    def merge_cells(self, other: Sketch) -> None:
        """Add the cells and the reservoir of a flushed sketch of the same kind."""
        assert isinstance(other, FixedSketch)
        slots = self.table.merge(other.table)
        self.pools.merge(self.table, other.pools, slots.cpu().numpy())
        self.reservoir.merge(other.reservoir)
        self.witnesses.merge(other.witnesses)
        self.is_approximate |= other.is_approximate

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
    def _apply(self, embedded: Embedded) -> None:
        """Count one block and offer it to pools and reservoir."""
        counted = self.count(embedded)
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
        """Remove counted samples, held or dropped, from sums and pools. O(n D).

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
