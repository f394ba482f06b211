"""The structural loss is its formula, with gradients that can be used everywhere."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from echo_stream.losses import classification_loss, structural_loss

# Multiples of 1/8: outputs coincide often, and squares are exact.
coordinates = st.integers(-24, 24).map(lambda eighths: eighths / 8)
points = st.tuples(coordinates, coordinates, coordinates)
batches = st.lists(st.tuples(points, st.integers(0, 3)), min_size=1, max_size=12)


def naive_structural_loss(outputs: Tensor, labels: Tensor, margin: float) -> float:
    """Return equation 12, pair by pair."""
    rows = range(len(labels))
    pairs = [(i, j) for i in rows for j in rows if i != j]
    positive = [math.dist(outputs[i], outputs[j]) ** 2 for i, j in pairs if labels[i] == labels[j]]
    negative = [
        max(0.0, margin - math.dist(outputs[i], outputs[j]))
        for i, j in pairs
        if labels[i] != labels[j]
    ]
    return _mean(positive) + _mean(negative)


def _mean(terms: list[float]) -> float:
    """Return the mean; 0 without terms."""
    return math.fsum(terms) / len(terms) if terms else 0.0


def random_batch(n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return float64 outputs of shape (n, 3) that ask for gradients, and labels below 3."""
    rng = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    return outputs, torch.randint(3, (n,), generator=rng)


@given(batches, st.sampled_from([0.5, 1.0, 3.0]))
def test_structural_loss_equals_the_double_loop(
    batch: list[tuple[tuple[float, float, float], int]], margin: float
) -> None:
    """Both sum at most 132 float64 terms: 1e-12 is far above their rounding."""
    outputs = torch.tensor([point for point, _ in batch], dtype=torch.float64)
    labels = torch.tensor([label for _, label in batch])
    loss = structural_loss(outputs, labels, margin).item()
    expected = naive_structural_loss(outputs, labels, margin)
    assert loss == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_structural_loss_keeps_the_digits_of_close_outputs() -> None:
    """Outputs of 100 that differ by 1/128, exact in float32, lose nothing."""
    outputs = torch.full((40, 1), 100.0)
    outputs[0] += 1 / 128
    # 2 x 39 of the 40 x 39 ordered pairs are apart. float32 sums: 1e-6.
    expected = 2 * 39 / (40 * 39) * (1 / 128) ** 2
    loss = structural_loss(outputs, torch.zeros(40, dtype=torch.int64)).item()
    assert loss == pytest.approx(expected, rel=1e-6)


def test_structural_loss_gradient_is_right() -> None:
    """The analytic gradient is the numeric one, away from the kinks."""
    outputs, labels = random_batch(7)
    assert torch.autograd.gradcheck(lambda f: structural_loss(f, labels, 2.0), (outputs,))


@pytest.mark.parametrize(
    ("values", "labels"), [([3.0], [0]), ([0.0, 5.0], [0, 1]), ([2.0, 2.0], [0, 0])]
)
def test_structural_loss_term_without_pairs_is_zero(values: list[float], labels: list[int]) -> None:
    """One sample has no pairs; far or equal outputs cost nothing in the other term."""
    outputs = torch.tensor(values)[:, None].requires_grad_()
    loss = structural_loss(outputs, torch.tensor(labels))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    assert loss.item() == 0.0
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_structural_loss_gradient_is_finite_at_coinciding_outputs() -> None:
    """A distance of 0 has no derivative; the pair pushes nowhere."""
    outputs = torch.zeros(4, 2, requires_grad=True)
    loss = structural_loss(outputs, torch.tensor([0, 0, 1, 1]))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    assert loss.item() == 1.0
    assert outputs.grad is not None
    assert torch.equal(outputs.grad, torch.zeros(4, 2))


def test_structural_loss_ignores_the_order_of_the_batch() -> None:
    """A permutation moves nothing but the rounding of float64 sums."""
    outputs, labels = random_batch(20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = structural_loss(outputs[order], labels[order]).item()
    assert shuffled == pytest.approx(structural_loss(outputs, labels).item(), rel=1e-12)


def test_task_loss_is_the_mean_cross_entropy() -> None:
    """Equal logits of 4 classes cost ln 4 a sample."""
    loss = classification_loss(torch.zeros(5, 4), torch.tensor([0, 1, 2, 3, 0])).item()
    assert loss == pytest.approx(math.log(4), rel=1e-6)
