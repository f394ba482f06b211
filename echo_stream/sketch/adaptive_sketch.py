"""The sketch of one generation whose cells follow the stream."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

import numpy as np
import torch

from echo_stream._common.collector import paused_collector
from echo_stream._common.device import one_torch_thread
from echo_stream._common.typing import Cell, FloatArray
from echo_stream.config import EngineConfig
from echo_stream.generation.generation import Generation
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.members import Member, Tie, copies
from echo_stream.samples.samples import Samples
from echo_stream.sketch.adaptive_cells import AdaptiveCells, HeldTies, Room
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.embedding import Embedded
from echo_stream.sketch.graph import PCGraph
from echo_stream.sketch.pools.pools import Block
from echo_stream.sketch.sketch import Sketch
from echo_stream.sketch.witnesses import Witnesses

_ONE_THREAD = 2**28  # multiplications of a block, up to which it has one thread: some 10 ms


class AdaptiveSketch(Sketch):
    """Cells that merge as samples arrive, each with one sample of its own, and a reservoir.

    Attributes
    ----------
    cells : AdaptiveCells
    owners : dict of tuple to list of int
        Of each sample of the reservoir, by its tie, the key of the cell that it was counted in:
        of as many cells as it has copies there, in order.
    """

    def __init__(self, generation: Generation, config: EngineConfig, device: torch.device) -> None:
        room = Room.of(config)
        super().__init__(
            generation, config, device, reservoir_size=room.reservoir, block_size=room.block
        )
        self.cells = AdaptiveCells(generation, room)
        self.owners: dict[Tie, list[int]] = {}

    @property
    def held_by_cells(self) -> AdaptiveCells:
        """The cells: each holds one sample."""
        return self.cells

    @property
    def num_cells(self) -> int:
        """Cells, M."""
        return len(self.cells)

    @property
    def sums_are_exact(self) -> bool:
        """Whether no sum has ever left the range in which float64 adds exactly."""
        return self.cells.is_exact

    def cell(self, key: int) -> Cell:
        """Return the index of a cell: its number."""
        return (key,)

    def statistics(self) -> CellStatistics:
        """Return counts and sums."""
        return self.cells.statistics()

    def centre_distances(self, latent: torch.Tensor) -> FloatArray:
        """Return squared distances of points (n, d) to the mean of the nearest cell. O(n M d)."""
        cells = (self if len(self.cells) else self.flushed()).cells
        return np.asarray(cells.nearest_squares(latent)[1])

    def draw_graph(self, statistics: CellStatistics) -> PCGraph:
        """Return the graph of the cells: the samples held are the witnesses. O(held M d)."""
        members = self.members()
        witnesses = Witnesses(int(statistics.keys.max(initial=-1)) + 1)
        if len(self.cells) > 1 and members:
            latent = torch.from_numpy(np.stack([member.latent for member in members]))
            located = self.cells.locate(latent.to(self.device))
            assert located.second_nearest is not None
            keys = torch.from_numpy(self.cells.keys)
            witnesses.update(keys[located.keys.cpu()], keys[located.second_nearest.cpu()])
        return self.graph.draw(statistics, witnesses)

    def copy(self) -> "AdaptiveSketch":
        """Return an independent copy; payloads, which never change, are shared."""
        copy = AdaptiveSketch(self.generation, self.config, self.device)
        self._copy_into(copy)
        self.cells.copy_into(copy.cells)
        copy.owners = {tie: list(keys) for tie, keys in self.owners.items()}
        return copy

    def merge_cells(self, other: Sketch) -> None:
        """Add the cells and the reservoir of a flushed sketch of the same kind."""
        assert isinstance(other, AdaptiveSketch)
        mine, theirs = self.cells.merge(other.cells, [*self._held_ties(), *other._held_ties()])
        self._move_owners(mine)
        for tie, keys in other.owners.items():
            self.owners.setdefault(tie, []).extend(theirs[key] for key in keys)
        labelled = self._labelled() | other._labelled()
        self.reservoir.merge(other.reservoir)
        self._match_owners(labelled)

    def take_out(self, members: Sequence[Member]) -> Sequence[Member]:
        """Remove held samples from the sums of the cells that they were counted in. O(n M)."""
        if not members:
            return ()
        latent = torch.from_numpy(np.stack([member.latent for member in members]))
        norms = self.generation.squared_norms(latent).tolist()
        gone = {member.tie for member in members}
        counted_in = self._owners_of(gone)
        for member, norm in zip(members, norms, strict=True):
            self.cells.subtract(counted_in[member.tie].pop(), member.latent, norm)
        for tie in gone:
            self.owners.pop(tie, None)
        self._hold_others(gone)
        self.num_applied -= len(members)
        return members

    def _count(self, block: Samples) -> None:
        """Embed and count one block, without features."""
        with self._threads():
            super()._count(block)

    @paused_collector()
    def _apply(self, embedded: Embedded) -> None:
        """Count one block: samples join cells or begin their own; the reservoir takes its part."""
        latent = embedded.latent.cpu().numpy()
        norms = self.generation.squared_norms(embedded.latent).cpu().numpy()
        rows = self.cells.join(embedded.latent)
        block = Block(
            slots=torch.from_numpy(rows),
            latent=embedded.latent,
            inputs=embedded.vectors,
            samples=embedded.samples,
            keeps_inputs=self.generation.features is not None,
        )
        # 1. Samples near a cell join it, and one of them may be what it holds from now on.
        joining = np.flatnonzero(rows >= 0)
        joined = rows[joining]
        self.cells.add(joined, latent[joining], norms[joining])
        closest = self.cells.closest(
            joined, latent[joining], embedded.samples.are_labelled[joining], block.hashes[joining]
        )
        self.cells.offer(joined[closest], block.members(joining[closest]))
        keys = np.empty(len(rows), dtype=np.int64)
        keys[joining] = self.cells.keys[joined]
        # 2. The others begin cells; where there are too many, the nearest are merged before.
        beginning = np.flatnonzero(rows < 0)
        moved = self.cells.make_room(len(beginning))
        self._move_owners(moved)
        keys[joining] = [moved.get(key, key) for key in keys[joining].tolist()]
        keys[beginning] = self.cells.begin(block.members(beginning), norms[beginning])
        # 3. The reservoir takes those with the smallest hashes.
        passing = np.flatnonzero(self.reservoir.passes(block.hashes))
        if len(passing):
            labelled, taken = self._labelled(), block.members(passing)
            self.reservoir.offer(taken)
            for member, key in zip(taken, keys[passing].tolist(), strict=True):
                self.owners.setdefault(member.tie, []).append(key)
            self._match_owners(labelled)
        self.num_applied += len(rows)
        self.release_index()

    def _threads(self) -> AbstractContextManager[object]:
        """Give a block one thread, unless there are many cells and dimensions.

        Where others use the processor, threads wait for each other longer than they work.
        """
        products = self.block_size * self.cells.most * self.generation.encoder.dim
        return one_torch_thread() if products <= _ONE_THREAD else nullcontext()

    def _owners_of(self, ties: set[Tie]) -> dict[Tie, list[int]]:
        """Return the cells that held samples were counted in, in order, by their ties."""
        found = {tie: list(self.owners.get(tie, ())) for tie in ties}
        for key, member in zip(self.cells.keys.tolist(), self.cells.nearest, strict=True):
            if member is not None and member.tie in found and key not in found[member.tie]:
                found[member.tie].append(key)
        return {tie: sorted(keys) for tie, keys in found.items()}

    def keys_of(self, members: Sequence[Member]) -> list[int]:
        """Return the cell that each of some held samples was counted in; of copies the first.

        O(members + M).
        """
        counted_in = self._owners_of({member.tie for member in members})
        return [counted_in[member.tie][0] for member in members]

    def fit_room(self, before: Sequence[Member]) -> None:
        """Drop what is held beyond the room that there is, which may have become less.

        before has the samples of the reservoir as it was; it is smaller by now.
        """
        self._match_owners({each.tie: each for each in before if each.label is not None})
        waiting = self.tail.peek()
        if waiting is not None:
            blocks, self.tail = SampleBuffer().cut(waiting, self.block_size)
            for block in blocks:
                self._apply(self.embedder.embed(block))
        self._move_owners(self.cells.make_room(0))
        self._match_owners()

    def _held_ties(self) -> list[HeldTies]:
        """Return the ties of what is held of each cell."""
        counted_in: dict[int, list[Tie]] = {key: [] for key in self.cells.keys.tolist()}
        for tie in sorted(self.owners):
            for key in self.owners[tie]:
                counted_in[key].append(tie)
        return [
            ([] if member is None else [(member.label is None, member.tie)], of_reservoir)
            for member, of_reservoir in zip(self.cells.nearest, counted_in.values(), strict=True)
        ]

    def _hold_others(self, gone: set[Tie]) -> None:
        """Let cells whose sample is gone hold the nearest that the reservoir has of theirs."""
        for row, member in enumerate(self.cells.nearest):
            if member is not None and member.tie in gone:
                self.cells.nearest[row] = None
                key = int(self.cells.keys[row])
                others = [
                    other
                    for other in self.reservoir.members
                    if other.tie not in gone and key in self.owners.get(other.tie, ())
                ]
                self.cells.offer(np.full(len(others), row), others)

    def _move_owners(self, moved: dict[int, int]) -> None:
        """Take note of the keys of cells that have been merged."""
        if moved:
            for keys in self.owners.values():
                keys[:] = [moved.get(key, key) for key in keys]

    def _labelled(self) -> dict[Tie, Member]:
        """Return the samples of the reservoir that have a label, by their ties."""
        return {each.tie: each for each in self.reservoir.members if each.label is not None}

    def _match_owners(self, labelled: Mapping[Tie, Member] = MappingProxyType({})) -> None:
        """Forget the cells of samples and of copies that are no longer in the reservoir.

        labelled has samples that were there: if they are not, their cells may hold them.
        """
        held = copies(self.reservoir.members)
        for tie, member in labelled.items():
            if tie not in held:
                rows = [self.cells.row(key) for key in self.owners[tie]]
                self.cells.offer(np.array(rows), [member] * len(rows))
        self.owners = {tie: sorted(self.owners[tie])[:number] for tie, number in held.items()}
