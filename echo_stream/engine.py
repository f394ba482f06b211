"""The engine: a coreset of a data set, or of a stream as it arrives."""

from typing import Any, Self

import numpy as np

from echo_stream.buffer import SampleBuffer
from echo_stream.config import Cells, EngineConfig, Latent, Preset, Rank
from echo_stream.device import resolve_device
from echo_stream.encoder_training import Architecture, Objective
from echo_stream.engine_state import pack_engine, unpack_engine
from echo_stream.errors import ConfigError, DataError, WarmupError
from echo_stream.forgotten import Forgotten
from echo_stream.generation import Generation, OnEpoch, train_generation
from echo_stream.members import hash_id, members_of
from echo_stream.repair import RepairReport, repair
from echo_stream.samples import Samples
from echo_stream.sketch import Sketch
from echo_stream.snapshot import Snapshot
from echo_stream.snapshotting import explain_cell, take_snapshot
from echo_stream.source import ArraySource, Rereadable, read_again
from echo_stream.typing import Array, Cell, FloatArray, IntArray, State
from echo_stream.validation import SampleSchema, as_samples


class EchoCoreset:
    """A small set of samples that stands for everything counted.

    Parameters
    ----------
    budget : int
        Rows of the coreset, B; under `preset="paper"` those of the core.
    preset, cells, latent, rank, support, support_share
        What is selected, and how; see `EngineConfig`.
    encoder, objective, latent_dim, epochs, standardise, warmup, expected_n, seed
        What is trained, and how; see `EngineConfig`.
    generation : Generation, optional
        A trained generation to use instead of training one.
    device : str
        `auto` (a GPU when there is one), `cpu`, `cuda` or `cuda:i`.

    Attributes
    ----------
    generation_ : Generation
        What was trained, or given.
    n_seen_ : int
        Samples counted, N.
    indices_ : ndarray of shape (n,), int64
        Row numbers of the coreset's rows: core in order of selection, then support.
        Counted over all calls since the last `fit`.
    weights_ : ndarray of shape (n,), float64
        Samples that each row stands for; they sum to N.
    support_indices_ : ndarray, int64
        Row numbers of the support.

    Notes
    -----
    The result depends on the samples and the seed, not on how calls cut them into
    batches. Source: the ECHO paper, sections III and IV.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 8)).astype(np.float32)
    >>> batch = EchoCoreset(budget=20).fit(x)
    >>> stream = EchoCoreset(budget=20, generation=batch.generation_)
    >>> for start in range(0, 500, 7):
    ...     stream = stream.partial_fit(x[start : start + 7])
    >>> bool((stream.indices_ == batch.indices_).all()), round(batch.weights_.sum())
    (True, 500)
    """

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
        encoder: Architecture = "mlp",
        objective: Objective = "profile",
        latent_dim: int = 2,
        epochs: int = 40,
        standardise: bool = False,
        warmup: int = 10_000,
        expected_n: int | None = None,
        seed: int = 0,
        generation: Generation | None = None,
        device: str = "auto",
    ) -> None:
        self.config = EngineConfig(
            budget=budget,
            preset=preset,
            cells=cells,
            latent=latent,
            rank=rank,
            support=support,
            support_share=support_share,
            encoder=encoder,
            objective=objective,
            latent_dim=latent_dim,
            epochs=epochs,
            standardise=standardise,
            warmup=warmup,
            expected_n=expected_n,
            seed=seed,
        )
        self.device = resolve_device(device)
        self._given_generation = generation
        self._waiting = SampleBuffer()
        self._forgotten = Forgotten()
        self._sketch = self._given_sketch()

    @classmethod
    def from_config(
        cls, config: EngineConfig, *, generation: Generation | None = None, device: str = "auto"
    ) -> Self:
        """Return an engine with the settings of config."""
        return cls(**config.to_json(), generation=generation, device=device)

    def fit(
        self, x: object, y: object = None, ids: object = None, *, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Build the coreset of a whole data set, forgetting all before it.

        Unless one was given, a generation is trained: on all samples under
        `preset="paper"`, else on a uniform sample of `warmup` of them.

        Parameters
        ----------
        x : array or tensor of shape (n, ...)
            Numeric, finite, n >= 1.
        y : array of shape (n,), optional
            Labels: integers, floats or text. Kept, never used for the selection.
        ids : array of shape (n,), optional
            Integers or text; the row numbers when absent.
        on_epoch : callable, optional
            Called with (epochs done, epochs) while the encoder is trained.

        Raises
        ------
        DataError
            If the samples cannot be used; nothing has been counted then.

        Notes
        -----
        O(epochs n D + n D + M^2): training, one pass, the graph.
        """
        return self.fit_samples(as_samples(x, y, ids), on_epoch=on_epoch)

    def fit_samples(self, samples: Samples, *, on_epoch: OnEpoch | None = None) -> Self:
        """Do what `fit` does, for those who already have `Samples`."""
        return self.fit_source(ArraySource(samples), on_epoch=on_epoch)

    def fit_source(self, source: Rereadable, *, on_epoch: OnEpoch | None = None) -> Self:
        """Do what `fit` does with a source, of which no more than a batch is ever held.

        Three readings: for the training, the bounded pass of a stream, and the repair of
        what that has left in doubt.
        """
        if source.num_samples == 0:
            msg = "there are no samples to build a coreset of; give at least one"
            raise DataError(msg)
        sketch = self._given_sketch()
        if sketch is None:
            training = source.payloads(self._training_rows(source.num_samples))
            sketch = self._train(training, source.num_samples, on_epoch)
        source.expect(sketch.generation.schema)
        for samples in read_again(source, source.num_samples):
            sketch.update(samples)
        repair(sketch, source)
        self._sketch, self._waiting, self._forgotten = sketch, SampleBuffer(), Forgotten()
        return self

    def partial_fit(self, x: object, y: object = None, ids: object = None) -> Self:
        """Count some more samples of a stream.

        The first `warmup` samples are held back, a generation is trained on them, and
        then they are counted; with a generation given there is no warm-up. Parameters
        and errors are those of `fit`; n may be 0.
        """
        self.update(as_samples(x, y, ids, first_row=self._num_rows))
        return self

    def update(self, samples: Samples, *, on_epoch: OnEpoch | None = None) -> None:
        """Count checked samples: `partial_fit` for those who already have `Samples`.

        Raises
        ------
        ShapeError
            If shape or dtype differ from the samples before; nothing has been counted then.
        """
        if self.schema is not None:
            self.schema.check(samples.x)
        missing = max(self.warmup_missing, 0)
        self._waiting.append(samples[:missing])
        if self._sketch is None and len(self._waiting) >= self.config.warmup:
            self.end_warmup(on_epoch=on_epoch)
        if self._sketch is not None:
            self._sketch.update(samples[missing:])

    def end_warmup(self, *, on_epoch: OnEpoch | None = None) -> None:
        """Train the generation on what has been held back, and count it.

        Called by itself when `warmup` samples have arrived, and by whoever knows that
        the input has ended. Does nothing when no sample waits.
        """
        waiting = self._waiting.peek()
        if waiting is None:
            return
        expected_n = max(len(waiting), self.config.expected_n or 0)
        sketch = self._train(waiting.x, expected_n, on_epoch)
        sketch.forgotten.merge(self._forgotten)
        sketch.update(waiting)
        self._sketch, self._waiting = sketch, SampleBuffer()

    def merge(self, other: "EchoCoreset") -> None:
        """Absorb an engine of the same generation and settings, which is left unchanged.

        Raises
        ------
        ConfigError
            If generations or settings differ, naming what differs, or it is this engine.
        WarmupError
            If one of the two is still warming up.
        """
        if other is self:
            msg = "an engine cannot absorb itself; give another one"
            raise ConfigError(msg)
        self._settled_sketch().merge(other._settled_sketch())

    def forget(self, sample_id: object) -> int:
        """Take the samples of an id out, exactly, as if they had never been.

        Parameters
        ----------
        sample_id : int or str

        Returns
        -------
        int
            How many were taken out. 0: none is held. A sample that was dropped cannot be
            told from one never seen; it stays in the sums, and the snapshot's manifest
            counts the id as missed, until the source is read again.

        Notes
        -----
        O(retained). The id's hash is kept, and later readings of the source skip it.
        """
        if self._sketch is not None:
            return self._sketch.forget(str(sample_id))
        removed = members_of(self._waiting.remove(str(sample_id)))
        self._forgotten.add(str(sample_id), removed)
        return len(removed)

    def repair(self, source: Rereadable) -> RepairReport:
        """Read the source again, and make exact what the stream has left in doubt.

        Parameters
        ----------
        source : Rereadable
            Holds what was counted, from its first sample on, in any order; what comes
            after as many samples is not read.

        Returns
        -------
        RepairReport
            The pools of cells with an uncertified row are filled anew, and all rows are
            certified. If the source holds another number of samples for any cell, nothing
            is changed, and the report has the differences. Samples of forgotten ids that
            were still in the sums are taken out.

        Raises
        ------
        WarmupError
            While the engine warms up.

        Notes
        -----
        O(N D). Where sums are no longer exact nothing can be certified, or is read.
        """
        return repair(self._settled_sketch(), source)

    def snapshot(self) -> Snapshot:
        """Return the coreset of everything counted, with its cells and graph.

        Raises
        ------
        WarmupError
            While the engine warms up, or before it has seen a sample.
        """
        sketch = self._settled_sketch()
        if sketch.n == 0:
            msg = "no sample has been counted yet; there is nothing to select from"
            raise WarmupError(msg)
        return take_snapshot(sketch)

    def explain(self, cell: Cell) -> dict[str, Any]:
        """Say what is proven of a cell's samples, what is in doubt, and why.

        Parameters
        ----------
        cell : tuple of int
            Index of an occupied cell, as in `Snapshot.cells`.

        Returns
        -------
        dict
            For "core" and "support": samples held and dropped; the bound on the distance
            of everything dropped; ids that are certified; samples in doubt, with rank and
            distance: nothing proves that no dropped sample precedes them.

        Raises
        ------
        ConfigError
            If the cell is not occupied.
        """
        return explain_cell(self._settled_sketch(), cell)

    def coreset(self) -> Samples:
        """Return the rows of the coreset: core, then support.

        While the engine warms up: at most `budget` of the samples held back, those
        with the smallest hash of their id.
        """
        if self._sketch is not None:
            return self.snapshot().rows.samples
        waiting = self._waiting.peek()
        if waiting is None:
            raise self._warmup_error()
        order = sorted(range(len(waiting)), key=lambda row: hash_id(str(waiting.ids[row])))
        return waiting[np.array(order[: self.config.budget])]

    @property
    def schema(self) -> SampleSchema | None:
        """Shape and dtype that samples must have; None before the first."""
        if self._sketch is not None:
            return self._sketch.generation.schema
        waiting = self._waiting.first()
        return None if waiting is None else SampleSchema.of(waiting.x)

    @property
    def warmup_missing(self) -> int:
        """Samples that the warm-up still waits for; 0 when it is over, or full."""
        return 0 if self._sketch is not None else self.config.warmup - len(self._waiting)

    @property
    def can_snapshot(self) -> bool:
        """Whether there is a generation and something has been counted."""
        return self._sketch is not None and self._sketch.n > 0

    @property
    def is_warming_up(self) -> bool:
        """Whether samples are still held back for the generation's training."""
        return self._sketch is None

    @property
    def n_seen_(self) -> int:
        """Samples counted, N; those held back by the warm-up included."""
        return len(self._waiting) if self._sketch is None else self._sketch.n

    @property
    def generation_(self) -> Generation:
        """The generation that was trained, or given."""
        return self._settled_sketch().generation

    @property
    def indices_(self) -> IntArray:
        """Row numbers of the coreset's rows, where the caller gave no ids."""
        return _row_numbers(self.snapshot().rows.samples)

    @property
    def support_indices_(self) -> IntArray:
        """Row numbers of the support, where the caller gave no ids."""
        return _row_numbers(self.snapshot().select("support"))

    @property
    def weights_(self) -> FloatArray:
        """Samples that each row of the coreset stands for."""
        return self.snapshot().rows.weights

    def to_state(self) -> State:
        """Return the engine as named arrays and JSON. O(size of the sketch)."""
        return pack_engine(self.config, self._sketch, self._waiting, self._forgotten)

    @classmethod
    def from_state(
        cls, state: State, *, device: str = "auto", config: EngineConfig | None = None
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

        Raises
        ------
        StateError
            If the state is of another format version.
        """
        unpacked = unpack_engine(state, device=resolve_device(device), config=config)
        kept, sketch, waiting, forgotten = unpacked
        generation = None if sketch is None else sketch.generation
        engine = cls.from_config(kept, generation=generation, device=device)
        engine._sketch, engine._waiting, engine._forgotten = sketch, waiting, forgotten
        return engine

    @property
    def _num_rows(self) -> int:
        """Samples that have arrived: those counted, and those taken out again."""
        forgotten = self._forgotten if self._sketch is None else self._sketch.forgotten
        return self.n_seen_ + forgotten.num_removed

    def _given_sketch(self) -> Sketch | None:
        """Return an empty sketch of the generation that was given, if one was."""
        if self._given_generation is None:
            return None
        return Sketch(self._given_generation, self.config, self.device)

    def _training_rows(self, n: int) -> IntArray | None:
        """Return what a batch build trains on: all rows for the paper, else a uniform sample."""
        if self.config.preset == "paper" or n <= self.config.warmup:
            return None
        rng = np.random.default_rng(self.config.seed)
        return np.sort(rng.choice(n, self.config.warmup, replace=False))

    def _train(self, x: Array, expected_n: int, on_epoch: OnEpoch | None) -> Sketch:
        """Return an empty sketch of a generation trained on x."""
        generation = train_generation(
            x, self.config, expected_n=expected_n, device=self.device, on_epoch=on_epoch
        )
        return Sketch(generation, self.config, self.device)

    def _settled_sketch(self) -> Sketch:
        """Return the sketch, or say why there is none or nothing in it."""
        if self._sketch is None:
            raise self._warmup_error()
        return self._sketch

    def _warmup_error(self) -> WarmupError:
        """Return the error of an engine that has no generation yet."""
        return WarmupError(
            f"still warming up: {len(self._waiting)} of {self.config.warmup} samples have "
            "arrived; call end_warmup() if there are no more, or lower warmup"
        )


def _row_numbers(samples: Samples) -> IntArray:
    """Return ids that are row numbers as integers."""
    try:
        return samples.ids.astype(np.int64)
    except ValueError as err:
        msg = "row numbers are known only where no ids were given; use coreset().ids"
        raise AttributeError(msg) from err
