"""Embed samples: their vectors, their z, and the cells that they lie in."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from echo_stream._common.scratch import Scratch
from echo_stream._common.typing import IntArray
from echo_stream.config import EngineConfig
from echo_stream.generation.classes import class_numbers
from echo_stream.generation.features import failures
from echo_stream.generation.generation import Generation
from echo_stream.generation.quantiser import Located
from echo_stream.samples.members import Member, members_from, samples_from
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Failure
from echo_stream.sketch.pools.pools import latents, vectors_of


class Embedded(NamedTuple):
    """Samples with their vectors, z and cells.

    Attributes
    ----------
    vectors : tensor of shape (n, D), float32
    latent : tensor of shape (n, d), float64
    keys : tensor of shape (n,), int64
        Of their cells.
    second_nearest : tensor of shape (n,), int64, or None
        See `Located`.
    samples : Samples
    """

    vectors: torch.Tensor
    latent: torch.Tensor
    keys: torch.Tensor
    second_nearest: torch.Tensor | None
    samples: Samples


class Embedder:
    """Embed samples by a generation that is kept on a device.

    Parameters
    ----------
    generation : Generation
    config : EngineConfig
        Decides whether labels are part of cells.
    device : torch.device
    """

    def __init__(self, generation: Generation, config: EngineConfig, device: torch.device) -> None:
        self._generation, self._config, self._device = generation, config, device
        self._on_device = generation.to(device)
        self._exact = Scratch(torch.float64, device)

    def failures(self, samples: Samples) -> list[Failure]:
        """Return the samples for which the features fail."""
        features = self._on_device.features
        return [] if features is None else failures(features, samples.x, self._device)

    def embed(self, samples: Samples, *, vectors: Scratch | None = None) -> Embedded:
        """Return the vectors, in the given memory if any, z and cells of samples. O(n D)."""
        preprocessed = self._on_device.vectors(samples.x, vectors)
        latent = self._on_device.latent(preprocessed, self._exact)
        return Embedded(preprocessed, latent, *self._locate(latent, samples), samples)

    def placed(self, members: Sequence[Member]) -> Embedded:
        """Return the vectors, z and cells of members as they were counted. O(n D)."""
        generation = self._generation
        z = torch.from_numpy(latents(members, generation.encoder.dim)).to(self._device)
        vectors = torch.from_numpy(vectors_of(members, generation)).to(self._device)
        samples = samples_from(members, generation.schema)
        return Embedded(vectors, z, *self._locate(z, samples), samples)

    def members_of(self, embedded: Embedded, rows: IntArray) -> list[Member]:
        """Return rows of samples that have been embedded as members."""
        index = torch.from_numpy(rows).to(self._device)
        keeps_inputs = self._generation.features is not None
        inputs = embedded.vectors[index].cpu().numpy() if keeps_inputs else None
        return members_from(embedded.samples[rows], embedded.latent[index].cpu().numpy(), inputs)

    def _locate(self, latent: torch.Tensor, samples: Samples) -> Located:
        """Return the cells of samples at points (n, d): where labels count, those of their class.

        The keys of a class are those of the codewords, beyond as many as all classes before
        it can have.
        """
        quantiser = self._on_device.quantiser
        located = quantiser.locate(latent)
        if self._config.balance == "none":
            return located
        first = torch.from_numpy(class_numbers(samples) * quantiser.max_cells).to(self._device)
        second_nearest = None if located.second_nearest is None else located.second_nearest + first
        return Located(located.keys + first, second_nearest)
