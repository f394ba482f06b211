"""A generation: everything that is trained once and then fixed for a sketch."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias, assert_never

import numpy as np
import torch

from echo_stream._common.fixed_point import round_to_spacing, spacing_for
from echo_stream._common.scratch import Scratch
from echo_stream._common.typing import Array, IntArray, State
from echo_stream.config import EngineConfig, Preset
from echo_stream.errors import ConfigError, SettingName, StateError
from echo_stream.generation.codebook import (
    CODEWORDS_OF_CLASS,
    MAX_CODEWORDS,
    Codebook,
    train_codebook,
)
from echo_stream.generation.encoder import (
    LatentEncoder,
    Layer,
    fit_pca,
    identity,
    random_projection,
)
from echo_stream.generation.encoder_training import train_encoder
from echo_stream.generation.features import Features
from echo_stream.generation.grid import Grid, budget_aware_side, grid_side
from echo_stream.generation.preprocessing import Preprocessing, fit_preprocessing, row_chunks
from echo_stream.generation.quantiser import FixedQuantiser, NoQuantiser, Quantiser
from echo_stream.samples.validation import SampleSchema

FORMAT_VERSION = 2
_ID_DIGITS = 16

OnEpoch: TypeAlias = Callable[[int, int], None]
"""Called with (epochs done, epochs) while the encoder is trained."""


class WeightedPayloads(NamedTuple):
    """Payloads with weights, as a sample of everything counted.

    Attributes
    ----------
    x : ndarray of shape (n, ...)
        Payloads.
    times : ndarray of shape (n,), int64
        Weight of each payload.
    """

    x: Array
    times: IntArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Generation:
    """An encoder, its scaling, its spacings and its quantiser, with an id.

    Two generations with the same id treat every sample alike: the id is a digest
    of all that is trained.

    Attributes
    ----------
    schema : SampleSchema
        Shape and dtype of the payloads that it was trained on.
    preprocess : Preprocessing
    encoder : LatentEncoder
    span : tuple of two tensors of shape (d,), float64, or None
        Range of each latent axis over the training samples, mapped to [0, 1] for a
        grid. A codebook takes the latent space as it is.
    latent_spacing, norm_spacing : float
        Units to which z and |z|^2 are rounded.
    quantiser : Quantiser
    expected_n : int
        The N that fixed the quantiser's resolution.
    features : Features or None
        Maps payloads to the vectors that are measured; None: the payload itself.
    """

    schema: SampleSchema
    preprocess: Preprocessing
    encoder: LatentEncoder
    span: tuple[torch.Tensor, torch.Tensor] | None
    latent_spacing: float
    norm_spacing: float
    quantiser: Quantiser
    expected_n: int
    features: Features | None = None

    def __repr__(self) -> str:
        """Return the id: the rest is long."""
        return f"<Generation {self.id}>"

    @property
    def id(self) -> str:
        """Digest of everything trained: equal ids mean equal results."""
        arrays, meta = self.to_state()
        digest = hashlib.blake2b(json.dumps(meta, sort_keys=True).encode(), digest_size=8)
        for name in sorted(arrays):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return digest.hexdigest()[:_ID_DIGITS]

    @property
    def num_features(self) -> int:
        """Dimension D of the space in which everything is measured."""
        return self.schema.num_elements if self.features is None else self.features.dim

    def vectors(self, x: Array, scratch: Scratch | None = None) -> torch.Tensor:
        """Return payloads x of shape (n, ...) as vectors (n, D), float32: features, scaled.

        In the memory of scratch, float32, if given.
        """
        return self.preprocess(x if self.features is None else self.features(x), scratch)

    def latent(self, vectors: torch.Tensor, scratch: Scratch | None = None) -> torch.Tensor:
        """Return z of shape (n, d), float64, for `vectors` of shape (n, D).

        The embedding, for a grid mapped so that the training samples span [0, 1] on each
        axis (a constant axis: 0.5), rounded to the latent spacing.
        """
        embedding = self.encoder(vectors, scratch)
        return round_to_spacing(_rescale(embedding, self.span), self.latent_spacing)

    def squared_norms(self, latent: torch.Tensor) -> torch.Tensor:
        """Return |z|^2 of shape (n,), float64, rounded and cut by `round_to_spacing`."""
        return round_to_spacing(latent.square().sum(dim=1), self.norm_spacing)

    def to(self, device: torch.device) -> "Generation":
        """Return the generation with its tensors on device."""
        return replace(
            self,
            preprocess=self.preprocess.to(device),
            encoder=self.encoder.to(device),
            span=self.span and (self.span[0].to(device), self.span[1].to(device)),
            quantiser=self.quantiser.to(device),
            features=self.features and self.features.to(device),
        )

    @property
    def fixed_quantiser(self) -> FixedQuantiser:
        """The quantiser, where its cells are fixed."""
        assert isinstance(self.quantiser, FixedQuantiser)
        return self.quantiser

    @property
    def size_bytes(self) -> int:
        """Bytes of the encoder and the quantiser, as they are stored."""
        return sum(array.nbytes for array in self.to_state()[0].values())

    def to_state(self) -> State:
        """Return arrays and a JSON-able description from which `from_state` restores it."""
        arrays: dict[str, torch.Tensor] = {}
        if self.span is not None:
            arrays |= {"low": self.span[0], "high": self.span[1]}
        for number, layer in enumerate(self.encoder.layers):
            arrays |= {f"weight_{number}": layer.weight, f"bias_{number}": layer.bias}
        if self.preprocess.mean is not None and self.preprocess.scale is not None:
            arrays |= {"mean": self.preprocess.mean, "scale": self.preprocess.scale}
        meta = {
            "format_version": FORMAT_VERSION,
            "schema": self.schema.to_json(),
            "input_spacing": self.preprocess.spacing,
            "layer_spacings": [layer.spacing for layer in self.encoder.layers],
            "latent_spacing": self.latent_spacing,
            "norm_spacing": self.norm_spacing,
            "latent_dim": self.encoder.dim,
            "quantiser": self.quantiser.describe(),
            "expected_n": self.expected_n,
        }
        columns = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
        columns |= self.quantiser.to_arrays()
        if self.features is not None:
            meta["features"] = self.features.name
            columns |= {"probe": self.features.probe, "probe_features": self.features.expected}
        return columns, meta

    @classmethod
    def from_state(cls, state: State, *, features: object = None) -> "Generation":
        """Restore a generation written by `to_state`, on the CPU.

        Parameters
        ----------
        state : tuple
        features : module, callable or str, optional
            Features that the generation was trained with: code is never taken from a state.

        Raises
        ------
        StateError
            If the state is of another format version.
        ConfigError
            If the features are missing or different.
        """
        arrays, meta = state
        check_format(meta, FORMAT_VERSION, "generation")
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        layers = (
            Layer(tensors[f"weight_{number}"], tensors[f"bias_{number}"], spacing)
            for number, spacing in enumerate(meta["layer_spacings"])
        )
        return cls(
            schema=SampleSchema.from_json(meta["schema"]),
            preprocess=Preprocessing(
                meta["input_spacing"], tensors.get("mean"), tensors.get("scale")
            ),
            encoder=LatentEncoder(tuple(layers), meta["latent_dim"]),
            span=(tensors["low"], tensors["high"]) if "low" in tensors else None,
            latent_spacing=meta["latent_spacing"],
            norm_spacing=meta["norm_spacing"],
            quantiser=_restored_quantiser(meta["quantiser"], tensors),
            expected_n=meta["expected_n"],
            features=_restored_features(arrays, meta, features),
        )


def train_generation(
    x: Array,
    config: EngineConfig,
    *,
    expected_n: int,
    device: torch.device,
    features: object = None,
    on_epoch: OnEpoch | None = None,
    weighted: WeightedPayloads | None = None,
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
    features : module, callable or str, optional
        Makes the vectors that are measured; see `EchoCoreset`.
    on_epoch : callable, optional
        Called with (epochs done, epochs).
    weighted : WeightedPayloads, optional
        Payloads to train codewords on, if not x; a grid has no codewords.
    """
    refuse_too_fine(config, expected_n)
    is_grid = config.cells in ("grid", "grid-budget")
    if is_grid:
        weighted = None
    schema, featured = SampleSchema.of(x), None
    if features is not None:
        featured = Features.fit(features, x, device)
        x = featured(x)
        weighted = weighted and weighted._replace(x=featured(weighted.x))
    preprocess = fit_preprocessing(x, standardise=config.standardise, device=device)
    encoder = _train_latent(x, preprocess, config, on_epoch)
    embedding = torch.cat([encoder(preprocess(part)) for part in row_chunks(x)])
    span = (embedding.amin(dim=0), embedding.amax(dim=0)) if is_grid else None
    latent = _rescale(embedding, span)
    latent_spacing = spacing_for(float(latent.abs().max()))
    points, times = round_to_spacing(latent, latent_spacing), None
    if weighted is not None:
        embedded = torch.cat([encoder(preprocess(part)) for part in row_chunks(weighted.x)])
        points, times = round_to_spacing(embedded, latent_spacing), weighted.times
    return Generation(
        schema=schema,
        preprocess=preprocess,
        encoder=encoder,
        span=span,
        latent_spacing=latent_spacing,
        norm_spacing=spacing_for(float(latent.square().sum(dim=1).max())),
        quantiser=_train_quantiser(points, times, config, expected_n),
        expected_n=expected_n,
        features=featured,
    ).to(torch.device("cpu"))


def check_quantiser(generation: Generation, config: EngineConfig) -> None:
    """Raise ConfigError where settings ask for another kind of quantiser than a generation's."""
    check_adaptive(generation, config)
    kind = generation.quantiser.kind
    wanted = "grid" if config.cells == "grid-budget" else config.cells
    if not config.is_adaptive and kind != wanted:
        msg = f"generation {generation.id} has a {kind}, but "
        raise ConfigError(
            msg,
            SettingName("cells"),
            f" is {config.cells}; set ",
            SettingName("preset"),
            f" to {_KINDS[kind].preset}, or ",
            SettingName("cells"),
            f" to {kind}",
        )


def check_balance(generation: Generation, config: EngineConfig) -> None:
    """Raise ConfigError where a generation's cells cannot be those of each class."""
    quantiser = generation.quantiser
    has_too_many = quantiser.max_cells > CODEWORDS_OF_CLASS
    if config.balance == "class" and (quantiser.kind != "codebook" or has_too_many):
        raise ConfigError(
            SettingName("balance"),
            f" class needs a codebook of at most {CODEWORDS_OF_CLASS} codewords; generation "
            f"{generation.id} has a {quantiser.kind} of {quantiser.max_cells} cells; train "
            "another, or set ",
            SettingName("balance"),
            " to none",
        )


def check_adaptive(generation: Generation, config: EngineConfig) -> None:
    """Raise ConfigError where one of both has adaptive cells and the other has fixed ones."""
    kind = generation.quantiser.kind
    if (kind == "adaptive") != config.is_adaptive:
        msg = f"generation {generation.id} has {_KINDS[kind].cells}, but "
        raise ConfigError(
            msg,
            SettingName("preset"),
            f" is {config.preset}; set ",
            SettingName("preset"),
            f" to {_KINDS[kind].preset}",
        )


class _Kind(NamedTuple):
    """What a kind of quantiser is called in messages, and the preset that it goes with."""

    cells: str
    preset: Preset


_KINDS = {
    "grid": _Kind("a grid", "paper"),
    "codebook": _Kind("a codebook", "fixed"),
    "adaptive": _Kind("no fixed cells", "adaptive"),
}


def check_features(generation: Generation, config: EngineConfig) -> None:
    """Raise ConfigError where settings name other features than a generation has."""
    has = None if generation.features is None else generation.features.name
    if config.features is not None and config.features != has:
        msg = (
            f"generation {generation.id} was trained with features {has}, not "
            f"{config.features}; leave "
        )
        raise ConfigError(
            msg,
            SettingName("features"),
            " out, or train another generation",
        )


def refuse_too_fine(config: EngineConfig, expected_n: int) -> None:
    """Raise ConfigError for a grid with too many cells, before time is spent on training."""
    if config.cells == "grid" and config.latent == "encoder":
        Grid(side=grid_side(expected_n), dim=config.latent_dim)


def _train_latent(
    x: Array, preprocess: Preprocessing, config: EngineConfig, on_epoch: OnEpoch | None
) -> LatentEncoder:
    """Return the encoder."""
    if config.latent == "identity":
        return identity(x[0].size)
    if config.latent == "projection":
        return random_projection(x[0].size)
    if config.latent == "pca":
        return fit_pca(x, preprocess, seed=config.seed)
    return train_encoder(
        x,
        preprocess,
        architecture=config.latent_encoder,
        objective=config.objective,
        dim=config.latent_dim,
        epochs=config.epochs,
        seed=config.seed,
        on_epoch=on_epoch,
    )


def _train_quantiser(
    latent: torch.Tensor, times: IntArray | None, config: EngineConfig, expected_n: int
) -> Quantiser:
    """Return the quantiser of the latent space, fitted to the training points."""
    if config.cells is None:  # adaptive
        return NoQuantiser(latent.shape[1])
    if config.cells == "codebook":
        most = CODEWORDS_OF_CLASS if config.balance == "class" else MAX_CODEWORDS
        slots = min(config.core_slots, most)
        return train_codebook(latent, slots=slots, seed=config.seed, times=times)
    if config.cells == "grid-budget":
        side = budget_aware_side(latent, expected_n, config.budget)
        return Grid(side=side, dim=latent.shape[1])
    if config.cells == "grid":
        return Grid(side=grid_side(expected_n), dim=latent.shape[1])
    assert_never(config.cells)


def _restored_features(
    arrays: dict[str, Array], meta: dict[str, Any], given: object
) -> Features | None:
    """Return the features of a stored generation, whose function the caller must give."""
    if "features" in meta:
        return Features.restore(given, meta["features"], arrays["probe"], arrays["probe_features"])
    if given is not None:
        msg = "the generation was trained without features; leave them out"
        raise ConfigError(msg)
    return None


def _restored_quantiser(described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Quantiser:
    """Return a quantiser from its description and arrays."""
    if described["kind"] == "codebook":
        return Codebook(tensors["codewords"])
    if described["kind"] == "adaptive":
        return NoQuantiser(described["dim"])
    if described["kind"] == "grid":
        return Grid(side=described["side"], dim=described["dim"])
    msg = f"the generation has a quantiser of unknown kind {described['kind']!r}"
    raise StateError(msg)


def check_format(meta: dict[str, Any], version: int, what: str) -> None:
    """Raise StateError unless a stored description has the supported format version."""
    if meta.get("format_version") != version:
        msg = (
            f"the {what} has format version {meta.get('format_version')}; this version of "
            f"echo-stream reads {version}"
        )
        raise StateError(msg)


def _rescale(
    embedding: torch.Tensor, span: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    """Map each axis so that its span becomes [0, 1]; a constant axis becomes 0.5."""
    if span is None:
        return embedding
    low, high = span
    width = high - low
    return torch.where(width > 0, (embedding - low) / width, torch.full_like(embedding, 0.5))
