"""Principal components as an encoder."""

import numpy as np
import torch

from echo_stream._common.device import single_threaded
from echo_stream._common.typing import Array
from echo_stream.generation.encoder import Encoder, freeze_layer
from echo_stream.generation.preprocessing import Preprocessing

MAX_COMPONENTS = 64


def fit_pca(x: Array, preprocess: Preprocessing, *, seed: int) -> Encoder:
    """Return the projection on the first principal components of payloads x (n, ...).

    At most 64, and no more than features or samples. Deterministic under the seed.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import, not always needed

    vectors = preprocess(x).cpu().numpy()
    mean = torch.from_numpy(vectors.mean(axis=0, dtype=np.float64))
    if np.ptp(vectors, axis=0).any():
        components = PCA(min(MAX_COMPONENTS, *vectors.shape), random_state=seed)
        # A power of two changes no bit of the components, and keeps squares within float32.
        scale = np.float32(2.0 ** -np.frexp(np.abs(vectors).max())[1])
        with single_threaded():
            components.fit(vectors * scale)
        weight = torch.from_numpy(components.components_.astype(np.float64))
    else:
        # Equal samples have no components; the first feature does as well as any.
        weight = torch.eye(1, vectors.shape[1], dtype=torch.float64)
    layer = freeze_layer(weight, -weight @ mean).to(preprocess.device)
    return Encoder((layer,), len(weight))


def identity(num_features: int) -> Encoder:
    """Return the encoder of samples that are embeddings already: z is x."""
    return Encoder((), num_features)
