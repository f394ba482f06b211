"""Losses of the downstream model: the task's own, and the structural one.

Source: the ECHO paper, section IV-D, equations 11-13.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

TaskLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Maps outputs (n, k), targets (n,) and weights (n,) or None to a loss of shape ()."""


def classification_loss(outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy of a batch (eq. 11). O(n classes).

    Parameters
    ----------
    outputs : tensor of shape (n, classes), float
        Logits.
    labels : tensor of shape (n,), int64
        Positions of the true classes.
    weights : tensor of shape (n,), float, optional
        Of the samples in the mean, at least 0; equal by default.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 0.0], [0.0, 99.0]])
    >>> labels = torch.tensor([0, 1])
    >>> classification_loss(logits, labels), classification_loss(logits, labels, torch.eye(2)[0])
    (tensor(0.3466), tensor(0.6931))
    """
    if weights is None:
        return functional.cross_entropy(outputs, labels)
    return _weighted_mean(functional.cross_entropy(outputs, labels, reduction="none"), weights)


def regression_loss(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean squared error of a batch (eq. 11). O(n).

    Parameters
    ----------
    outputs : tensor of shape (n, 1), float
    targets : tensor of shape (n,), float
    weights : tensor of shape (n,), float, optional
        As for `classification_loss`.
    """
    if weights is None:
        return functional.mse_loss(outputs[:, 0], targets)
    return _weighted_mean((outputs[:, 0] - targets).square(), weights)


def structural_loss(outputs: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Return how far the outputs are from close within classes and apart between them (eq. 12).

    Parameters
    ----------
    outputs : tensor of shape (n, dim), float
        Outputs f of the model; the method takes the logits.
    labels : tensor of shape (n,), int64
        Pairs with equal labels are positive, all others negative.
    margin : float
        The paper's m: distance from which a negative pair costs nothing.

    Returns
    -------
    tensor of shape ()
        The mean over positive ordered pairs i != j of |f_i - f_j|^2, plus the mean over
        negative pairs of max(0, m - |f_i - f_j|). A term without pairs is 0.

    Notes
    -----
    O(n^2 dim) time and O(n^2) memory. Distances are taken from differences, not from
    inner products, so that close outputs lose no digits. The distance has no derivative at
    0: outputs that coincide get the gradient 0 from their pair, never NaN.

    Examples
    --------
    >>> outputs = torch.tensor([[0.0], [2.0], [2.5]])
    >>> structural_loss(outputs, torch.tensor([0, 0, 1]))  # 2^2 + (0 + 1/2) / 2
    tensor(4.2500)
    """
    distances = torch.cdist(outputs, outputs, compute_mode="donot_use_mm_for_euclid_dist")
    alike = labels[:, None] == labels[None, :]
    # A sample's distance to itself is 0: it is no pair, and adds to the count alone.
    num_alike, n = alike.sum(), len(labels)
    attraction = _mean(torch.where(alike, distances.square(), 0.0), num_alike - n)
    repulsion = _mean(torch.where(alike, 0.0, (margin - distances).clamp(min=0)), n**2 - num_alike)
    return attraction + repulsion


def _mean(terms: Tensor, count: Tensor) -> Tensor:
    """Return the sum of the terms over their count, 0 when there are none.

    No value leaves the device, so a GPU is not waited for.
    """
    return terms.sum() / count.clamp(min=1)


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of losses, 0 when no weight is above 0."""
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
