"""Training of the encoder: distances in the latent space follow those of the input.

Source: the ECHO paper, section IV-A, equations 1-3.
"""

from collections.abc import Callable

import torch
from torch import nn

from echo_stream._common.device import reproducible
from echo_stream._common.fixed_point import spacing_for
from echo_stream._common.typing import Array
from echo_stream.config import Architecture, Objective
from echo_stream.generation.encoder import LatentEncoder, Layer, freeze_layer
from echo_stream.generation.preprocessing import CHUNK_ROWS, Preprocessing

_HIDDEN_UNITS = 128
_LEARNING_RATE = 1e-3
_BATCH_SIZE = 512
# The sums of float32 training depend on the number of threads, and a machine's cores must
# not decide the coreset. Beside a busy neighbour one thread is also five times faster than
# two, which wait for each other at every operation.
_THREADS = 1


def train_encoder(
    x: Array,
    preprocess: Preprocessing,
    *,
    architecture: Architecture,
    objective: Objective,
    dim: int,
    epochs: int,
    seed: int,
    on_epoch: Callable[[int, int], None] | None = None,
) -> LatentEncoder:
    """Train an encoder on payloads x of shape (n, ...) and freeze it.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
        Training payloads; one sample leaves the encoder at its initial weights.
    preprocess : Preprocessing
        Maps payloads to vectors, on the device that trains.
    architecture : "linear" or "mlp"
        D -> d, or D -> 128 -> d with ReLU.
    objective : "profile" or "pairwise"
        See `distance_loss`.
    dim : int
        Dimension d of the latent space.
    epochs : int
        Passes over x, in batches of 512, by Adam at 1e-3.
    seed : int
        Fixes initial weights and batches; global random state is left alone.
    on_epoch : callable, optional
        Called with (epochs done, epochs) after each.

    Notes
    -----
    O(epochs n (batch + D)). The paper gives neither sizes nor optimiser; these are ours.
    """
    with reproducible(preprocess.device, seed=seed, threads=_THREADS):
        model = _build(architecture, int(x[0].size), dim).to(preprocess.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
        order = torch.Generator().manual_seed(seed)
        for epoch in range(epochs):
            for rows in torch.split(torch.randperm(len(x), generator=order), _BATCH_SIZE):
                _step(model, optimizer, preprocess(x[rows.numpy()]), objective)
            if on_epoch is not None:
                on_epoch(epoch + 1, epochs)
        return _freeze(model, x, preprocess)


def distance_loss(
    vectors: torch.Tensor, latent: torch.Tensor, objective: Objective
) -> torch.Tensor:
    """Return how far latent distances are from input distances in a mini-batch (eq. 1-3).

    Parameters
    ----------
    vectors : tensor of shape (n, D)
    latent : tensor of shape (n, d)
    objective : "profile" or "pairwise"
        `profile` is the paper's: mean over i of (mean_j DX_ij - mean_j DZ_ij)^2.
        `pairwise` is ours and keeps local structure: mean over i, j of (DX_ij - DZ_ij)^2.

    Notes
    -----
    Both distance matrices are divided by their largest entry over the mini-batch;
    the paper divides by the maximum over all pairs, which is not known in a stream.
    """
    # Matrix products lose what is small beside the distance to the origin: none is left.
    centred = vectors - vectors.mean(dim=0)
    difference = _normalised(_distances(centred)) - _normalised(_distances(latent))
    if objective == "profile":
        difference = difference.mean(dim=1)
    return difference.square().mean()


def _distances(points: torch.Tensor) -> torch.Tensor:
    """Return the (n, n) matrix of Euclidean distances. Its gradient at distance 0 is 0."""
    mode = "donot_use_mm_for_euclid_dist" if points.requires_grad else "use_mm_for_euclid_dist"
    return torch.cdist(points, points, compute_mode=mode)


def _normalised(distances: torch.Tensor) -> torch.Tensor:
    """Divide by the largest entry; a batch of equal points stays 0."""
    largest = distances.max()
    return distances / torch.where(largest > 0, largest, torch.ones_like(largest))


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, vectors: torch.Tensor, objective: Objective
) -> None:
    """Take one optimiser step on a mini-batch."""
    optimizer.zero_grad()
    loss = distance_loss(vectors, model(vectors), objective)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    optimizer.step()


def _build(architecture: Architecture, num_inputs: int, dim: int) -> nn.Sequential:
    """Return the untrained model."""
    if architecture == "linear":
        return nn.Sequential(nn.Linear(num_inputs, dim))
    hidden = nn.Linear(num_inputs, _HIDDEN_UNITS)
    return nn.Sequential(hidden, nn.ReLU(), nn.Linear(_HIDDEN_UNITS, dim))


def _freeze(model: nn.Sequential, x: Array, preprocess: Preprocessing) -> LatentEncoder:
    """Return the trained model frozen; hidden units come from the activations on x."""
    linears = [module for module in model if isinstance(module, nn.Linear)]
    layers: tuple[Layer, ...] = ()
    for linear in linears[:-1]:
        layer = freeze_layer(linear.weight, linear.bias)
        head = LatentEncoder((*layers, layer), len(layer.bias))
        largest = max(
            float(head(preprocess(x[start : start + CHUNK_ROWS])).max())
            for start in range(0, len(x), CHUNK_ROWS)
        )
        layers = (*layers, Layer(layer.weight, layer.bias, spacing_for(max(largest, 0.0))))
    last = linears[-1]
    return LatentEncoder((*layers, freeze_layer(last.weight, last.bias)), len(last.bias))
