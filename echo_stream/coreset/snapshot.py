"""A snapshot: the coreset of one moment, with the cells and edges that it came from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from echo_stream._common.typing import Array, Label
from echo_stream.coreset.rows import CellRows, ContextRows, CoresetRows, EdgeRows, Role
from echo_stream.samples.samples import Samples, sorted_labels

if TYPE_CHECKING:
    from echo_stream.coreset.dataset import SnapshotDataset, WeightedBatches


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Snapshot:
    """The coreset of one moment; it never changes.

    Attributes
    ----------
    rows : CoresetRows
    cells : CellRows
    edges : EdgeRows
    manifest : dict
        Id, generation, configuration, N, counts by role and label: all that is known
        of the snapshot as a whole, as JSON.
    held_out : Samples or None
        Samples held out from the coreset, to test models on; None without any.
    context : ContextRows or None
        The other samples that were held; None where they are not kept (`snapshot_context`).
    """

    rows: CoresetRows
    cells: CellRows
    edges: EdgeRows
    manifest: dict[str, Any] = field(repr=False)
    held_out: Samples | None = field(default=None, repr=False)
    context: ContextRows | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """Return the id, and how large the snapshot is."""
        return f"<Snapshot {self.id}: {len(self.rows)} rows of {self.n} samples>"

    @property
    def id(self) -> str:
        """Name of the snapshot: N, then a digest of its content."""
        return str(self.manifest["id"])

    @property
    def n(self) -> int:
        """Samples counted when it was taken, N."""
        return int(self.manifest["n"])

    @property
    def certified_fraction(self) -> float | None:
        """Share of rows that are certified to be the batch choice; None if none was sought."""
        fraction: float | None = self.manifest["certified_fraction"]
        return fraction

    def select(self, role: Role) -> Samples:
        """Return the samples of one role, in order."""
        return self.rows.samples[np.flatnonzero(self.rows.roles == role)]

    def held(self) -> tuple[Samples, Array]:
        """Return all samples of the snapshot, the rows and then the context, and their vectors.

        Returns
        -------
        samples : Samples
            A sample that is core and support twice.
        vectors : ndarray of shape (n, D), float32
            What tells which samples are alike: z; or the payloads as numbers, where z is what an
            encoder has made of them and so has few dimensions.

        Notes
        -----
        O(n D). Held-out samples are not among them.
        """
        samples, latents = self.rows.samples, self.rows.latents
        if self.context is not None and len(self.context):
            samples = Samples.concatenate([samples, self.context.samples])
            latents = np.concatenate([latents, self.context.latents])
        config = self.manifest["config"]
        if config["latent"] == "encoder" and config["features"] is None:
            return samples, samples.x.reshape(len(samples), -1).astype(np.float32)
        return samples, latents.astype(np.float32)

    def diff(self, after: "Snapshot") -> dict[str, Any]:
        """Compare this snapshot with a later one.

        Parameters
        ----------
        after : Snapshot

        Returns
        -------
        dict
            "before", "after" (ids), "n_before", "n_after"; "entered" and "left" (ids of
            samples), "stayed" (their number); "by_label", "by_role" and "by_cell", rows with
            these three numbers, those of cells with count and share before and after; and
            "drift" of the cells' shares: the total variation "distance" (0 to 1) between the
            two, "distance_of_new" between the first and what was counted since (None where
            samples were taken out), "cells_entered" and "cells_left".

            Cells of two generations cannot be compared: "same_generation" is False then,
            and "by_cell" and "drift" are None.

        Notes
        -----
        O(rows + cells). A sample is its id; in "by_role" it counts in each role that it has.
        """
        return compare(self, after)

    def as_dataset(self) -> "SnapshotDataset":
        """Return all rows as a `torch.utils.data.Dataset` of (x, y)."""
        from echo_stream.coreset.dataset import SnapshotDataset  # noqa: PLC0415 - torch is slow to import

        return SnapshotDataset.from_rows(self.rows)

    def as_loader(
        self,
        batch_size: int = 256,
        *,
        shuffle: bool = True,
        seed: int = 0,
        labelled: bool = False,
    ) -> "WeightedBatches":
        """Return the rows as a `torch.utils.data.DataLoader` of batches (x, y, weight).

        Parameters
        ----------
        batch_size : int
        shuffle : bool
            Whether each pass has an order of its own; all of them follow from the seed.
        seed : int
        labelled : bool
            Whether rows without a label, whose y is -1, are left out.

        Returns
        -------
        DataLoader
            x of shape (b, ...), float32, uint8 divided by 255; y of shape (b,), int64, the
            position in `as_dataset().classes`; weight of shape (b,), float32, the samples
            that a row represents.
        """
        from echo_stream.coreset.dataset import weighted_batches  # noqa: PLC0415 - torch is slow to import

        return weighted_batches(
            self.as_dataset(),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            labelled=labelled,
        )


Row = tuple[str, str, Label, tuple[int, ...]]
"""Id, role, label and cell of a row."""


def compare(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return the difference of two snapshots; see `Snapshot.diff`.

    O(rows + cells).
    """
    rows_before, rows_after = _rows(before), _rows(after)
    ids = {row[0] for row in rows_before}, {row[0] for row in rows_after}
    roles = _grouped(rows_before, 1), _grouped(rows_after, 1)
    entered, left = ids[1] - ids[0], ids[0] - ids[1]
    is_same = before.manifest["generation"] == after.manifest["generation"]
    return {
        "before": before.id,
        "after": after.id,
        "n_before": before.n,
        "n_after": after.n,
        "same_generation": is_same,
        "entered": sorted(entered),
        "left": sorted(left),
        "stayed": len(ids[0] & ids[1]),
        "by_label": _by_label(rows_before, rows_after),
        "by_role": [
            {"role": role, **_changes(roles[0].get(role, set()), roles[1].get(role, set()))}
            for role in ("core", "support")
        ],
        "by_cell": _by_cell(before, after, rows_before, rows_after) if is_same else None,
        "drift": _drift(before, after) if is_same else None,
    }


def _rows(snapshot: Snapshot) -> list[Row]:
    """Return the compared values of a snapshot's rows."""
    rows = snapshot.rows
    labels = [None] * len(rows) if rows.samples.labels is None else rows.samples.labels.tolist()
    names = [str(name) for name in rows.samples.ids.tolist()]
    return list(zip(names, rows.roles.tolist(), labels, rows.cells, strict=True))


def _changes(before: set[str], after: set[str]) -> dict[str, int]:
    """Return how many ids came, went and stayed."""
    return {
        "entered": len(after - before),
        "left": len(before - after),
        "stayed": len(before & after),
    }


def _grouped(rows: Iterable[Row], place: int) -> dict[Any, set[str]]:
    """Return the ids of the rows by the value in a place."""
    grouped: dict[Any, set[str]] = {}
    for row in rows:
        grouped.setdefault(row[place], set()).add(row[0])
    return grouped


def _by_label(before: list[Row], after: list[Row]) -> list[dict[str, Any]]:
    """Return the changes of each label, in order of labels, unknown ones last."""
    groups = _grouped(before, 2), _grouped(after, 2)
    known = sorted_labels({*groups[0], *groups[1]} - {None})
    unknown = [None] if None in groups[0] or None in groups[1] else []
    return [
        {"label": label, **_changes(groups[0].get(label, set()), groups[1].get(label, set()))}
        for label in (*known, *unknown)
    ]


def _by_cell(
    before: Snapshot, after: Snapshot, rows_before: list[Row], rows_after: list[Row]
) -> list[dict[str, Any]]:
    """Return the changes of each cell's rows and count, in order of index."""
    groups = _grouped(rows_before, 3), _grouped(rows_after, 3)
    counts = _counts(before), _counts(after)
    return [
        {
            "cell": list(cell),
            **_changes(groups[0].get(cell, set()), groups[1].get(cell, set())),
            "count_before": counts[0][cell],
            "count_after": counts[1][cell],
            "share_before": counts[0][cell] / before.n,
            "share_after": counts[1][cell] / after.n,
        }
        for cell in sorted({*counts[0], *counts[1]})
    ]


def _counts(snapshot: Snapshot) -> Counter[tuple[int, ...]]:
    """Return the count of each occupied cell."""
    cells = snapshot.cells
    return Counter(dict(zip(cells.cells, cells.counts.tolist(), strict=True)))


def _drift(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return how far the shares of cells are apart, and that of what came between the two.

    Distances are total variation: half the sum of differences of shares, from 0 to 1.
    """
    counts = _counts(before), _counts(after)
    between = {cell: counts[1][cell] - counts[0][cell] for cell in {*counts[0], *counts[1]}}
    # After samples were forgotten, or of two streams, there is no "between".
    is_grown = after.n > before.n and min(between.values()) >= 0
    return {
        "distance": _distance(counts[0], counts[1]),
        "distance_of_new": _distance(counts[0], Counter(between)) if is_grown else None,
        "cells_entered": len(set(counts[1]) - set(counts[0])),
        "cells_left": len(set(counts[0]) - set(counts[1])),
    }


def _distance(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> float:
    """Return the total variation between the shares of two counts."""
    totals = sum(one.values()), sum(other.values())
    cells = sorted({*one, *other})
    return sum(abs(one[cell] / totals[0] - other[cell] / totals[1]) for cell in cells) / 2
