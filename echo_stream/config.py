"""Settings that shape a coreset."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self, get_args

from echo_stream._common.checks import check_bool, check_choice, check_number, check_whole
from echo_stream.errors import ConfigError, SettingName

MAX_SEED = 2**63 - 1  # what every random generator takes
MAX_TEXT_BYTES = 300
MAX_PAYLOAD_BYTES = 65_536
"""Bytes in UTF-8 of an id, or of a label that is text, unless a setting says otherwise.

Where a message of Kafka has no id, its place is one: topic (249), partition, offset, row."""
MAX_HELD_OUT = 2_000
"""Samples held out at most: an accuracy of 80 % has a standard error of 0.9 points."""
_MAX_SHARE = 0.5
"""Of the budget, for support: each cell keeps a core sample for each extreme one. Of the ids,
to be held out."""
Preset = Literal["adaptive", "fixed", "paper"]
Cells = Literal["grid", "grid-budget", "codebook"]
Latent = Literal["encoder", "pca", "projection", "identity"]
Architecture = Literal["linear", "mlp"]
Objective = Literal["profile", "pairwise"]
Rank = Literal["center", "uniform", "mixed"]
Balance = Literal["none", "class"]
OnDuplicate = Literal["count", "replace"]


class TextLimits(NamedTuple):
    """The most bytes of an id or a label, and of a payload; text as UTF-8."""

    max_text_bytes: int
    max_payload_bytes: int


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings that shape the coreset; stored in every snapshot and checkpoint.

    Attributes
    ----------
    budget : int
        Rows of the coreset, B; under `paper` those of the core.
    preset : "adaptive", "fixed" or "paper"
        Where one cell ends and the next begins. `adaptive`: cells merge as samples arrive,
        and the coreset is chosen by facility location. `fixed`: cells are found in the warm-up
        and stay, the samples nearest their centres are chosen, and each row can be certified.
        `paper`: the method exactly as published, in fixed cells; support comes on top of the
        budget, and a sample can be both core and support. The preset decides the settings that
        are None.
    cells : "grid", "grid-budget" or "codebook"
        Of fixed cells, the kind: the paper's grid; the finest grid that leaves every occupied
        cell a core sample; or the Voronoi cells of codewords, no more than there are core
        slots. Default: codebook under `fixed`, grid under `paper`.
    latent : "encoder", "pca", "projection" or "identity"
        The encoder below; at most 64 principal components; a random projection to 128
        dimensions that depends on no sample, or x itself where it has at most 512; or x itself,
        when it is an embedding. Default: projection under `adaptive`, pca under `fixed`,
        encoder under `paper`.
    rank : "center", "uniform" or "mixed"
        Within a fixed cell nearest to the centroid first (the paper); by a hash of the id, a
        stratified random sample; or the nearest first and then by hash. Default: mixed under
        `fixed`, center under `paper`.
    support : int
        Support vectors per cell, the paper's s, on top of the budget: 2 under `paper`, else 0.
    support_share : float
        Share of the budget that goes to support, 0 to 1/2, under `fixed`: round r of
        support gives a slot to each cell, for its r-th farthest sample not in the core.
    keep : int or None
        Samples that `adaptive` holds beyond the budget: the more, the finer the cells, and
        the more there is to choose from; at least as many as the budget. Default: three times
        the budget, 1,000 at least.
    demand_power : float
        Exponent, from 0 to 1, of the number of samples of a cell in the choice of `adaptive`:
        with 1 what is frequent is covered, with 0 what lies apart.
    min_distance : float
        Distance in the latent space, 0 or more: under `adaptive` no two rows of the coreset
        lie nearer to each other, even where there are fewer rows than `budget` then.
    balance : "none" or "class"
        Whether the budget is split by class: the label that a sample arrives with is then part
        of its cell, samples without a label form a class, and each class gets as many slots
        as the others, or all its samples. It needs a codebook. Default: none, and labels do
        not affect the selection.
    latent_encoder : "linear" or "mlp"
        Kind of the encoder of `latent`: D -> d, or D -> 128 -> d with ReLU.
    objective : "profile" or "pairwise"
        What its training preserves, see
        `echo_stream.generation.encoder_training.distance_loss`.
    latent_dim : int
        Dimension d of the latent space.
    epochs : int
        Passes of its training over its samples.
    standardise : bool
        Whether each feature is centred and scaled by its training mean and deviation.
    warmup : int or None
        Samples of a stream that are buffered to train the generation on. Default: 10,000, and
        1,000 under `adaptive`, which learns from them only how large numbers are, or what
        `standardise` and `latent` ask for; no more than it holds.
    expected_n : int or None
        Expected number of samples of the stream: sets the grid's resolution.
    features : str or None
        Name of the function that maps samples to the vectors that are measured; None: samples
        are measured as they are.
    auto_regenerate : bool
        Whether a stream that trained its own generation trains another from held samples
        when it drifts away from the warm-up. Default: yes under `fixed`, no under `paper`, nor
        under `adaptive`, whose cells follow the stream by themselves.
    on_duplicate : "count" or "replace"
        What happens when a sample arrives whose id is held already: it is counted as
        another sample, or it replaces the held ones, which are subtracted exactly. A
        sample that was counted and dropped stays counted.
    holdout : float
        Share of a stream's ids, 0 to 1/2, chosen by hash, whose samples are held out to test
        models on: they are never counted, and never in the coreset.
    snapshot_context : bool
        Whether snapshots keep all samples that are held, those beside the coreset too.
    encoder : str or None
        Identity of the encoder that makes vectors of payloads, such as
        `sentence-transformers:minilm@53aa51172d14`; None: samples arrive as what is measured.
    max_text_bytes : int
        Maximum length of an id, or of a label that is text, in bytes of UTF-8. Samples with
        longer ones are refused: the bound on memory grows with it.
    max_payload_bytes : int
        Maximum size of a payload that an encoder makes a vector of; text as UTF-8. Samples with
        larger ones are refused: the bound on memory grows with it.
    seed : int
        Fixes the encoder's initial weights, its batches and the reservoir.

    Examples
    --------
    >>> EngineConfig(budget=0)
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: budget must be at least 1; got 0
    """

    budget: int = 1_000
    preset: Preset = "adaptive"
    cells: Cells | None = None
    latent: Latent | None = None
    rank: Rank | None = None
    support: int | None = None
    support_share: float = 0.0
    keep: int | None = None
    demand_power: float = 1.0
    min_distance: float = 0.0
    balance: Balance = "none"
    latent_encoder: Architecture = "mlp"
    objective: Objective = "profile"
    latent_dim: int = 2
    epochs: int = 40
    standardise: bool = False
    warmup: int | None = None
    expected_n: int | None = None
    features: str | None = None
    auto_regenerate: bool | None = None
    on_duplicate: OnDuplicate = "count"
    holdout: float = 0.0
    snapshot_context: bool = True
    encoder: str | None = None
    max_text_bytes: int = MAX_TEXT_BYTES
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        check_choice("preset", self.preset, get_args(Preset))
        for name, lowest in _LOWEST.items():
            check_whole(name, getattr(self, name), at_least=lowest)
        for name, value in self._defaults().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        check_whole("seed", self.seed, at_least=0, at_most=MAX_SEED)
        for name in ("standardise", "auto_regenerate", "snapshot_context"):
            check_bool(name, getattr(self, name))
        for name, lowest in (("expected_n", 1), ("warmup", 1), ("keep", 0), ("support", 0)):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=lowest)
        for name, choices in _CHOICES.items():
            is_left_out = self.is_adaptive and getattr(self, name) is None
            if not (is_left_out and name in _OF_FIXED_CELLS):
                check_choice(name, getattr(self, name), choices)
        check_number("support_share", self.support_share, at_least=0, at_most=_MAX_SHARE)
        check_number("holdout", self.holdout, at_least=0, at_most=_MAX_SHARE)
        check_number("demand_power", self.demand_power, at_least=0, at_most=1)
        check_number("min_distance", self.min_distance, at_least=0)
        self._check_support()
        self._check_preset()
        if self.balance == "class" and self.cells != "codebook":
            raise ConfigError(
                SettingName("balance"),
                " class needs ",
                SettingName("cells"),
                f" codebook; got {self.cells}; leave one of them out, or set ",
                SettingName("preset"),
                " to fixed",
            )

    @property
    def is_adaptive(self) -> bool:
        """Whether cells follow the stream."""
        return self.preset == "adaptive"

    @property
    def held(self) -> int:
        """Samples that adaptive cells hold at most, the budget's own included."""
        return self.budget + (self.keep or 0)

    @property
    def warmup_size(self) -> int:
        """Samples that a stream buffers before it counts: no more than adaptive cells hold."""
        assert self.warmup is not None  # the preset has decided
        return min(self.warmup, self.held) if self.is_adaptive else self.warmup

    @property
    def support_size(self) -> int:
        """Support vectors per cell, whether given or decided by the preset."""
        return self.support or 0

    @property
    def support_slots(self) -> int:
        """Rows of the budget that go to support."""
        # 0.29 of 100 is 28.999999999999996: what is meant is 29.
        return int(round(self.support_share * self.budget, 6))

    @property
    def core_slots(self) -> int:
        """Rows of the budget that go to the core."""
        return self.budget - self.support_slots

    def _defaults(self) -> dict[str, Any]:
        """Return the settings of those that are None."""
        keep = {"keep": max(3 * self.budget, 1_000)} if self.is_adaptive else {}
        return _PRESETS[self.preset] | keep

    def _check_preset(self) -> None:
        """Refuse settings of fixed cells with adaptive ones, and the reverse."""
        others = _OF_FIXED_CELLS if self.is_adaptive else _OF_ADAPTIVE_CELLS
        for name, neutral in others.items():
            value = getattr(self, name)
            if value != neutral:
                is_papers = (name, value) in _OF_PAPER or name == "support"
                other = "paper" if is_papers else "fixed" if self.is_adaptive else "adaptive"
                raise ConfigError(
                    SettingName(name),
                    f" {value} is not for preset {self.preset}; leave it out, or set ",
                    SettingName("preset"),
                    f" to {other}",
                )
        if self.keep is not None and self.keep < self.budget:
            # Of all that is held, the cells' samples alone are as many as the budget then.
            raise ConfigError(
                SettingName("keep"),
                f" must be at least {self.budget}, the budget; got {self.keep}",
            )

    def _check_support(self) -> None:
        """Refuse support on top of the budget where the budget is the number of rows."""
        if self.preset == "paper" and self.support_share:
            raise ConfigError(
                SettingName("support_share"),
                f" must be 0 under preset paper; got {self.support_share}; give ",
                SettingName("support"),
                ", the number of support vectors per cell",
            )
        if self.preset == "fixed" and self.support:
            raise ConfigError(
                SettingName("support"),
                f" must be 0 under preset fixed; got {self.support}; give ",
                SettingName("support_share"),
                ", the part of the budget that goes to support",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings written by `to_json`."""
        return cls(**values)

    @property
    def limits(self) -> TextLimits:
        """How long ids, labels and payloads may be."""
        return TextLimits(self.max_text_bytes, self.max_payload_bytes)

    def differences(self, other: "EngineConfig") -> dict[str, tuple[Any, Any]]:
        """Return the settings in which two configurations differ, with both values."""
        mine, theirs = self.to_json(), other.to_json()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


_LOWEST = {"budget": 1, "latent_dim": 1, "epochs": 0, "max_text_bytes": 1,
    "max_payload_bytes": 1,
}  # fmt: skip
_PRESETS: dict[Preset, dict[str, Any]] = {
    "adaptive": {
        "latent": "projection",
        "support": 0,
        "warmup": 1_000,
        "auto_regenerate": False,
    },
    "paper": {
        "cells": "grid",
        "latent": "encoder",
        "rank": "center",
        "support": 2,
        "warmup": 10_000,
        "auto_regenerate": False,
    },
    "fixed": {
        "cells": "codebook",
        "latent": "pca",
        "rank": "mixed",
        "support": 0,
        "warmup": 10_000,
        "auto_regenerate": True,
    },
}
_OF_FIXED_CELLS = {
    "cells": None, "rank": None, "support": 0, "support_share": 0, "balance": "none",
    "auto_regenerate": False,
}  # fmt: skip
_OF_PAPER = (("cells", "grid"), ("rank", "center"))  # what is rather meant by these
_OF_ADAPTIVE_CELLS = {"keep": None, "demand_power": 1, "min_distance": 0}
_CHOICES = {
    "cells": get_args(Cells),
    "latent": get_args(Latent),
    "rank": get_args(Rank),
    "balance": get_args(Balance),
    "latent_encoder": get_args(Architecture),
    "objective": get_args(Objective),
    "on_duplicate": get_args(OnDuplicate),
}
