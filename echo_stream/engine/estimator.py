"""An estimator of scikit-learn's kind: parameters that are stored, and progress that is made.

scikit-learn asks that a constructor does nothing but store its parameters, under their own
names, and that copies and pickles go on where the original was.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from echo_stream._common.device import resolve_device
from echo_stream._common.typing import Array, State
from echo_stream.config import (
    Architecture,
    Balance,
    Cells,
    EngineConfig,
    Latent,
    Objective,
    OnDuplicate,
    Preset,
    Rank,
)
from echo_stream.engine.progress import Progress
from echo_stream.engine.state import pack_engine, unpack_engine
from echo_stream.generation.features import feature_name
from echo_stream.generation.generation import Generation
from echo_stream.samples.scales import Finding
from echo_stream.samples.tabular import Features, feature_names
from echo_stream.samples.validation import MAX_TEXT_BYTES, SampleSchema

if TYPE_CHECKING:
    _Cloned = TypeVar("_Cloned")

    class BaseEstimator:
        """The part of scikit-learn's base class that we use; it ships no types."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters of the constructor by name."""

        def set_params(self, **params: Any) -> Self:
            """Set parameters of the constructor by name."""

    def clone(estimator: _Cloned) -> _Cloned:
        """Return an estimator with the same parameters, which has seen nothing."""
else:
    from sklearn.base import BaseEstimator, clone


class EngineEstimator(BaseEstimator):
    """The parameters of `EchoCoreset`, what has been counted with them, and both as a state.

    A parameter is an argument of the constructor that is stored under its own name; those
    of the same name in `EngineConfig` are checked there, when the first sample arrives.
    """

    feature_names_in_: Array

    def __init__(  # noqa: PLR0913 - an estimator's settings are its parameters, all named
        self,
        budget: int = 1_000,
        *,
        preset: Preset = "default",
        cells: Cells | None = None,
        latent: Latent | None = None,
        rank: Rank | None = None,
        support: int | None = None,
        support_share: float = 0.0,
        balance: Balance = "none",
        encoder: Architecture = "mlp",
        objective: Objective = "profile",
        latent_dim: int = 2,
        epochs: int = 40,
        standardise: bool = False,
        warmup: int = 10_000,
        expected_n: int | None = None,
        features: object = None,
        auto_regenerate: bool | None = None,
        on_duplicate: OnDuplicate = "count",
        holdout: float = 0.0,
        max_text_bytes: int = MAX_TEXT_BYTES,
        seed: int = 0,
        generation: Generation | None = None,
        device: str = "auto",
    ) -> None:
        self.budget = budget
        self.preset = preset
        self.cells = cells
        self.latent = latent
        self.rank = rank
        self.support = support
        self.support_share = support_share
        self.balance = balance
        self.encoder = encoder
        self.objective = objective
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.standardise = standardise
        self.warmup = warmup
        self.expected_n = expected_n
        self.features = features
        self.auto_regenerate = auto_regenerate
        self.on_duplicate = on_duplicate
        self.holdout = holdout
        self.max_text_bytes = max_text_bytes
        self.seed = seed
        self.generation = generation
        self.device = device
        # Begun by the first samples, with the parameters as they are then.
        self._progress: Progress | None = None

    @classmethod
    def from_config(
        cls, config: EngineConfig, *, generation: Generation | None = None, device: str = "auto"
    ) -> Self:
        """Return an engine with the settings of config; an unknown device is refused now.

        Features are those that config names; only a config of the user's own may name any.
        """
        resolve_device(device)
        return cls(**config.to_json(), generation=generation, device=device)

    @property
    def config(self) -> EngineConfig:
        """The settings that samples are counted with, checked and with the preset resolved."""
        return self._current.config

    @property
    def n_seen_(self) -> int:
        """Samples counted, N; those held back by the warm-up included."""
        return 0 if self._progress is None else self._progress.n

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: those counted, taken out again, or held out."""
        return 0 if self._progress is None else self._progress.num_arrived

    @property
    def num_held_out(self) -> int:
        """Samples that have been held out, which count nowhere else."""
        return 0 if self._progress is None else self._progress.held_out.num_taken

    @property
    def schema(self) -> SampleSchema | None:
        """Shape and dtype that samples must have; None before the first."""
        return self._current.schema

    @property
    def warmup_missing(self) -> int:
        """Samples that the warm-up still waits for; 0 when it is over, or full."""
        return self._current.warmup_missing

    @property
    def can_snapshot(self) -> bool:
        """Whether there is a generation and something has been counted."""
        return not self.is_warming_up and self.n_seen_ > 0

    @property
    def is_warming_up(self) -> bool:
        """Whether samples are still held back for the generation's training."""
        return self._current.is_warming_up

    @property
    def scales(self) -> Finding | None:
        """Features of very different scales, if the generation was trained here on such."""
        return None if self._progress is None else self._progress.scales

    @property
    def generation_(self) -> Generation:
        """The generation that was trained, or given."""
        return self._current.settled_sketch().generation

    def clone(
        self, new_params: Mapping[str, Any] | None = None, *, include_attributes: bool = False
    ) -> Self:
        """Return a copy with some parameters changed, as river's pipelines ask for one.

        Parameters
        ----------
        new_params : mapping, optional
            Parameters by name.
        include_attributes : bool
            Whether the copy has counted what this engine has; else it has counted nothing.
        """
        copied = deepcopy(self) if include_attributes else clone(self)
        copied.set_params(**(new_params or {}))
        return copied

    def copy(self) -> Self:
        """Return an engine that has counted the same, and goes its own way from here.

        Payloads, which never change, are shared. O(retained), a fraction of `to_state`.
        """
        copied = type(self)(**self.get_params(deep=False))
        if self._progress is not None:
            copied._restore(self._progress.copy(), self._feature_names)
        return copied

    def to_state(self) -> State:
        """Return the engine as named arrays and JSON. O(size of the sketch)."""
        return pack_engine(self._current, self._feature_names)

    @classmethod
    def from_state(
        cls,
        state: State,
        *,
        device: str = "auto",
        config: EngineConfig | None = None,
        features: object = None,
    ) -> Self:
        """Restore an engine that goes on exactly as the one that wrote the state.

        Parameters
        ----------
        state : tuple
            From `to_state`.
        device : str
        config : EngineConfig, optional
            Settings to go on with, where those that do not shape the sketch are to
            change; by default the stored ones.
        features : module, callable or str, optional
            What the state's samples are measured by, by default what config names. Code
            that only a state names is never imported.

        Raises
        ------
        StateError
            If the state is of another format version.
        ConfigError
            If the features are missing, or others, or if config differs from the stored one
            in a setting that shapes the sketch, as the budget does.
        """
        if features is None and config is not None:
            features = config.features
        progress, names = unpack_engine(
            state, device=resolve_device(device), config=config, features=features
        )
        generation = None if progress.sketch is None else progress.sketch.generation
        engine = cls.from_config(progress.config, generation=generation, device=device)
        engine.features = features
        engine._restore(progress, names)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle takes: the parameters, and the state if there is one."""
        begun = None if self._progress is None else self.to_state()
        return {"parameters": self.get_params(deep=False), "begun": begun}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the engine that `__getstate__` described."""
        EngineEstimator.__init__(self, **state["parameters"])
        if state["begun"] is not None:
            features, generation = self.features, self.generation
            if features is None and generation is not None and generation.features is not None:
                features = generation.features.function
            device = resolve_device(self.device)
            self._restore(*unpack_engine(state["begun"], device=device, features=features))

    @property
    def n_features_in_(self) -> int:
        """Values of a sample, D, once there has been one."""
        schema = None if self._progress is None else self._progress.schema
        if schema is None:
            msg = "no sample has arrived yet, so the number of features is not known"
            raise AttributeError(msg)
        return schema.num_elements

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether a sample has been counted."""
        return self.n_seen_ > 0

    @property
    def _supervised(self) -> bool:
        """Tell river's pipelines to pass labels on."""
        return True

    @property
    def _current(self) -> Progress:
        """What has been counted; before the first sample, what the parameters would begin."""
        return self._begin() if self._progress is None else self._progress

    def _begin(self) -> Progress:
        """Return the beginning that the parameters ask for."""
        given = {field.name: getattr(self, field.name) for field in fields(EngineConfig)}
        # A grid search may draw its numbers from a numpy array; JSON knows none of numpy's.
        settings = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in given.items()
        }
        settings["features"] = feature_name(self.features)
        config, device = EngineConfig(**settings), resolve_device(self.device)
        return Progress.begin(config, device, self.generation, self.features)

    def _restore(self, progress: Progress, names: Array | None) -> None:
        """Go on from a progress that has been read back."""
        self._progress = progress
        if names is not None:
            self.feature_names_in_ = names

    @property
    def _feature_names(self) -> Array | None:
        """Names of the features, where they have any."""
        return getattr(self, "feature_names_in_", None)

    def _names_of(self, x: Features) -> Array:
        """Return the names of the features in order: those of x if these are the first."""
        return feature_names(x) if self._feature_names is None else self._feature_names
