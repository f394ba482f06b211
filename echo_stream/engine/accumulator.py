"""What an engine has accumulated: a warm-up buffer first, then a sketch."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from echo_stream._common.typing import Array, IntArray
from echo_stream.config import EngineConfig
from echo_stream.engine.drift import DriftDetector, regenerated_on_drift
from echo_stream.engine.held_out import HeldOut
from echo_stream.engine.regeneration import regenerated, reread
from echo_stream.engine.repair import repair
from echo_stream.engine.warmup import Warmup
from echo_stream.errors import ConfigError, SettingName, WarmupError
from echo_stream.generation.features import failures
from echo_stream.generation.generation import (
    Generation,
    OnEpoch,
    check_adaptive,
    check_balance,
    check_features,
    train_generation,
)
from echo_stream.samples.changes import LateLabel
from echo_stream.samples.label_log import LabelLog
from echo_stream.samples.samples import Origin, Samples
from echo_stream.samples.scales import ScaleProblem, find_scales
from echo_stream.samples.source import Failure, Rereadable, read_again
from echo_stream.samples.validation import SampleSchema, check_sizes, check_texts
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.merging import merge
from echo_stream.sketch.sketch import Sketch
from echo_stream.sketch.state import new_sketch


@dataclass(slots=True)
class Accumulator:
    """Accumulate samples: in a buffer during the warm-up, then in a sketch.

    Attributes
    ----------
    config : EngineConfig
    device : torch.device
    sketch : Sketch or None
        None while the engine warms up.
    warmup : Warmup
        Empty once there is a sketch.
    features : module, callable, str or None
        Maps samples to the vectors that a generation is trained on.
    held_out : HeldOut
        Samples held out to test models on.
    scales : ScaleProblem or None
        Of the training samples, where they are measured without features.
    detector : DriftDetector or None
        Attached to a stream that trained its own generation and may train others by itself.

    Examples
    --------
    >>> accumulator = Accumulator(EngineConfig(warmup=3), torch.device("cpu"))
    >>> accumulator.update(Samples(x=np.zeros((2, 4)), ids=np.arange(2)))
    >>> accumulator.n, accumulator.warmup_missing, accumulator.is_warming_up
    (2, 1, True)
    """

    config: EngineConfig
    device: torch.device
    sketch: Sketch | None = None
    features: object = None
    warmup: Warmup = field(init=False)
    held_out: HeldOut = field(init=False)
    scales: ScaleProblem | None = None
    detector: DriftDetector | None = None

    def __post_init__(self) -> None:
        """Begin without samples."""
        self.warmup = Warmup(self.config.warmup_size)
        self.held_out = HeldOut(self.config)

    @classmethod
    def begin(
        cls,
        config: EngineConfig,
        device: torch.device,
        generation: Generation | None,
        features: object = None,
    ) -> "Accumulator":
        """Return the accumulator of an engine that has counted nothing yet.

        Raises
        ------
        ConfigError
            If generation is not a Generation, was trained with other features, or has cells
            that the balance cannot use.
        """
        if generation is None:
            return cls(config, device, features=features)
        if not isinstance(generation, Generation):
            msg = f"generation must be a Generation or None; got {type(generation).__name__}"
            raise ConfigError(msg)
        check_features(generation, config)
        check_balance(generation, config)
        check_adaptive(generation, config)
        return cls(config, device, new_sketch(generation, config, device), features=features)

    @property
    def schema(self) -> SampleSchema | None:
        """Shape and dtype that samples must have; None before the first."""
        if self.sketch is not None:
            return self.sketch.generation.schema
        first = self.warmup.buffer.first()
        return self.held_out.schema if first is None else SampleSchema.of(first.x)

    @property
    def n(self) -> int:
        """Samples counted, N; those buffered by the warm-up included."""
        return self._store.n

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: counted, removed, or held out."""
        return self._store.num_arrived + self.held_out.num_taken

    @property
    def is_warming_up(self) -> bool:
        """Whether samples are still buffered for the generation's training."""
        return self.sketch is None

    @property
    def warmup_missing(self) -> int:
        """Samples that the warm-up still waits for; 0 when it is over, or full."""
        return 0 if self.sketch is not None else self.warmup.room

    def copy(self) -> "Accumulator":
        """Return an independent copy; payloads, which never change, are shared."""
        sketch = None if self.sketch is None else self.sketch.copy()
        copy = replace(self, sketch=sketch)
        copy.warmup, copy.held_out = self.warmup.copy(), self.held_out.copy()
        return copy

    def fit(self, source: Rereadable, on_epoch: OnEpoch | None = None) -> None:
        """Count all of a source, after training a generation on it unless there is one."""
        self.refuse_rereading()
        sketch, n = self.sketch, source.num_samples
        if sketch is None:
            sketch = self._trained(source.x_of(_training_rows(n, self.config)), n, on_epoch)
        source.expect(sketch.generation.schema)
        for samples in read_again(source, n):
            check_sizes(samples, self.config.limits)
            sketch.update(samples)
        if isinstance(sketch, FixedSketch):
            repair(sketch, source)
        self.sketch = sketch

    def update(self, samples: Samples, on_epoch: OnEpoch | None = None) -> None:
        """Count more samples of a stream, the first of them in the warm-up.

        Raises
        ------
        ShapeError
            If shape or dtype differ from the samples before; nothing has been counted then.
        """
        if self.schema is not None:
            self.schema.check(samples.x)
        check_sizes(samples, self.config.limits)
        if self.features is not None and self.sketch is None and len(samples):
            # Raises before any sample is buffered.
            for failure in failures(self.features, samples.x[: self.warmup.room], self.device):
                raise failure.error
        samples, num_buffered = self.held_out.take(samples), 0
        if self.sketch is None:
            replaces = self.config.on_duplicate == "replace"
            num_buffered = self.warmup.take(samples, replaces=replaces)
        if self.sketch is None and not self.warmup.room:
            try:
                self.end_warmup(on_epoch)
            except BaseException:
                # The whole batch is buffered, so that a state stored now has whole messages.
                self.warmup.append(samples[num_buffered:])
                raise
        if self.sketch is not None:
            self._count(samples[num_buffered:])

    def failures(self, samples: Samples) -> list[Failure]:
        """Return the samples for which the features fail; O(n) calls at worst."""
        if self.sketch is not None:
            return self.sketch.embedder.failures(samples)
        return [] if self.features is None else failures(self.features, samples.x, self.device)

    def end_warmup(self, on_epoch: OnEpoch | None = None) -> None:
        """Train the generation on the buffered samples, and count them; do nothing without any."""
        waiting = self.warmup.buffer.peek()
        if waiting is None:
            return
        # More than the warm-up is buffered where its training was interrupted.
        first = waiting[: self.config.warmup_size]
        expected_n = max(len(first), self.config.expected_n or 0)
        sketch = self._trained(first.x, expected_n, on_epoch)
        sketch.forgotten.merge(self.warmup.forgotten)
        sketch.changes.merge(self.warmup.changes)
        if self.config.auto_regenerate:
            self.detector = DriftDetector.fit(sketch.generation, first.x, seed=self.config.seed)
        sketch.update(first)
        self.sketch, self.warmup = sketch, Warmup(self.config.warmup_size)
        self._count(waiting[len(first) :])

    def regenerate(self, source: Rereadable | None, on_epoch: OnEpoch | None = None) -> None:
        """Train a new generation and continue with it; see `EchoCoreset.regenerate`."""
        sketch = self.fixed_sketch("regenerate")
        if source is not None:
            self.refuse_rereading()
        if source is None:
            self.sketch = regenerated(sketch, on_epoch=on_epoch)
        else:
            self.sketch = reread(sketch, source, on_epoch=on_epoch)
        if self.detector is not None:
            self.detector = DriftDetector.of_regenerated(self.sketch, sketch)

    def merge(self, other: "Accumulator") -> None:
        """Absorb other, which is left unchanged; see `EchoCoreset.merge`."""
        sketch, theirs = self.trained_sketch(), other.trained_sketch()
        num_matched = self.held_out.merge(other.held_out)
        merge(sketch, theirs)
        detectors = [side.detector for side in (self, other) if side.detector is not None]
        if detectors:
            narrowest = min(detectors, key=lambda detector: detector.radius)
            self.detector = narrowest.after_check(self.fixed_sketch("merge"))
        sketch.changes.num_labelled += num_matched
        sketch.changes.num_label_missed -= num_matched

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Remove the samples of an id and return their number. O(held).

        origin is the place of the request, if other engines count parts of the stream.
        """
        if self.held_out.is_for(sample_id):
            return self.held_out.forget(sample_id, origin)
        return self._store.forget(sample_id, origin)

    def label(self, late: LateLabel) -> bool:
        """Set the label of the samples of an id; return whether any is held."""
        check_texts("label", [late.label], self.config.max_text_bytes)
        if not self.held_out.is_for(late.id):
            return self._store.label(late)
        is_matched = self.held_out.label(late)
        self._store.changes.count_label(is_matched=is_matched)
        return is_matched

    def expire_changes(self) -> None:
        """Stop applying earlier labels and requests to forget to samples that arrive later."""
        self._store.forgotten.expire()
        self._store.changes.label_log = LabelLog()
        self.held_out.expire_changes()

    def holds(self, sample_id: str) -> bool:
        """Return whether a sample of an id is held."""
        return sample_id in (self.held_out if self.held_out.is_for(sample_id) else self._store)

    def change_counts(self) -> dict[str, int]:
        """Return how many labels, forgotten ids and replacements there have been."""
        return {**self._store.forgotten.counts(), **self._store.changes.counts()}

    def trained_sketch(self) -> Sketch:
        """Return the sketch, or raise WarmupError if there is none yet."""
        if self.sketch is None:
            raise self._warmup_error()
        return self.sketch

    def fixed_sketch(self, what: str) -> FixedSketch:
        """Return the sketch where its cells are fixed; else say that what needs fixed cells."""
        sketch = self.trained_sketch()
        if not isinstance(sketch, FixedSketch):
            msg = f"{what} is for fixed cells: adaptive ones follow the stream by themselves; set "
            raise ConfigError(
                msg,
                SettingName("preset"),
                " to fixed for a coreset whose rows are certified",
            )
        return sketch

    def refuse_rereading(self) -> None:
        """Refuse to read a source again where some of its samples are held out."""
        if self.config.holdout:
            raise ConfigError(
                SettingName("holdout"),
                f" only works with streams; got {self.config.holdout}; set it to 0",
            )

    @property
    def _store(self) -> Warmup | Sketch:
        """The warm-up, or the sketch once there is one."""
        return self.warmup if self.sketch is None else self.sketch

    def _count(self, samples: Samples) -> None:
        """Count samples in the sketch.

        An attached detector checks for drift whenever N has doubled, at the end of the block
        in which it has, however the caller cuts the stream into batches.
        """
        while self.detector is not None:
            sketch = self.fixed_sketch("check")
            due = sketch.samples_until(self.detector.next_check)
            if len(samples) < due:
                break
            sketch.update(samples[:due])
            samples = samples[due:]
            # Where samples were replaced, N has not come so far.
            if sketch.num_applied >= self.detector.next_check:
                self.sketch, self.detector = regenerated_on_drift(sketch, self.detector)
        self.trained_sketch().update(samples)

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
        return new_sketch(generation, self.config, self.device)

    def _warmup_error(self) -> WarmupError:
        """Return the error of an engine that has no generation yet."""
        return WarmupError(
            f"still warming up: {self.warmup.n} of {self.config.warmup_size} samples have "
            "arrived; call end_warmup() if there are no more, or lower warmup"
        )


def _training_rows(n: int, config: EngineConfig) -> IntArray | None:
    """Return the rows that a batch build trains on: all under `paper`, else a uniform sample."""
    if config.preset == "paper" or n <= config.warmup_size:
        return None
    rng = np.random.default_rng(config.seed)
    return np.sort(rng.choice(n, config.warmup_size, replace=False))
