"""How far an engine has come: a warm-up that holds samples back, and then a sketch."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array, IntArray
from echo_stream.config import EngineConfig
from echo_stream.engine.held_out import HeldOut
from echo_stream.engine.regeneration import count, regenerated, reread
from echo_stream.engine.repair import repair
from echo_stream.errors import ConfigError, SettingName, WarmupError
from echo_stream.generation.features import Failure, failures, refuse_failing
from echo_stream.generation.generation import (
    Generation,
    OnEpoch,
    check_balance,
    check_features,
    train_generation,
)
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes, LateLabel
from echo_stream.samples.duplicates import append_replacing
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_log import LabelLog
from echo_stream.samples.members import members_of
from echo_stream.samples.samples import Origin, Samples
from echo_stream.samples.scales import Finding, find_scales
from echo_stream.samples.source import Rereadable, read_again
from echo_stream.samples.validation import SampleSchema, check_sample_texts, check_texts
from echo_stream.sketch.drift import Watch
from echo_stream.sketch.merging import merge
from echo_stream.sketch.sketch import Sketch


@dataclass(slots=True)
class Progress:
    """Everything that an engine has counted, and the settings it was counted with.

    Attributes
    ----------
    config : EngineConfig
    device : torch.device
    sketch : Sketch or None
        None while the engine warms up.
    waiting : SampleBuffer
        What the warm-up holds back.
    forgotten : Forgotten
    changes : Changes
        What has been taken out of the warm-up, and labelled there; the sketch knows what was
        done to it.
    features : module, callable, str or None
        What makes the vectors that a generation is trained on.
    held_out : HeldOut
        What is kept apart to test models on.
    scales : Finding or None
        Of what a generation was trained on here, where that is measured as it arrives.

    Examples
    --------
    >>> progress = Progress(EngineConfig(warmup=3), torch.device("cpu"))
    >>> progress.update(Samples(x=np.zeros((2, 4)), ids=np.arange(2)))
    >>> progress.n, progress.warmup_missing, progress.is_warming_up
    (2, 1, True)
    """

    config: EngineConfig
    device: torch.device
    sketch: Sketch | None = None
    waiting: SampleBuffer = field(default_factory=SampleBuffer)
    forgotten: Forgotten = field(default_factory=Forgotten)
    changes: Changes = field(default_factory=Changes)
    features: object = None
    held_out: HeldOut = field(init=False)
    scales: Finding | None = None

    def __post_init__(self) -> None:
        """Hold nothing out yet."""
        self.held_out = HeldOut(self.config)

    @classmethod
    def begin(
        cls,
        config: EngineConfig,
        device: torch.device,
        generation: Generation | None,
        features: object = None,
    ) -> "Progress":
        """Return the progress of an engine that has counted nothing yet.

        Raises
        ------
        ConfigError
            If generation is none, was trained with other features, or has cells that do not
            go with the balance.
        """
        if generation is None:
            return cls(config, device, features=features)
        if not isinstance(generation, Generation):
            msg = f"generation must be a Generation or None; got {type(generation).__name__}"
            raise ConfigError(msg)
        check_features(generation, config)
        check_balance(generation, config)
        return cls(config, device, Sketch(generation, config, device), features=features)

    @property
    def schema(self) -> SampleSchema | None:
        """Shape and dtype that samples must have; None before the first."""
        if self.sketch is not None:
            return self.sketch.generation.schema
        waiting = self.waiting.first()
        return self.held_out.schema if waiting is None else SampleSchema.of(waiting.x)

    @property
    def n(self) -> int:
        """Samples counted, N; those held back by the warm-up included."""
        return len(self.waiting) if self.sketch is None else self.sketch.n

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: those counted, taken out again, or held out."""
        if self.sketch is not None:
            return self.sketch.num_arrived + self.held_out.num_taken
        removed = self.forgotten.num_removed + self.changes.num_replaced
        return self.n + removed + self.held_out.num_taken

    @property
    def is_warming_up(self) -> bool:
        """Whether samples are still held back for the generation's training."""
        return self.sketch is None

    @property
    def warmup_missing(self) -> int:
        """Samples that the warm-up still waits for; 0 when it is over, or full."""
        return 0 if self.sketch is not None else self.config.warmup - len(self.waiting)

    def copy(self) -> "Progress":
        """Return an independent copy; payloads, which never change, are shared."""
        sketch = None if self.sketch is None else self.sketch.copy()
        forgotten = Forgotten()
        forgotten.merge(self.forgotten)
        copy = replace(self, sketch=sketch, waiting=self.waiting.copy(), forgotten=forgotten)
        copy.changes = self.changes.copy()
        copy.held_out = self.held_out.copy()
        return copy

    def fit(self, source: Rereadable, on_epoch: OnEpoch | None = None) -> None:
        """Count all of a source; without a generation one is trained on it first."""
        self.refuse_rereading()
        sketch, n = self.sketch, source.num_samples
        if sketch is None:
            sketch = self._trained(source.payloads(_training_rows(n, self.config)), n, on_epoch)
        source.expect(sketch.generation.schema)
        for samples in read_again(source, n):
            check_sample_texts(samples, self.config.max_text_bytes)
            sketch.update(samples)
        repair(sketch, source)
        self.sketch = sketch

    def update(self, samples: Samples, on_epoch: OnEpoch | None = None) -> None:
        """Count some more samples of a stream, the first of them into the warm-up.

        Raises
        ------
        ShapeError
            If shape or dtype differ from the samples before; nothing has been counted then.
        """
        if self.schema is not None:
            self.schema.check(samples.x)
        check_sample_texts(samples, self.config.max_text_bytes)
        missing = max(self.warmup_missing, 0)
        if self.features is not None and self.sketch is None and len(samples):
            # What fails now has not been held back yet.
            refuse_failing(self.features, samples.x[:missing], self.device)
        samples = self.held_out.take(samples)
        held_back = self._hold_back(samples)
        if self.sketch is None and len(self.waiting) >= self.config.warmup:
            try:
                self.end_warmup(on_epoch)
            except BaseException:
                # All of a batch is held back, so that whoever stores this state has counted
                # whole messages.
                self.waiting.append(samples[held_back:])
                raise
        if self.sketch is not None:
            self.sketch = count(self.sketch, samples[held_back:])

    def failures(self, samples: Samples) -> list[Failure]:
        """Return those of some samples of which the features fail; O(n) calls at worst."""
        if self.sketch is not None:
            return self.sketch.embedder.failures(samples)
        return [] if self.features is None else failures(self.features, samples.x, self.device)

    def end_warmup(self, on_epoch: OnEpoch | None = None) -> None:
        """Train the generation on what waits, and count it; do nothing when nothing does."""
        waiting = self.waiting.peek()
        if waiting is None:
            return
        # More than the warm-up waits where its training was stopped: it goes on as it would have.
        first = waiting[: self.config.warmup]
        expected_n = max(len(first), self.config.expected_n or 0)
        sketch = self._trained(first.x, expected_n, on_epoch)
        sketch.forgotten.merge(self.forgotten)
        sketch.changes.merge(self.changes)
        if self.config.auto_regenerate:
            sketch.watch = Watch.begin(sketch.generation, first.x, seed=self.config.seed)
        sketch.update(first)
        self.sketch = count(sketch, waiting[len(first) :])
        self.waiting = SampleBuffer()

    def regenerate(self, source: Rereadable | None, on_epoch: OnEpoch | None = None) -> None:
        """Train a new generation and go on with it; see `EchoCoreset.regenerate`."""
        sketch = self.settled_sketch()
        if source is not None:
            self.refuse_rereading()
        if source is None:
            self.sketch = regenerated(sketch, on_epoch=on_epoch)
        else:
            self.sketch = reread(sketch, source, on_epoch=on_epoch)

    def merge(self, other: "Progress") -> None:
        """Absorb other, which is left unchanged; see `EchoCoreset.merge`."""
        sketch, theirs = self.settled_sketch(), other.settled_sketch()
        num_met = self.held_out.merge(other.held_out)
        merge(sketch, theirs)
        sketch.changes.num_labelled += num_met
        sketch.changes.num_label_missed -= num_met

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Take the samples of an id out and return their number. O(retained).

        origin is where the wish stands, if other engines have counted parts of the stream.
        """
        if self.held_out.is_for(sample_id):
            return self.held_out.forget(sample_id, origin)
        if self.sketch is not None:
            return self.sketch.forget(sample_id, origin)
        removed = members_of(self.waiting.remove(sample_id))
        self.forgotten.add(sample_id, removed, origin)
        self.changes.labels.drop(sample_id)
        return len(removed)

    def label(self, late: LateLabel) -> bool:
        """Give the samples of an id another label; return whether any is held."""
        check_texts("label", [late.label], self.config.max_text_bytes)
        if self.held_out.is_for(late.id):
            is_met = self.held_out.label(late)
            holder = self if self.sketch is None else self.sketch
            holder.changes.count_label(is_met=is_met)
            return is_met
        if self.sketch is not None:
            return self.sketch.label(late)
        is_met = self.waiting.label(late.id, late.label)
        self.changes.note_label(late, is_met=is_met)
        return is_met

    def settle_changes(self) -> None:
        """Let what was asked so far reach nothing that comes from now on."""
        holder = self if self.sketch is None else self.sketch
        holder.forgotten.settle()
        holder.changes.labels = LabelLog()
        self.held_out.settle_changes()

    def holds(self, sample_id: str) -> bool:
        """Tell whether a sample of an id is held."""
        if self.held_out.is_for(sample_id):
            return sample_id in self.held_out
        return sample_id in (self.waiting if self.sketch is None else self.sketch)

    def change_counts(self) -> dict[str, int]:
        """Return how many labels, forgotten ids and replacements there have been."""
        holder = self if self.sketch is None else self.sketch
        return {**holder.forgotten.counts(), **holder.changes.counts()}

    def settled_sketch(self) -> Sketch:
        """Return the sketch, or raise WarmupError if there is none yet."""
        if self.sketch is None:
            raise self._warmup_error()
        return self.sketch

    def refuse_rereading(self) -> None:
        """Refuse to read a source again, where some of it is held out."""
        if self.config.holdout:
            raise ConfigError(
                SettingName("holdout"),
                f" {self.config.holdout} is for streams: a source that is read as a whole has "
                "samples that are not to be counted; set ",
                SettingName("holdout"),
                " to 0",
            )

    def preview(self) -> Samples:
        """Return at most `budget` of the samples that wait, those with the smallest id hash."""
        waiting = self.waiting.peek()
        if waiting is None:
            raise self._warmup_error()
        order = np.argsort(hash_ids(waiting.ids), kind="stable")
        return waiting[order[: self.config.budget]]

    def _hold_back(self, samples: Samples) -> int:
        """Let samples wait until the warm-up is full; return how many it took."""
        if self.config.on_duplicate == "replace":
            return append_replacing(_Warmup(self), samples)
        missing = max(self.warmup_missing, 0)
        self.waiting.append(samples[:missing])
        return min(missing, len(samples))

    def _trained(self, x: Array, expected_n: int, on_epoch: OnEpoch | None) -> Sketch:
        """Return an empty sketch of a generation trained on x."""
        if self.features is None and not self.config.standardise:
            self.scales = find_scales(x)
        generation = train_generation(
            x,
            self.config,
            expected_n=expected_n,
            device=self.device,
            features=self.features,
            on_epoch=on_epoch,
        )
        return Sketch(generation, self.config, self.device)

    def _warmup_error(self) -> WarmupError:
        """Return the error of an engine that has no generation yet."""
        return WarmupError(
            f"still warming up: {len(self.waiting)} of {self.config.warmup} samples have "
            "arrived; call end_warmup() if there are no more, or lower warmup"
        )


@dataclass(frozen=True, slots=True)
class _Warmup:
    """What a warm-up holds back, as a keeper of samples that others replace."""

    progress: Progress

    @property
    def room(self) -> int:
        """Samples that are missing."""
        return max(self.progress.warmup_missing, 0)

    def __contains__(self, sample_id: str) -> bool:
        """Tell whether a sample of an id waits."""
        return sample_id in self.progress.waiting

    def append(self, samples: Samples) -> None:
        """Let samples wait."""
        self.progress.waiting.append(samples)

    def replace(self, sample_id: str) -> None:
        """Take out the samples of an id, since another comes."""
        removed = self.progress.waiting.remove(sample_id)
        self.progress.changes.num_replaced += 0 if removed is None else len(removed)


def _training_rows(n: int, config: EngineConfig) -> IntArray | None:
    """Return what a batch build trains on: all rows for the paper, else a uniform sample."""
    if config.preset == "paper" or n <= config.warmup:
        return None
    rng = np.random.default_rng(config.seed)
    return np.sort(rng.choice(n, config.warmup, replace=False))
