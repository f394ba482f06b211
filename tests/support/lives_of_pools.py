"""Lives of engines that are meant to mislead their pools, and what must hold at every moment."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.samples.members import Member
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.embedding import Embedded
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.pools.certificates import drop_bound
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.hash_pools import HashPools
from tests.support.adversarial import (
    FIXED_QUANTISERS,
    KINDS,
    ORDERS,
    any_generation,
    assert_no_wrong_certificate,
    cloud,
    order_of,
    truth,
)
from tests.support.inside import fixed_sketch_of

ROUNDING = 1e-9  # relative


class Life:
    """An engine over a stream of twins and others, and what it has counted and forgotten.

    Parameters
    ----------
    seed : int
        Decides on everything.
    kind : str, optional
        Of the points; any where it is not given.
    """

    def __init__(self, seed: int, kind: str | None = None) -> None:
        self.rng = rng = np.random.default_rng(seed)
        drawn = KINDS[rng.integers(len(KINDS))] if kind is None else kind
        points = cloud(drawn, int(rng.integers(60, 500)), rng)
        order = order_of(ORDERS[rng.integers(len(ORDERS))], points, rng)
        self.points = points[order].astype(np.float32)
        self.labels = rng.integers(0, 3, len(self.points))
        rank = get_args(Rank)[rng.integers(len(get_args(Rank)))]
        support = [0, 1, 3, 0.0, 0.25, 0.5][rng.integers(6)]
        quantiser, is_balanced = (
            FIXED_QUANTISERS[rng.integers(len(FIXED_QUANTISERS))],
            not rng.integers(4),
        )
        settings: dict[str, Any] = {
            "rank": rank,
            "budget": int(rng.integers(1, rng.choice([10, 60]))),
        }
        if isinstance(support, float):
            settings |= {"support_share": support}
        else:
            settings |= {"preset": "paper", "support": support}
        if quantiser == "codebook" and is_balanced:
            settings |= {"cells": "codebook", "latent": "identity", "balance": "class"}
        settings["generation"] = any_generation(
            int(rng.integers(1, 5)), self.points, kind=quantiser
        )
        self._settings = settings
        self.engine = self._empty()
        self.counted: set[int] = set()
        self.gone: set[int] = set()
        self._next = 0
        self.steps: list[str] = []

    def step(self) -> None:
        """Do one of all that an engine can live through."""
        steps: list[Callable[[], None]] = [
            self.feed, self.feed, self.merge, self.forget_rows, self.forget_cell,
            self.forget_first, self.restore, self.repair, self.relabel,
        ]  # fmt: skip
        chosen = steps[self.rng.integers(len(steps))] if len(self.left) else self.feed
        self.steps.append(chosen.__name__)
        chosen()

    @property
    def left(self) -> Array:
        """Rows that have been counted and not been forgotten, ascending."""
        return np.array(sorted(self.counted - self.gone), dtype=np.int64)

    def feed(self) -> None:
        """Count some more."""
        rows = self._take()
        self.engine.partial_fit(self.points[rows], self.labels[rows], ids=rows)

    def merge(self) -> None:
        """Merge with an engine that has counted some more, from either side."""
        rows, shard = self._take(), self._empty()
        shard.partial_fit(self.points[rows], self.labels[rows], ids=rows)
        if self.rng.integers(2):
            self.engine, shard = shard, self.engine
        self.engine.merge(shard)

    def forget_rows(self) -> None:
        """Forget some rows, of which many are dropped."""
        self._forget(self.rng.choice(self.left, self.rng.integers(1, 9)))

    def forget_cell(self) -> None:
        """Forget all that is held of the cell of some row, or of all other cells."""
        cells = self._cells(self.left)
        is_same = cells == cells[self.rng.integers(len(cells))]
        self._forget(self.left[is_same if self.rng.integers(2) else ~is_same])

    def forget_first(self) -> None:
        """Forget what is chosen first."""
        ids = self.engine.coreset().ids[: self.rng.integers(1, 30)]
        self._forget(ids.astype(np.int64))

    def restore(self) -> None:
        """Store the engine and read it again."""
        self.engine = EchoCoreset.from_state(self.engine.to_state())

    def repair(self) -> None:
        """Read everything again, in any order."""
        rows = self.rng.permutation(sorted(self.counted))
        samples = as_samples(self.points[rows], self.labels[rows], ids=rows)
        missed = self.counted & self._missed
        report = self.engine.repair(ArraySource(samples))
        assert report.is_accepted
        self.gone |= missed
        assert self.engine.n_seen_ == len(self.left)
        if len(self.left) and self.engine.snapshot().manifest["sums_are_exact"]:
            assert self.engine.snapshot().certified_fraction == 1.0

    def relabel(self) -> None:
        """Give late labels."""
        for row in self.rng.choice(self.left, 3).tolist():
            self.engine.label(row, 7)

    def check(self) -> None:
        """Check what pools hold, all that they have dropped, and each certified row."""
        sketch = fixed_sketch_of(self.engine.copy()).flushed()
        rows = self.left
        placed = self._placed(sketch, rows)
        slots = sketch.table.find(placed.keys).numpy()
        places = {"nearest": placed.latent.numpy(), "support": placed.vectors.double().numpy()}
        for name, side in sketch.pools.ordered.items():
            side.check()
            for slot in range(len(side.pools)):
                is_here = slots == slot
                self._check_bounds(side, slot, rows[is_here], places[name][is_here])
        if sketch.pools.hashed is not None:
            self._check_hashes(sketch.pools.hashed, rows, slots)
        if len(rows):
            expected = truth(self.points[rows], self.engine, ids=rows, y=self.labels[rows])
            assert_no_wrong_certificate(self.engine.snapshot(), expected)

    @property
    def _missed(self) -> set[int]:
        """Rows that were asked to be forgotten, and are still in the sums."""
        forgotten = fixed_sketch_of(self.engine).forgotten
        return {row for row in self.counted - self.gone if str(row) in forgotten}

    def _empty(self) -> EchoCoreset:
        """Return an engine of the same settings that has counted nothing."""
        return EchoCoreset(**{"preset": "fixed", **self._settings})

    def _take(self) -> Array:
        """Return the rows that come next; they count."""
        number = int(self.rng.integers(1, 200))
        rows = np.arange(self._next, min(self._next + number, len(self.points)))
        self._next += len(rows)
        self.counted |= set(rows.tolist())
        return rows

    def _forget(self, rows: Array) -> None:
        """Forget rows: those that are held are gone."""
        for row in np.unique(rows).tolist():
            if self.engine.forget(row):
                self.gone.add(row)

    def _cells(self, rows: Array) -> Array:
        """Return the key of each row's cell, of shape (n,)."""
        return self._placed(fixed_sketch_of(self.engine), rows).keys.numpy()

    def _placed(self, sketch: FixedSketch, rows: Array) -> Embedded:
        """Return rows as a sketch measures them."""
        samples = as_samples(self.points[rows], self.labels[rows], ids=rows)
        return sketch.embedder.embed(samples)

    def _check_bounds(self, side: DistancePools, slot: int, rows: Array, points: Array) -> None:
        """Check that what a pool does not hold lies beyond its bounds, wherever the centre is."""
        held = {int(member.id) for member in side.pools[slot]}
        assert held <= set(rows.tolist())
        like: dict[bytes, list[int]] = {}
        for place in sorted(range(len(rows)), key=lambda place: self._tie(int(rows[place]))):
            like.setdefault(self.points[rows[place]].tobytes(), []).append(place)
        # A twin that as many precede as are assured needs no bound.
        bounded = [
            place
            for twins in like.values()
            for number, place in enumerate(twins)
            if rows[place] not in held and number < side.assured[slot]
        ]
        drops = side.drops(slot)
        assert drops or not bounded
        for centre in self.rng.choice(points, 5) if bounded else ():
            distances = np.sqrt(np.square(points[bounded] - centre).sum(axis=1))
            bound = drop_bound(drops, centre, farthest=side.farthest)
            slack = ROUNDING * distances.max()
            if side.farthest:
                assert distances.max() <= bound + slack
            else:
                assert distances.min() >= bound - slack

    def _check_hashes(self, side: HashPools, rows: Array, slots: Array) -> None:
        """Check that what a pool does not hold comes after all that it holds."""
        for slot, pool in enumerate(side.pools):
            held = [member.tie[:2] for member in pool]
            ties = sorted(self._tie(row) for row in rows[slots == slot].tolist())
            assert held == ties[: len(held)]

    def _tie(self, row: int) -> tuple[int, str]:
        """Return the tie of a row, whose id is its number."""
        nothing = np.zeros(0)
        return Member.create(str(row), nothing, nothing, None, None).tie[:2]
