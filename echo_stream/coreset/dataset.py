"""A snapshot's rows as a torch data set, and as batches with their weights."""

from typing import TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from echo_stream._common.typing import Label
from echo_stream.coreset.rows import CoresetRows
from echo_stream.samples.samples import sorted_labels
from echo_stream.samples.tensors import to_input

_UNKNOWN = -1  # class of a row without a label

WeightedBatches: TypeAlias = DataLoader[tuple[torch.Tensor, ...]]
"""A loader of batches (x, y, weight)."""


class SnapshotDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Rows of a coreset as pairs (x, y): core first, then support.

    Attributes
    ----------
    x : tensor of shape (n, ...), float32
        Payloads; uint8 is divided by 255.
    y : tensor of shape (n,), int64
        Position of the label in `classes`; -1 where it is unknown.
    weights : tensor of shape (n,), float64
        Samples that each row represents.
    classes : tuple
        The distinct labels, sorted.
    """

    def __init__(
        self, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, classes: tuple[Label, ...]
    ) -> None:
        self.x = x
        self.y = y
        self.weights = weights
        self.classes = classes

    @classmethod
    def from_rows(cls, rows: CoresetRows) -> "SnapshotDataset":
        """Return the data set of a snapshot's rows. Copies the payloads."""
        labels = [] if rows.samples.labels is None else rows.samples.labels.tolist()
        classes = sorted_labels({label for label in labels if label is not None})
        number = {label: position for position, label in enumerate(classes)}
        targets = [number.get(label, _UNKNOWN) for label in labels]
        return cls(
            to_input(rows.samples.x, rows.samples.x.shape[1:]),
            torch.tensor(targets, dtype=torch.int64),
            torch.from_numpy(rows.weights.copy()),
            classes,
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (x, y) of one row."""
        return self.x[row], self.y[row]


def weighted_batches(
    dataset: SnapshotDataset, *, batch_size: int, shuffle: bool, seed: int, labelled: bool
) -> WeightedBatches:
    """Return what iterates over a data set in batches; see `Snapshot.as_loader`."""
    rows = dataset.y != _UNKNOWN if labelled else torch.ones(len(dataset), dtype=torch.bool)
    weights = dataset.weights.float()
    return DataLoader(
        TensorDataset(dataset.x[rows], dataset.y[rows], weights[rows]),
        batch_size=batch_size,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(seed),
    )
