"""A generation: everything that is trained once and then fixed for a sketch."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from echo_stream.config import EngineConfig
from echo_stream.encoder import Encoder, Layer
from echo_stream.encoder_training import train_encoder
from echo_stream.errors import StateError
from echo_stream.fixed_point import round_to_unit, unit_for
from echo_stream.partition import Grid, grid_side
from echo_stream.preprocessing import Preprocessing, fit_preprocessing, row_chunks
from echo_stream.typing import Array, State
from echo_stream.validation import SampleSchema

FORMAT_VERSION = 1
ID_DIGITS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """An encoder, its scaling, its units and its partition, with an id.

    Two generations with the same id treat every sample alike: the id is a digest
    of all that is trained.

    Attributes
    ----------
    schema : SampleSchema
        Shape and dtype of the payloads that it was trained on.
    preprocess : Preprocessing
    encoder : Encoder
    low, high : tensor of shape (d,), float64
        Range of each latent axis over the training samples; mapped to [0, 1].
    latent_unit, norm_unit : float
        Units to which z and |z|^2 are rounded.
    partition : Grid
    expected_n : int
        The N that fixed the partition's resolution.
    """

    schema: SampleSchema
    preprocess: Preprocessing
    encoder: Encoder
    low: torch.Tensor
    high: torch.Tensor
    latent_unit: float
    norm_unit: float
    partition: Grid
    expected_n: int

    @property
    def id(self) -> str:
        """Digest of everything trained: equal ids mean equal treatment."""
        arrays, meta = self.to_state()
        digest = hashlib.blake2b(json.dumps(meta, sort_keys=True).encode(), digest_size=8)
        for name in sorted(arrays):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return digest.hexdigest()[:ID_DIGITS]

    @property
    def num_features(self) -> int:
        """Dimension D of the space in which support is measured."""
        return self.schema.num_elements

    def latent(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return z of shape (n, d), float64, for preprocessed vectors of shape (n, D).

        The embedding, mapped so that the training samples span [0, 1] on each axis
        (a constant axis: 0.5), rounded to the latent unit.
        """
        return round_to_unit(_rescale(self.encoder(vectors), self.low, self.high), self.latent_unit)

    def squared_norms(self, latent: torch.Tensor) -> torch.Tensor:
        """Return |z|^2 of shape (n,), float64, rounded to its unit."""
        return round_to_unit(latent.square().sum(dim=1), self.norm_unit)

    def to(self, device: torch.device) -> "Generation":
        """Return the generation with its tensors on device."""
        return replace(
            self,
            preprocess=self.preprocess.to(device),
            encoder=self.encoder.to(device),
            low=self.low.to(device),
            high=self.high.to(device),
        )

    def to_state(self) -> State:
        """Return arrays and a JSON-able description from which `from_state` restores it."""
        arrays = {"low": self.low, "high": self.high}
        for number, layer in enumerate(self.encoder.layers):
            arrays |= {f"weight_{number}": layer.weight, f"bias_{number}": layer.bias}
        if self.preprocess.mean is not None and self.preprocess.scale is not None:
            arrays |= {"mean": self.preprocess.mean, "scale": self.preprocess.scale}
        meta = {
            "format_version": FORMAT_VERSION,
            "schema": self.schema.to_json(),
            "input_unit": self.preprocess.unit,
            "layer_units": [layer.unit for layer in self.encoder.layers],
            "latent_unit": self.latent_unit,
            "norm_unit": self.norm_unit,
            "partition": {"kind": "grid", **asdict(self.partition)},
            "expected_n": self.expected_n,
        }
        return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}, meta

    @classmethod
    def from_state(cls, state: State) -> "Generation":
        """Restore a generation written by `to_state`, on the CPU."""
        arrays, meta = state
        check_format(meta, FORMAT_VERSION, "generation")
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        layers = (
            Layer(tensors[f"weight_{number}"], tensors[f"bias_{number}"], unit)
            for number, unit in enumerate(meta["layer_units"])
        )
        grid = meta["partition"]
        return cls(
            schema=SampleSchema.from_json(meta["schema"]),
            preprocess=Preprocessing(meta["input_unit"], tensors.get("mean"), tensors.get("scale")),
            encoder=Encoder(tuple(layers)),
            low=tensors["low"],
            high=tensors["high"],
            latent_unit=meta["latent_unit"],
            norm_unit=meta["norm_unit"],
            partition=Grid(side=grid["side"], dim=grid["dim"]),
            expected_n=meta["expected_n"],
        )


def train_generation(
    x: Array,
    config: EngineConfig,
    *,
    expected_n: int,
    device: torch.device,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Generation:
    """Train a generation on payloads x of shape (n, ...), n >= 1.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
        Training payloads: all of a batch build, the warm-up of a stream.
    config : EngineConfig
    expected_n : int
        N in the grid's resolution (section III-A).
    device : torch.device
        Where the encoder is trained. The generation returned is on the CPU.
    on_epoch : callable, optional
        Called with (epochs done, epochs).
    """
    # Refuse a grid that is too fine before spending time on training.
    grid = Grid(side=grid_side(expected_n), dim=config.latent_dim)
    preprocess = fit_preprocessing(x, standardise=config.standardise, device=device)
    encoder = train_encoder(
        x,
        preprocess,
        architecture=config.encoder,
        objective=config.objective,
        dim=config.latent_dim,
        epochs=config.epochs,
        seed=config.seed,
        on_epoch=on_epoch,
    )
    embedding = torch.cat([encoder(preprocess(part)) for part in row_chunks(x)])
    low, high = embedding.amin(dim=0), embedding.amax(dim=0)
    latent = _rescale(embedding, low, high)
    return Generation(
        schema=SampleSchema.of(x),
        preprocess=preprocess,
        encoder=encoder,
        low=low,
        high=high,
        latent_unit=unit_for(float(latent.abs().max())),
        norm_unit=unit_for(float(latent.square().sum(dim=1).max())),
        partition=grid,
        expected_n=expected_n,
    ).to(torch.device("cpu"))


def check_format(meta: dict[str, Any], version: int, what: str) -> None:
    """Raise StateError unless a stored description has the format version that we read."""
    if meta["format_version"] != version:
        msg = (
            f"the {what} has format version {meta['format_version']}; this version of "
            f"echo-stream reads {version}"
        )
        raise StateError(msg)


def _rescale(embedding: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Map each axis so that [low, high] becomes [0, 1]; a constant axis becomes 0.5."""
    span = high - low
    return torch.where(span > 0, (embedding - low) / span, torch.full_like(embedding, 0.5))
