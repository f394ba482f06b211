"""Encoders: layers that are frozen, trained or principal components, exact in any block.

Weights are rounded so that every product of a layer is exact in float64 (see
`echo_stream._common.fixed_point`): an embedding has the same bits wherever the sample
stands in its block, and on a CPU with any number of threads or on a GPU.
A float32 product does not: with 10 inputs its last bit changes with the row.

Source: the ECHO paper, section IV-A.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch.nn.functional import linear

from echo_stream._common.device import single_threaded
from echo_stream._common.fixed_point import round_to_spacing, weight_bits
from echo_stream._common.scratch import Scratch, chunks
from echo_stream._common.typing import Array
from echo_stream.generation.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One affine map with exactly summed products.

    Attributes
    ----------
    weight : tensor of shape (outputs, inputs), float64
    bias : tensor of shape (outputs,), float64
    spacing : float or None
        Unit to which the activations are rounded before the next layer; None
        for the last layer, which has no activation.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    spacing: float | None = None

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Map values of shape (n, inputs), float64, to (n, outputs), float64."""
        # The bias is no multiple of the products' spacing: it is added after the exact sum.
        affine = linear(values, self.weight).add_(self.bias)
        return affine if self.spacing is None else round_to_spacing(affine.relu_(), self.spacing)

    def to(self, device: torch.device) -> Self:
        """Return the layer on device."""
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class LatentEncoder:
    """A linear map, or a perceptron with ReLU, whose weights are fixed.

    Attributes
    ----------
    layers : tuple of Layer
        One for `linear` and PCA, two for `mlp`, none where z is x itself.
    dim : int
        Dimension d of the latent space.

    Examples
    --------
    >>> swap = LatentEncoder((freeze_layer(torch.eye(2).flip(0), torch.zeros(2)),), dim=2)
    >>> swap(torch.tensor([[0.5, 0.25]])).tolist()
    [[0.25, 0.5]]
    """

    layers: tuple[Layer, ...]
    dim: int

    def __call__(self, vectors: torch.Tensor, scratch: Scratch | None = None) -> torch.Tensor:
        """Embed vectors of shape (n, D), float32, as (n, d), float64. O(n D).

        With the memory of scratch, float64, if given.
        """
        memory = scratch or Scratch(torch.float64, vectors.device)
        latent = torch.empty(len(vectors), self.dim, dtype=torch.float64, device=vectors.device)
        for rows in chunks(len(vectors), vectors.device):
            values = memory.copy(vectors[rows])
            for layer in self.layers:
                values = layer(values)
            latent[rows] = values
        return latent

    def to(self, device: torch.device) -> "LatentEncoder":
        """Return the encoder on device."""
        return LatentEncoder(tuple(layer.to(device) for layer in self.layers), self.dim)


def freeze_layer(weight: torch.Tensor, bias: torch.Tensor) -> Layer:
    """Return a trained layer with its weights rounded to the bits that keep products exact."""
    weight = weight.detach().double()
    _, exponent = math.frexp(float(weight.abs().max()))
    step = math.ldexp(1.0, exponent - weight_bits(weight.shape[1]))
    return Layer(round_to_spacing(weight, step), bias.detach().double())


_MAX_COMPONENTS = 64


def fit_pca(x: Array, preprocess: Preprocessing, *, seed: int) -> LatentEncoder:
    """Return the projection on the first principal components of payloads x (n, ...).

    At most 64, and no more than features or samples. Deterministic under the seed.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import, not always needed

    vectors = preprocess(x).cpu().numpy()
    mean = torch.from_numpy(vectors.mean(axis=0, dtype=np.float64))
    if np.ptp(vectors, axis=0).any():
        components = PCA(min(_MAX_COMPONENTS, *vectors.shape), random_state=seed)
        # A power of two changes no bit of the components, and keeps squares within float32.
        scale = np.float32(2.0 ** -np.frexp(np.abs(vectors).max())[1])
        with single_threaded():
            components.fit(vectors * scale)
        weight = torch.from_numpy(components.components_.astype(np.float64))
    else:
        # Equal samples have no components; the first feature does as well as any.
        weight = torch.eye(1, vectors.shape[1], dtype=torch.float64)
    layer = freeze_layer(weight, -weight @ mean).to(preprocess.device)
    return LatentEncoder((layer,), len(weight))


_PROJECTED_DIM = 128
_MAX_UNPROJECTED = 512  # those of text models in use; measured as they are they lose nothing


def random_projection(num_features: int) -> LatentEncoder:
    """Return a projection on 128 random directions, at right angles; the same in every engine.

    It depends on no sample, so that whatever comes later is seen as well as what came first.
    Distances of two samples become shorter by the same factor, with a relative error of some 6 %.
    Source: Johnson & Lindenstrauss (1984). The identity for at most 512 features.
    """
    if num_features <= _MAX_UNPROJECTED:
        return identity(num_features)
    directions = np.random.default_rng(0).normal(size=(num_features, _PROJECTED_DIM))
    with single_threaded():
        weight = torch.from_numpy(np.ascontiguousarray(np.linalg.qr(directions)[0].T))
    return LatentEncoder((freeze_layer(weight, torch.zeros(_PROJECTED_DIM)),), _PROJECTED_DIM)


def identity(num_features: int) -> LatentEncoder:
    """Return the encoder of samples that are embeddings already: z is x."""
    return LatentEncoder((), num_features)
