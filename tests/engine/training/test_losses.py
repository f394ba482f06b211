"""The losses are their formulas, with gradients that can be used everywhere."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from echo_stream.training.augmentation import Mixture, mix
from echo_stream.training.losses import classification_loss, regression_loss, structural_loss
from tests.support import naive

# Multiples of 1/8: outputs coincide often, and squares are exact.
coordinates = st.integers(-24, 24).map(lambda eighths: eighths / 8)
points = st.tuples(coordinates, coordinates, coordinates)
weights = st.sampled_from([0.0, 0.25, 1.0, 7.0])
batches = st.lists(st.tuples(points, st.integers(0, 3)), min_size=1, max_size=12)


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
    expected = naive.structural_loss(outputs.tolist(), labels.tolist(), margin)
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


@given(st.lists(st.tuples(points, st.integers(0, 2), weights), min_size=1, max_size=12))
def test_classification_loss_equals_the_loop(
    batch: list[tuple[tuple[float, float, float], int, float]],
) -> None:
    """With weights and without; at most 12 float64 terms: 1e-12."""
    outputs = torch.tensor([point for point, _, _ in batch], dtype=torch.float64)
    labels = torch.tensor([label for _, label, _ in batch])
    weighted = torch.tensor([weight for _, _, weight in batch], dtype=torch.float64)
    plain = naive.cross_entropy(outputs.tolist(), labels.tolist(), [1.0] * len(batch))
    assert classification_loss(outputs, labels).item() == pytest.approx(plain, rel=1e-12)
    expected = naive.cross_entropy(outputs.tolist(), labels.tolist(), weighted.tolist())
    loss = classification_loss(outputs, labels, weighted).item()
    assert loss == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.tuples(coordinates, coordinates, weights), min_size=1, max_size=12))
def test_regression_loss_equals_the_loop(batch: list[tuple[float, float, float]]) -> None:
    """Squares of eighths are exact; one division is left: 1e-12."""
    outputs, targets, weighted = (
        torch.tensor(column, dtype=torch.float64) for column in zip(*batch, strict=True)
    )
    rows = outputs[:, None].tolist()
    plain = naive.squared_error(rows, targets.tolist(), [1.0] * len(batch))
    assert regression_loss(outputs[:, None], targets).item() == pytest.approx(plain, rel=1e-12)
    expected = naive.squared_error(rows, targets.tolist(), weighted.tolist())
    loss = regression_loss(outputs[:, None], targets, weighted).item()
    assert loss == pytest.approx(expected, rel=1e-12)


def test_task_loss_gradients_are_right() -> None:
    """The analytic gradients are the numeric ones, with weights of which one is 0."""
    outputs, labels = random_batch(5)
    weighted = torch.tensor([0.0, 1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    targets = torch.linspace(-1, 1, 5, dtype=torch.float64)
    mixture = mixture_of(5)
    for loss in (
        lambda f: classification_loss(f, labels, weighted),
        lambda f: regression_loss(f, targets, weighted),
        lambda f: mixture.loss(classification_loss, f, labels, weighted),
    ):
        assert torch.autograd.gradcheck(loss, (outputs,))


def mixture_of(n: int) -> Mixture:
    """Return a mixture of n samples, in float64."""
    mixture = mix(torch.eye(n), 1.0, np.random.default_rng(1))
    return Mixture(mixture.x.double(), mixture.partner, mixture.share.double())


def test_no_weight_at_all_costs_nothing() -> None:
    """A batch of second rows, whose weight is 0, has no loss and no gradient."""
    outputs, labels = random_batch(3)
    loss = classification_loss(outputs, labels, torch.zeros(3, dtype=torch.float64))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    assert loss.item() == 0.0
    assert outputs.grad is not None
    assert torch.equal(outputs.grad, torch.zeros_like(outputs))


def test_mixtures_are_convex_and_leave_the_batch_alone() -> None:
    """Each is share of itself and the rest of its partner, for images too."""
    x = torch.rand(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    mixture = mix(x, 0.4, np.random.default_rng(2))
    assert torch.equal(x, before)
    assert sorted(mixture.partner.tolist()) == list(range(6))
    for row in range(6):
        share = mixture.share[row]
        expected = share * x[row] + (1 - share) * x[mixture.partner[row]]
        torch.testing.assert_close(mixture.x[row], expected)


def test_loss_of_a_mixture_is_that_against_mixed_labels() -> None:
    """Cross-entropy against the mixed one-hot labels, by the loop."""
    outputs, labels = random_batch(7)
    mixture = mixture_of(7)
    shares = [[0.0] * 3 for _ in range(7)]
    for row in range(7):
        shares[row][labels[row]] += mixture.share[row].item()
        shares[row][labels[mixture.partner[row]]] += 1 - mixture.share[row].item()
    expected = naive.mixed_cross_entropy(outputs.tolist(), shares, [1.0] * 7)
    loss = mixture.loss(classification_loss, outputs, labels, None).item()
    assert loss == pytest.approx(expected, rel=1e-12)
