"""A snapshot as torch takes it: batches of samples, labels and weights."""

import pytest
import torch

from echo_stream import EchoCoreset, Snapshot
from tests.support.clusters import blobs

Batches = list[tuple[torch.Tensor, ...]]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Return a coreset of 45 rows, every third without a label."""
    x, y = blobs()
    labels = [None if row % 3 == 0 else int(label) for row, label in enumerate(y)]
    return EchoCoreset(45, device="cpu", preset="fixed").fit(x, labels).snapshot()


def joined(batches: Batches) -> list[list[float]]:
    """Return the rows of batches as lists of x, y and weight."""
    x, y, weight = (torch.cat(column) for column in zip(*batches, strict=True))
    return torch.column_stack([x, y, weight]).tolist()


def test_batches_hold_all_rows_with_their_weights(snapshot: Snapshot) -> None:
    """In order when not shuffled: x, the class or -1, and the weight of each row."""
    batches: Batches = list(snapshot.as_loader(20, shuffle=False))
    assert [len(x) for x, _, _ in batches] == [20, 20, 5]
    assert [column.dtype for column in batches[0]] == [torch.float32, torch.int64, torch.float32]
    dataset = snapshot.as_dataset()
    expected = torch.column_stack([dataset.x, dataset.y, dataset.weights.float()])
    assert joined(batches) == expected.tolist()
    assert sum(float(weight.sum()) for _, _, weight in batches) == pytest.approx(400)


def test_the_order_follows_from_the_seed(snapshot: Snapshot) -> None:
    """Each pass has its own order, and the same seed the same passes."""
    loader, again, other = (snapshot.as_loader(20, seed=seed) for seed in (3, 3, 4))
    first, second = joined(list(loader)), joined(list(loader))
    assert first != second
    assert [first, second] == [joined(list(again)), joined(list(again))]
    assert joined(list(other)) != first
    assert sorted(first) == sorted(second) == sorted(joined(list(other)))


def test_rows_without_a_label_are_left_out_when_asked(snapshot: Snapshot) -> None:
    """A task loss has no use for them; the other rows are all there."""
    known = [row for row in joined(list(snapshot.as_loader(shuffle=False))) if row[-2] != -1]
    assert 0 < len(known) < 45
    assert joined(list(snapshot.as_loader(shuffle=False, labelled=True))) == known
