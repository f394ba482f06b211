"""Cells that follow a stream: they are not fixed beforehand, but merge as samples arrive.

Each sample that lies near a cell joins it; each other one is a cell of its own. When there are
too many cells, the nearest are merged. Counts and sums are those of all samples ever counted,
exactly: only where one cell ends and the next begins depends on the order of arrival.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from echo_stream._common.fixed_point import LIMIT, is_exact
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.config import EngineConfig
from echo_stream.generation.codebook import Codebook, rounded_codewords
from echo_stream.generation.generation import Generation
from echo_stream.generation.quantiser import Located
from echo_stream.samples.members import Member, Tie
from echo_stream.samples.samples import stacked
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.reduction import reduce_points

_TENTHS = 10  # of the payloads held: one is the reservoir, one waits for its block
_MAX_BLOCK = 1_024  # samples
# Of the cost of the last merge, up to which a sample joins a cell. With all of it, what is new
# joins what is old where a stream is sorted by class.
_JOINING_SHARE = 0.25


HeldTies: TypeAlias = tuple[list[tuple[bool, Tie]], list[Tie]]
"""Of one cell: whether the sample that it holds has no label, and its tie, if there is one; and
the ties of the reservoir's, in order."""


class Room(NamedTuple):
    """How many payloads are held, and for what.

    Attributes
    ----------
    most_cells : int
        Cells at most; each holds one sample.
    few_cells : int
        Cells that are left when they are merged.
    reservoir : int
        Samples of the uniform reservoir.
    block : int
        Samples that are counted together; as many wait at most.
    """

    most_cells: int
    few_cells: int
    reservoir: int
    block: int

    @classmethod
    def of(cls, config: EngineConfig) -> "Room":
        """Return how the payloads held are shared: budget and `keep` together, at least 4.

        Examples
        --------
        >>> Room.of(EngineConfig(budget=200, keep=800))
        Room(most_cells=800, few_cells=534, reservoir=100, block=100)
        """
        held = max(config.held, 4)
        reservoir, block = max(held // _TENTHS, 1), min(max(held // _TENTHS, 1), _MAX_BLOCK)
        most_cells = held - reservoir - block
        return cls(most_cells, most_cells - max(most_cells // 3, block), reservoir, block)


class AdaptiveCells:
    """Counts and exact sums of cells, and of each one sample that is held.

    A cell has a number, its key: of two that merge the smaller one stays, and a new cell gets
    the smallest that is free.

    Attributes
    ----------
    keys, counts : ndarray of shape (M,), int64
    latent_sums : ndarray of shape (M, d), float64
    norm_sums : ndarray of shape (M,), float64
        Sums of |z|^2, cut as `Generation.squared_norms` says.
    nearest : list of Member or None
        Of each cell the sample held: the nearest to the mean, but one with a label before any
        without. None where it has been forgotten.
    merge_cost : float
        Of the last merge of cells: what it added to the sum of squared distances to means.
    squares_are_exact : bool
        Whether no sample was so far out that its |z|^2 was cut.

    Notes
    -----
    Memory: M (d + 3) numbers, and M samples.
    """

    def __init__(self, generation: Generation, room: Room) -> None:
        self._generation, self._room = generation, room
        dim = generation.encoder.dim
        self.keys = np.zeros(0, dtype=np.int64)
        self.counts = np.zeros(0, dtype=np.int64)
        self.latent_sums = np.zeros((0, dim))
        self.norm_sums = np.zeros(0)
        self.nearest: list[Member | None] = []
        self.merge_cost = 0.0
        self.squares_are_exact = True
        self._was_exact = True

    def __len__(self) -> int:
        """Return the number of cells, M."""
        return len(self.keys)

    @property
    def most(self) -> int:
        """Cells at most."""
        return self._room.most_cells

    @property
    def means(self) -> FloatArray:
        """Means of the cells, of shape (M, d), float64."""
        return np.asarray(self.latent_sums / self.counts[:, None])

    @property
    def is_exact(self) -> bool:
        """Whether no sum has ever left the range in which float64 adds exactly. O(M d)."""
        generation = self._generation
        self._was_exact = (
            self._was_exact
            and is_exact(torch.from_numpy(self.latent_sums), generation.latent_spacing)
            and is_exact(torch.from_numpy(self.norm_sums), generation.norm_spacing)
        )
        return self._was_exact

    @property
    def size_bytes(self) -> int:
        """Bytes of counts and sums."""
        return sum(column.nbytes for column in self.to_arrays().values())

    @property
    def pools(self) -> list[Sequence[Member]]:
        """The sample held by each cell, if there is one."""
        return [() if member is None else (member,) for member in self.nearest]

    def all(self) -> list["AdaptiveCells"]:
        """Return the cells as the one side of what is held for cells."""
        return [self]

    def swap(self, slot: int, new: Member) -> None:
        """Replace the sample that a cell holds by one that differs in its label."""
        self.nearest[slot] = new

    def locate(self, latent: torch.Tensor) -> Located:
        """Return the rows of the nearest cell and of the second nearest, for points (n, d).

        O(n M d). Means are rounded, so that the same cells are found in any block, with any
        number of threads, on any device.
        """
        codewords = rounded_codewords(torch.from_numpy(self.means)).to(latent.device)
        return Codebook(codewords).locate(latent)

    def nearest_squares(self, latent: torch.Tensor) -> tuple[IntArray, FloatArray]:
        """Return the row of the nearest cell of points (n, d), and the squared distance."""
        rows = self.locate(latent).keys.cpu().numpy()
        return rows, self._squares(rows, latent.cpu().numpy())

    def join(self, latent: torch.Tensor) -> IntArray:
        """Tell which cell each of some points joins, by its row; -1 for none. (n,), int64.

        A sample joins the nearest cell where merging both would cost no more than a quarter of what
        the last merge did.
        """
        if not len(self):
            return np.full(len(latent), -1, dtype=np.int64)
        rows, squares = self.nearest_squares(latent)
        counts = self.counts[rows]
        costs = counts / (counts + 1) * squares
        return np.where(costs <= _JOINING_SHARE * self.merge_cost, rows, -1)

    def add(self, rows: IntArray, latent: FloatArray, norms: FloatArray) -> None:
        """Add samples to cells: their z of shape (n, d), and |z|^2. O(n d)."""
        self._note_cut(norms)
        self._sum(rows, np.ones(len(rows), dtype=np.int64), latent, norms)

    def closest(
        self, rows: IntArray, latent: FloatArray, are_labelled: Array, hashes: Array
    ) -> IntArray:
        """Return which of some samples of cells may take the place of what a cell holds.

        One at most of each cell; of equal distances the smaller hash of the id. O(n d).
        """
        if not len(rows):
            return rows
        squares = self._squares(rows, latent)
        order = np.lexsort((hashes, squares, ~are_labelled, rows))
        touched, first = np.unique(rows[order], return_index=True)
        first = order[first]
        held = [self.nearest[row] for row in touched.tolist()]
        far = np.full(latent.shape[1], np.inf)
        points = stacked([far if m is None else m.latent for m in held], far.shape, np.float64)
        is_closer = squares[first] <= self._squares(touched, points)
        has_label = np.array([m is not None and m.label is not None for m in held])
        is_labelled = are_labelled[first]
        return np.asarray(first[np.where(is_labelled == has_label, is_closer, is_labelled)])

    def offer(self, rows: IntArray, members: Sequence[Member]) -> None:
        """Let cells hold samples that rank before those they hold."""
        for row, member in zip(rows.tolist(), members, strict=True):
            held = self.nearest[row]
            mean = self.latent_sums[row] / self.counts[row]
            if held is None or _rank(member, mean) < _rank(held, mean):
                self.nearest[row] = member

    def begin(self, members: Sequence[Member], norms: FloatArray) -> IntArray:
        """Begin a cell with each of some samples, |z|^2 given; return their keys."""
        self._note_cut(norms)
        free = np.setdiff1d(np.arange(len(self) + len(members)), self.keys)[: len(members)]
        if members:
            self.keys = np.concatenate([self.keys, free])
            self.counts = np.append(self.counts, np.ones(len(members), dtype=np.int64))
            self.latent_sums = np.concatenate(
                [self.latent_sums, np.stack([member.latent for member in members])]
            )
            self.norm_sums = np.concatenate([self.norm_sums, norms])
            self.nearest += members
        return free

    def make_room(self, number: int) -> dict[int, int]:
        """Merge the nearest cells if so many more would be too many.

        Returns
        -------
        dict of int to int
            For each key that is gone the one that has taken its place.
        """
        return self._reduce() if len(self) + number > self._room.most_cells else {}

    def _reduce(self) -> dict[int, int]:
        """Merge the nearest cells until few are left; return the new key of each that is gone."""
        labels, cost = reduce_points(self.means, self.counts, self._room.few_cells)
        number = int(labels.max(initial=-1)) + 1
        keys, counts, sums, norms, nearest = (
            self.keys, self.counts, self.latent_sums, self.norm_sums, self.nearest
        )  # fmt: skip
        self.keys = np.full(number, np.iinfo(np.int64).max)
        np.minimum.at(self.keys, labels, keys)
        self.counts = np.zeros(number, dtype=np.int64)
        self.latent_sums, self.norm_sums = np.zeros((number, sums.shape[1])), np.zeros(number)
        self._sum(labels, counts, sums, norms)
        self.nearest = [None] * number
        rows = labels[[member is not None for member in nearest]]
        members = [member for member in nearest if member is not None]
        latent = stacked([member.latent for member in members], sums.shape[1:], np.float64)
        are_labelled = np.array([member.label is not None for member in members], dtype=bool)
        hashes = np.array([member.tie[0] for member in members], dtype=np.uint64)
        closest = self.closest(rows, latent, are_labelled, hashes)
        self.offer(rows[closest], [members[place] for place in closest.tolist()])
        self.merge_cost = cost
        moved = self.keys[labels]
        is_gone = moved != keys
        return dict(zip(keys[is_gone].tolist(), moved[is_gone].tolist(), strict=True))

    def subtract(self, key: int, latent: FloatArray, norm: float) -> None:
        """Subtract a sample from the cell that it was counted in, exactly. O(M)."""
        row = self.row(key)
        self.counts[row] -= 1
        self.latent_sums[row] -= latent
        self.norm_sums[row] -= norm
        if not self.counts[row]:
            self._keep(np.arange(len(self)) != row)

    def row(self, key: int) -> int:
        """Return the row of a cell."""
        return int(np.flatnonzero(self.keys == key)[0])

    def merge(
        self, other: "AdaptiveCells", held: Sequence[HeldTies]
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Add the cells of other, which is left unchanged, and merge the nearest if need be.

        held has the ties of what is held of each cell, of these and then of other: they decide
        on the order of cells that are equal.

        Returns
        -------
        mine, theirs : dict of int to int
            The new key of each cell of either. They do not depend on which side is which.
        """
        number, former = len(self), np.concatenate([self.keys, other.keys]).tolist()
        self._was_exact = self.is_exact and other.is_exact
        self.squares_are_exact &= other.squares_are_exact
        sides = (self, other)
        self.latent_sums = np.concatenate([side.latent_sums for side in sides])
        counts = np.concatenate([side.counts for side in sides])
        norms = np.concatenate([side.norm_sums for side in sides])
        nearest = [*self.nearest, *other.nearest]
        places = np.empty(len(held), dtype=np.int64)
        places[sorted(range(len(held)), key=held.__getitem__)] = np.arange(len(held))
        order = np.lexsort((places, norms, *self.latent_sums.T[::-1], counts))
        keys = np.empty(len(order), dtype=np.int64)
        keys[order] = np.arange(len(order))
        self.keys, self.counts = np.arange(len(order)), counts[order]
        self.latent_sums, self.norm_sums = self.latent_sums[order], norms[order]
        self.nearest = [nearest[row] for row in order.tolist()]
        self.merge_cost = max(self.merge_cost, other.merge_cost)
        moved = self.make_room(0)
        pairs = [(old, moved.get(key, key)) for old, key in zip(former, keys.tolist(), strict=True)]
        return dict(pairs[:number]), dict(pairs[number:])

    def statistics(self) -> CellStatistics:
        """Return counts and sums, in order of key."""
        order = np.argsort(self.keys)
        return CellStatistics(
            keys=self.keys[order],
            counts=self.counts[order],
            latent_sums=self.latent_sums[order],
            input_sums=np.zeros((len(order), 0)),
            slots=order,
            classes=np.zeros(len(order), dtype=np.int64),
            is_exact=self.is_exact,
        )

    def scatter(self) -> FloatArray:
        """Return the sum of squared distances of the samples of each cell to its mean, (M,).

        Or more, by what |z|^2 was rounded by: a spacing a sample at most.
        """
        squares = np.square(self.latent_sums).sum(axis=1) / self.counts
        rounding = self._generation.norm_spacing * self.counts
        return np.asarray(np.maximum(self.norm_sums - squares, 0.0) + rounding)

    def copy_into(self, target: "AdaptiveCells") -> None:
        """Make empty target cells equal to these, sharing the members, which never change."""
        target.restore(self.to_arrays(), list(self.nearest), self.to_json(), self.is_exact)

    def to_arrays(self) -> dict[str, Array]:
        """Return keys, counts and sums, as copies."""
        return {
            "keys": self.keys.copy(),
            "counts": self.counts.copy(),
            "latent_sums": self.latent_sums.copy(),
            "norm_sums": self.norm_sums.copy(),
        }

    def to_json(self) -> dict[str, Any]:
        """Return what there is beside arrays and samples; floats come back bit for bit."""
        return {
            "merge_cost": self.merge_cost,
            "squares_are_exact": self.squares_are_exact,
            "most_cells": self.most,
        }

    def restore(
        self,
        arrays: dict[str, Array],
        nearest: list[Member | None],
        described: dict[str, Any],
        was_exact: bool,
    ) -> None:
        """Restore what `to_arrays` and `to_json` returned, and the rest.

        Where there may be more cells than before, samples begin cells until there are too many.
        """
        self.keys, self.counts = np.array(arrays["keys"]), np.array(arrays["counts"])
        self.latent_sums = np.array(arrays["latent_sums"])
        self.norm_sums = np.array(arrays["norm_sums"])
        self.nearest, self._was_exact = nearest, was_exact
        is_larger = self.most > described["most_cells"]
        self.merge_cost = 0.0 if is_larger else described["merge_cost"]
        self.squares_are_exact = described["squares_are_exact"]

    def _squares(self, rows: IntArray, latent: FloatArray) -> FloatArray:
        """Return the squared distances of points (n, d) to the mean of one cell each, (n,)."""
        means = self.latent_sums[rows] / self.counts[rows, None]
        return np.asarray(np.square(latent - means).sum(axis=1))

    def _note_cut(self, norms: FloatArray) -> None:
        """Take note of whether some |z|^2 was cut."""
        largest = float(norms.max(initial=0.0))
        self.squares_are_exact &= largest < LIMIT * self._generation.norm_spacing

    def _sum(self, rows: IntArray, counts: IntArray, latent: FloatArray, norms: FloatArray) -> None:
        """Add counts and sums to cells. By numpy: torch would wake other threads for it."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        touched, starts = np.unique(rows[order], return_index=True)
        self.counts[touched] += np.add.reduceat(counts[order], starts)
        self.latent_sums[touched] += np.add.reduceat(latent[order], starts)
        self.norm_sums[touched] += np.add.reduceat(norms[order], starts)

    def _keep(self, are_kept: Array) -> None:
        """Remove the other cells."""
        self.keys, self.counts = self.keys[are_kept], self.counts[are_kept]
        self.latent_sums, self.norm_sums = self.latent_sums[are_kept], self.norm_sums[are_kept]
        self.nearest = [self.nearest[row] for row in np.flatnonzero(are_kept).tolist()]


def _rank(member: Member, mean: FloatArray) -> tuple[bool, float, Tie]:
    """Return what orders the samples of a cell: a label, the distance to its mean, the tie.

    A label may have been paid for: a sample that has one is not given up for one that has none.
    """
    return member.label is None, float(np.square(member.latent - mean).sum()), member.tie
