"""The engine: a coreset of a data set, or of a stream as it arrives.

scikit-learn asks that a constructor does nothing but store its parameters, under their own
names, and that copies and pickles go on where the original was.
"""

import warnings
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np

from echo_stream._common.device import resolve_device
from echo_stream._common.river import RiverEstimator
from echo_stream._common.typing import Array, Cell, FloatArray, IntArray, Label, State
from echo_stream.config import (
    MAX_PAYLOAD_BYTES,
    MAX_TEXT_BYTES,
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
from echo_stream.coreset.building import as_provisional, explain_cell, take_snapshot
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.coreset.why import why_sample
from echo_stream.encoders.encoder import Encoder, as_payloads, encode
from echo_stream.engine.accumulator import Accumulator
from echo_stream.engine.repair import RepairReport, repair
from echo_stream.engine.state import pack_engine, unpack_engine
from echo_stream.errors import ConfigError, DataError, ScaleWarning, WarmupError
from echo_stream.generation.features import feature_name
from echo_stream.generation.generation import Generation, OnEpoch
from echo_stream.samples.changes import Change, LateLabel
from echo_stream.samples.members import samples_from
from echo_stream.samples.samples import Samples
from echo_stream.samples.scales import ScaleProblem
from echo_stream.samples.source import Failure, Rereadable, as_source
from echo_stream.samples.tabular import (
    NamedFeatures,
    cast_to,
    check_feature_names,
    columns_of,
    feature_names,
    matrix_of,
    row_numbers,
    row_of,
    take_rows,
)
from echo_stream.samples.validation import SampleSchema, as_samples, check_texts
from echo_stream.sketch.late_labels import checked_labels
from echo_stream.sketch.pools.pools import vectors_of
from echo_stream.sketch.size import memory_bound
from echo_stream.sketch.sketch import Sketch


class EchoCoreset(RiverEstimator):
    """A small weighted set of samples that represents all samples counted.

    It has the interfaces of scikit-learn's estimators, imbalanced-learn's samplers and river's
    learners.

    Parameters
    ----------
    budget : int
        Rows of the coreset, B; under `preset="paper"` those of the core.
    preset, cells, latent, rank, support, support_share, keep, demand_power, min_distance, balance
        Settings of the selection; see `EngineConfig`.
    latent_encoder, objective, latent_dim, epochs, standardise, warmup, expected_n, seed
        Settings of the training; see `EngineConfig`.
    auto_regenerate, on_duplicate, holdout
        Whether drift trains a new generation, whether samples with a known id replace earlier
        ones, and the share of samples that is held out to test models on; see `EngineConfig`.
    snapshot_context : bool
        Whether snapshots keep all samples that are held, those beside the coreset too.
    features : torch.nn.Module, callable or str, optional
        Maps payloads to the vectors that are measured; payloads are kept as they arrive. A
        module gets float32 tensors (n, ...), uint8 divided by 255; any other callable gets
        payloads as an array (n, ...). Either returns (n, D'). A string `module:attribute`
        names one.
    encoder : Encoder, optional
        Makes vectors of payloads, see `load_encoder`. X is then a sequence of text or bytes,
        each of which is encoded once; payloads are kept as they arrive.
    generation : Generation, optional
        A trained generation to use instead of training one.
    max_text_bytes : int
        Maximum length of an id, or of a label that is text, in bytes of UTF-8.
    max_payload_bytes : int
        Maximum size of a payload; text as UTF-8.
    device : str
        `auto` (a GPU when there is one), `cpu`, `cuda` or `cuda:i`.

    Attributes
    ----------
    generation_ : Generation
        The generation that was trained, or given.
    n_seen_ : int
        Samples counted, N.
    indices_, sample_indices_ : ndarray of shape (n,), int64
        Row numbers of the coreset's rows: core in order of selection, then support.
        Counted over all calls since the last `fit`.
    weights_ : ndarray of shape (n,), float64
        Samples that each row represents; they sum to N.
    support_indices_ : ndarray, int64
        Row numbers of the support.
    n_features_in_ : int
        Values of a sample, D; the product of its shape.
    feature_names_in_ : ndarray of shape (D,), object
        Names of the features, where samples came as a data frame or by name.

    Notes
    -----
    Parameters are checked when samples arrive. Later changes take effect with the next
    `fit`.

    The result depends on the samples, under `preset="adaptive"` on their order, and on the
    seed, not on how calls split them into batches. Source: the ECHO paper, sections III and IV.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 8)).astype(np.float32)
    >>> engine = EchoCoreset(budget=20)
    >>> for start in range(0, 500, 7):
    ...     engine = engine.partial_fit(x[start : start + 7])
    >>> len(engine.indices_), round(engine.weights_.sum())
    (20, 500)

    Under `preset="fixed"` a stream chooses what a build of all samples at once does.

    >>> batch = EchoCoreset(budget=20, preset="fixed").fit(x)
    >>> stream = EchoCoreset(budget=20, preset="fixed", generation=batch.generation_)
    >>> bool((stream.partial_fit(x).indices_ == batch.indices_).all())
    True
    """

    feature_names_in_: Array

    def __init__(  # noqa: PLR0913 - an estimator's settings are its parameters, all named
        self,
        budget: int = 1_000,
        *,
        preset: Preset = "adaptive",
        cells: Cells | None = None,
        latent: Latent | None = None,
        rank: Rank | None = None,
        support: int | None = None,
        support_share: float = 0.0,
        keep: int | None = None,
        demand_power: float = 1.0,
        min_distance: float = 0.0,
        balance: Balance = "none",
        latent_encoder: Architecture = "mlp",
        objective: Objective = "profile",
        latent_dim: int = 2,
        epochs: int = 40,
        standardise: bool = False,
        warmup: int | None = None,
        expected_n: int | None = None,
        features: object = None,
        auto_regenerate: bool | None = None,
        on_duplicate: OnDuplicate = "count",
        holdout: float = 0.0,
        snapshot_context: bool = True,
        encoder: Encoder | str | None = None,
        max_text_bytes: int = MAX_TEXT_BYTES,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
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
        self.keep = keep
        self.demand_power = demand_power
        self.min_distance = min_distance
        self.balance = balance
        self.latent_encoder = latent_encoder
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
        self.snapshot_context = snapshot_context
        self.encoder = encoder
        self.max_text_bytes = max_text_bytes
        self.max_payload_bytes = max_payload_bytes
        self.seed = seed
        self.generation = generation
        self.device = device
        # Created by the first samples, with the parameters as they are then.
        self._accumulator: Accumulator | None = None
        self._early: tuple[tuple[int, ...], Accumulator] | None = None  # see `_settled`

    @classmethod
    def from_config(
        cls, config: EngineConfig, *, generation: Generation | None = None, device: str = "auto"
    ) -> Self:
        """Return an engine with the settings of config; an unknown device is refused now.

        Imports the features that config names: never pass the config of a state from elsewhere.
        """
        resolve_device(device)
        return cls(**config.to_json(), generation=generation, device=device)

    def fit(
        self, X: object, y: object = None, ids: object = None, *, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Build the coreset of a whole data set, discarding earlier samples.

        Unless one was given, a generation is trained: on all samples under
        `preset="paper"`, else on a uniform sample of `warmup` of them.

        Parameters
        ----------
        X : array, tensor or data frame of shape (n, ...)
            Numeric, finite, n >= 1. With an encoder: a sequence of n texts or bytes.
        y : array of shape (n,), optional
            Labels: integers, floats or text. Kept, and used for the selection only where
            `balance` is "class".
        ids : array of shape (n,), optional
            Integers or text; the row numbers when absent.
        on_epoch : callable, optional
            Called with (epochs done, epochs) while the encoder is trained.

        Raises
        ------
        ConfigError
            If a parameter is out of range.
        DataError
            If the samples cannot be used; nothing has been counted then.

        Warns
        -----
        ScaleWarning
            If features differ in scale by more than a hundred, and are not standardised.

        Notes
        -----
        O(epochs n D + n D + M^2): training, one pass, the graph.
        """
        samples = self._as_samples(X, y, ids)
        check_feature_names(self, X, is_first=True)
        self.fit_source(samples, on_epoch=on_epoch)
        self._warn_of_scales()
        return self

    def fit_source(
        self, source: Rereadable | Samples | Array, *, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Build the coreset of a source in bounded memory, as `fit` does.

        The source is read three times: for the training, for one pass as a stream, and for the
        repair of cells that the pass leaves uncertified.
        """
        source = as_source(source)
        if source.num_samples == 0:
            msg = "there are no samples to build a coreset of; give at least one"
            raise DataError(msg)
        accumulator = self._begin()
        accumulator.fit(source, on_epoch)
        self._accumulator = accumulator
        return self

    def fit_resample(self, X: Any, y: Any = None) -> tuple[Any, Any]:
        """Build the coreset, and return the samples and labels of its rows.

        Returns
        -------
        X, y : of the kind of the arguments
            Rows `sample_indices_`: core, then support. Under `preset="paper"` a sample can be
            in both, and appears twice. `weights_` has the weight of each row.
        """
        rows = self.fit(X, y).sample_indices_
        return take_rows(X, rows), take_rows(y, rows)

    def partial_fit(self, X: object, y: object = None, ids: object = None) -> Self:
        """Count more samples of a stream.

        The first `warmup` samples are buffered, a generation is trained on them, and then they
        are counted; if a generation was given, there is no warm-up. Parameters
        and errors are those of `fit`; n may be 0.
        """
        check_feature_names(self, X, is_first=self.n_seen_ == 0)
        was_warming_up = self.is_warming_up
        self.update(self._as_samples(X, y, ids, first_row=self._current.num_arrived))
        if was_warming_up:
            self._warn_of_scales()
        return self

    def learn_one(self, x: NamedFeatures, y: Label = None) -> None:
        """Count one sample, as river's estimators do.

        Parameters
        ----------
        x : dict
            Numbers by feature name. The first sample fixes the features and their order.
            Values are float64, or of the floating type of the generation that was given.
        y : int, float or str, optional
            Label.

        Raises
        ------
        ShapeError
            If a feature is missing or unknown, naming it.
        DataError
            If a feature is not a finite number.
        """
        names = self._names_of(x)
        self._learn(row_of(x, names.tolist()), None if y is None else [y], names)

    def learn_many(self, X: Any, y: object = None) -> None:
        """Count the rows of a data frame or of a mapping of columns, as `learn_one` does."""
        columns = columns_of(X)
        names = self._names_of(columns)
        self._learn(matrix_of(columns, names.tolist()), y, names)

    def update(self, samples: Samples, *, on_epoch: OnEpoch | None = None) -> None:
        """Count checked samples, as `partial_fit` does.

        Raises
        ------
        ShapeError
            If shape or dtype differ from the samples before; nothing has been counted then.
        """
        self._accumulator = self._current
        self._accumulator.update(samples, on_epoch)

    def failures(self, samples: Samples) -> list[Failure]:
        """Return the samples for which the features fail, without counting any.

        Raises
        ------
        InfrastructureError
            If memory or a device failed.

        Notes
        -----
        Features are computed once more than for counting. Without features: O(1).
        """
        return self._current.failures(samples)

    def end_warmup(self, *, on_epoch: OnEpoch | None = None) -> None:
        """Train the generation on the buffered samples, and count them.

        The engine calls it when `warmup` samples have arrived; call it when the input ends
        earlier. Does nothing when no sample is buffered.
        """
        self._current.end_warmup(on_epoch)

    def merge(self, other: "EchoCoreset") -> None:
        """Add an engine of the same generation and settings, which is left unchanged.

        `a.merge(b)` and `b.merge(a)` give the same counts and the same rows. If three or more
        engines are merged in another order, counts and centroids are the same and all
        certificates hold, but rows without a certificate can differ.

        If both hold samples of an id that was labelled late, all of them get the larger
        label; numbers are smaller than text.

        Raises
        ------
        ConfigError
            If generations or settings differ, or other is this engine or no engine.
        WarmupError
            If one of the two is still warming up.
        """
        if not isinstance(other, EchoCoreset):
            msg = f"only an EchoCoreset can be merged; got {type(other).__name__}"
            raise ConfigError(msg)
        if other is self:
            msg = "an engine cannot be merged with itself; give another one"
            raise ConfigError(msg)
        self._accumulator = self._current
        self._accumulator.merge(other._current)

    def repair(self, source: Rereadable | Array) -> RepairReport:
        """Read the source again, and certify the rows that the stream left in doubt.

        Parameters
        ----------
        source : Rereadable, or array of shape (n, ...)
            Has the samples that were counted, in any order; no more samples are read than were
            counted. The ids of an array are its row numbers; `ArraySource` takes other ids.

        Returns
        -------
        RepairReport
            The pools of cells with an uncertified row are filled again, and all rows are
            certified. If the source has other samples in any cell (numbers and sums are
            compared), nothing is changed, and the report lists the differences. Samples of
            forgotten ids that were still in the sums are subtracted.

        Raises
        ------
        WarmupError
            While the engine warms up.
        ConfigError
            If samples are held out.

        Notes
        -----
        O(N D). Where sums are no longer exact, nothing can be certified, and nothing is read.
        """
        self._current.refuse_rereading()
        return repair(self._current.fixed_sketch("repair"), as_source(source))

    def memory_bound(self) -> int:
        """Return an upper bound on the bytes of the state, whatever arrives.

        It covers Python's heap and the files: payloads, ids and labels of `max_text_bytes`,
        the objects around them, sums, pools and their bounds, links, held-out samples, and
        working memory. It follows from the configuration, except that a hash is kept forever
        of each forgotten id (some 200 bytes, 500 in a group) and that a group has a log of late
        labels once there is one. It does not cover the `warmup` samples that a warm-up
        buffers, the copy that exists while a checkpoint is written, and the libraries. The
        manifest of a snapshot has it beside the bytes in use.

        Raises
        ------
        WarmupError
            While the engine warms up: the number of cells is not known yet.
        """
        return memory_bound(self._current.trained_sketch())

    def regenerate(
        self, source: Rereadable | Array | None = None, *, on_epoch: OnEpoch | None = None
    ) -> None:
        """Train a new generation on held samples, and continue with it.

        Parameters
        ----------
        source : Rereadable, optional
            The data that was counted, from its first sample: it is counted again, exactly.
            Without it, counts and sums are estimated from the held samples unless these
            are all; nothing is certified then, and manifests say `approximate`.
        on_epoch : callable, optional
            Called with (epochs done, epochs) while the encoder is trained.

        Raises
        ------
        SourceError
            If the source has fewer samples, or others; the engine is unchanged then.
        WarmupError
            While the engine warms up, or before it has seen a sample.
        """
        self._current.regenerate(None if source is None else as_source(source), on_epoch)

    def snapshot(self) -> Snapshot:
        """Return the coreset of everything counted, with its cells and graph.

        While the engine warms up, a generation is trained on the samples so far for this
        snapshot alone, whose manifest says `provisional`; the warm-up goes on as if there had
        been none.

        Raises
        ------
        WarmupError
            Before a sample has been counted.
        """
        if self.n_seen_ == 0:
            msg = "no sample has been counted yet; there is nothing to select from"
            raise WarmupError(msg)
        snapshot = replace(
            take_snapshot(self._settled()), held_out=self._current.held_out.samples()
        )
        return as_provisional(snapshot) if self.is_warming_up else snapshot

    def explain(self, cell: Cell) -> dict[str, Any]:
        """Explain which of a cell's samples are certified, which are in doubt, and why.

        Parameters
        ----------
        cell : tuple of int
            Index of an occupied cell, as in `Snapshot.cells`.

        Returns
        -------
        dict
            For "core" and "support": certified ids; ids in doubt, with rank and distance; the
            bound on the distance of dropped samples; how many samples the pools hold and have
            dropped; and why some are in doubt, if any are.

        Raises
        ------
        ConfigError
            If the cell is not occupied.
        """
        return explain_cell(self._settled(), cell)

    def why(self, sample_id: object, x: object = None) -> dict[str, Any]:
        """Explain why a sample is in the coreset, or what ranks before it.

        Parameters
        ----------
        sample_id : int or str
        x : array, optional
            The sample itself, of the shape and dtype of those counted. If no sample of the id
            is held, it is placed in the current cells as if it were.

        Returns
        -------
        dict
            "id"; "held", whether a payload is held; "why", in words; and "samples", one
            for each held sample of the id (or for x): "cell", "cell_count", "label",
            "origin" (its place in Kafka), "in_reservoir", and its rank as "core" and as
            "support" (None where it is no candidate).

            Each of these two has "rank" and "distance" in the cell, the rule that it is ranked
            "by" ("distance" or "hash"; with adaptive cells "gain", which ranks the rows of all
            cells), the cell's "slots", whether it is "chosen", whether it is "in_pool", whether
            its rank is "certified" (None for x) or the "doubt", the "bound" on the distance of
            dropped samples, and "beaten_by": the first ten samples that rank before it, with
            distances and whether they are chosen.

        Raises
        ------
        ShapeError
            If x has another shape or dtype than the samples counted.
        WarmupError
            Before a sample has been counted.

        Notes
        -----
        O(held), and the graph. The rank of an uncertified sample is a lower bound: dropped
        samples may rank before it. The rank of x is among the current samples.
        """
        sketch, sample = self._settled(), None
        if x is not None:
            sample = as_samples(np.asarray(x)[None], ids=[str(sample_id)])
            sketch.generation.schema.check(sample.x)
        return why_sample(sketch, str(sample_id), sample)

    def coreset(self) -> Samples:
        """Return the rows of the coreset: core, then support; see `snapshot`."""
        return self.snapshot().rows.samples

    def centre_distances(self, samples: Samples) -> FloatArray:
        """Return how far samples lie from the centres of their cells, of shape (n,), float64.

        Raises
        ------
        WarmupError
            Before a sample has been counted.

        Notes
        -----
        O(n M d). The centres of adaptive cells are their means; those of others are fixed.
        """
        sketch = self._settled()
        generation = sketch.generation
        latent = generation.latent(generation.vectors(samples.x))
        return np.asarray(np.sqrt(sketch.centre_distances(latent)))

    def vectors(self, X: object) -> FloatArray:
        """Return what samples are measured by, without counting them.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        ndarray of shape (n, D), float32
            Comparable with those of `held`.

        Raises
        ------
        WarmupError
            Before a sample has been counted.
        ShapeError
            If shape or dtype differ from those of the samples counted; floats are converted.
        """
        samples, generation = self._as_samples(X, None, None), self._settled().generation
        x = cast_to(samples.x, generation.schema)
        generation.schema.check(x)
        return generation.vectors(x).cpu().numpy()

    def held(self) -> tuple[Samples, Array]:
        """Return all samples that the engine holds, those of the coreset among them.

        With the labels that are known by now: `echo_stream.spread_labels` finds the others.

        Returns
        -------
        samples : Samples
            Payloads, ids and labels; each sample once, or as often as it was counted and is
            held.
        vectors : ndarray of shape (n, D), float32
            What the samples are measured by: their features, or the payloads as numbers,
            scaled as the generation does.

        Raises
        ------
        WarmupError
            Before a sample has been counted.

        Notes
        -----
        O(held D). Held-out samples are not among them.
        """
        sketch = self._settled().flushed()
        members, generation = sketch.members(), sketch.generation
        return samples_from(members, generation.schema), vectors_of(members, generation)

    @property
    def indices_(self) -> IntArray:
        """Row numbers of the coreset's rows, where the caller gave no ids."""
        return row_numbers(self.snapshot().rows.samples)

    @property
    def sample_indices_(self) -> IntArray:
        """The same as `indices_`, under the name that samplers of imbalanced-learn use."""
        return self.indices_

    @property
    def support_indices_(self) -> IntArray:
        """Row numbers of the support, where the caller gave no ids."""
        return row_numbers(self.snapshot().select("support"))

    @property
    def weights_(self) -> FloatArray:
        """Samples that each row of the coreset represents."""
        return self.snapshot().rows.weights

    def forget(self, sample_id: object) -> int:
        """Remove the samples of an id from counts, sums, witnesses and pools, exactly.

        Parameters
        ----------
        sample_id : int or str

        Returns
        -------
        int
            How many were removed; 0 if none is held. A sample that was dropped cannot be
            distinguished from one never seen; it stays in the sums, and the snapshot's
            manifest counts the id as missed, until the source is read again. The same holds
            where sums are estimates after a regeneration: only payloads are removed then.

        Notes
        -----
        O(held). The id's hash is kept: later readings of the source skip the id, and remove
        samples that were sent again under it.
        """
        self._accumulator = self._current
        return self._accumulator.forget(str(sample_id))

    def label(self, ids: Any, labels: Any) -> int:
        """Set the labels of earlier samples, wherever they are held.

        Parameters
        ----------
        ids : int, str, or array of shape (n,)
        labels : int, float, str, or array of shape (n,)
            Known labels. Of several for one id the last one counts.

        Returns
        -------
        int
            How many of the ids have a held sample. Manifests of snapshots count the others
            as missed.

        Raises
        ------
        DataError, ShapeError
            If ids or labels are invalid; no sample has been labelled then.

        Notes
        -----
        O(held + n pool). The coreset keeps the same rows, weights and certificates. Samples
        keep their labels through regeneration and repair.
        """
        pairs = checked_labels(ids, labels)
        self._accumulator = self._current
        check_texts("label", [label for _, label in pairs], self._accumulator.config.max_text_bytes)
        return sum([self._accumulator.label(LateLabel(*pair)) for pair in pairs])

    def holds(self, sample_id: object) -> bool:
        """Return whether a sample of an id is held. O(held) once, then O(1)."""
        return self._current.holds(str(sample_id))

    def change(self, change: Change) -> None:
        """Apply a change from a stream: set a label, or forget an id; misses are counted."""
        self._accumulator = self._current
        if isinstance(change, LateLabel):
            self._accumulator.label(change)
        else:
            self._accumulator.forget(change.id, change.origin)

    def expire_changes(self) -> None:
        """Stop applying earlier labels and requests to forget to samples that arrive later.

        Call it after merging all parts of a stream.
        """
        self._accumulator = self._current
        self._accumulator.expire_changes()

    def change_counts(self) -> dict[str, int]:
        """Return how many samples were labelled late, forgotten, replaced or missed.

        The names are those of a snapshot's manifest.
        """
        return self._current.change_counts()

    @property
    def config(self) -> EngineConfig:
        """The settings of the engine, checked and with the preset resolved."""
        return self._current.config

    @property
    def n_seen_(self) -> int:
        """Samples counted, N; those buffered by the warm-up included."""
        return 0 if self._accumulator is None else self._accumulator.n

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: counted, removed, or held out."""
        return 0 if self._accumulator is None else self._accumulator.num_arrived

    @property
    def num_held_out(self) -> int:
        """Samples that have been held out; they are not counted."""
        return 0 if self._accumulator is None else self._accumulator.held_out.num_taken

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
        """Whether there is a coreset by now that needs no long training to be chosen."""
        needs_none = self.config.is_adaptive and self.config.latent != "encoder"
        return self.n_seen_ > 0 and (needs_none or not self.is_warming_up)

    @property
    def is_warming_up(self) -> bool:
        """Whether samples are still buffered for the generation's training."""
        return self._current.is_warming_up

    @property
    def scales(self) -> ScaleProblem | None:
        """Features of very different scales, if the generation was trained on such."""
        return None if self._accumulator is None else self._accumulator.scales

    @property
    def generation_(self) -> Generation:
        """The generation that was trained, or given."""
        return self._current.trained_sketch().generation

    def copy(self) -> Self:
        """Return an independent copy.

        Payloads, which never change, are shared. O(held), a fraction of `to_state`.
        """
        copied = type(self)(**self.get_params(deep=False))
        if self._accumulator is not None:
            copied._restore(self._accumulator.copy(), self._feature_names)
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
        """Restore an engine that continues exactly as the one that wrote the state.

        Parameters
        ----------
        state : tuple
            From `to_state`.
        device : str
        config : EngineConfig, optional
            Settings to continue with, by default the stored ones. Settings that shape the
            sketch cannot change.
        features : module, callable or str, optional
            Features that the state was built with, by default those that config names. Code
            that only a state names is never imported.

        Raises
        ------
        StateError
            If the state is of another format version.
        ConfigError
            If the features are missing or different, or if config changes a setting that
            shapes the sketch, such as the budget.
        """
        if features is None and config is not None:
            features = config.features
        accumulator, names = unpack_engine(
            state, device=resolve_device(device), config=config, features=features
        )
        generation = None if accumulator.sketch is None else accumulator.sketch.generation
        engine = cls.from_config(accumulator.config, generation=generation, device=device)
        engine.features = features
        engine._restore(accumulator, names)
        return engine

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters, and the state if there is one, for a copy or a pickle."""
        begun = None if self._accumulator is None else self.to_state()
        return {"parameters": self.get_params(deep=False), "begun": begun}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the engine that `__getstate__` described."""
        EchoCoreset.__init__(self, **state["parameters"])
        if state["begun"] is not None:
            features, generation = self.features, self.generation
            if features is None and generation is not None and generation.features is not None:
                features = generation.features.function
            device = resolve_device(self.device)
            self._restore(*unpack_engine(state["begun"], device=device, features=features))

    @property
    def n_features_in_(self) -> int:
        """Values of a sample, D, once there has been one."""
        schema = None if self._accumulator is None else self._accumulator.schema
        if schema is None:
            msg = "no sample has arrived yet, so the number of features is not known"
            raise AttributeError(msg)
        return schema.num_elements

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether a sample has been counted."""
        return self.n_seen_ > 0

    @property
    def _current(self) -> Accumulator:
        """The accumulator; before the first sample a new one with the current parameters."""
        return self._begin() if self._accumulator is None else self._accumulator

    def _begin(self) -> Accumulator:
        """Return a new accumulator with the current parameters."""
        given = {field.name: getattr(self, field.name) for field in fields(EngineConfig)}
        # A grid search may draw its numbers from a numpy array; JSON knows none of numpy's.
        settings = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in given.items()
        }
        settings["features"] = feature_name(self.features)
        settings["encoder"] = getattr(self.encoder, "identity", self.encoder)
        config, device = EngineConfig(**settings), resolve_device(self.device)
        return Accumulator.begin(config, device, self.generation, self.features)

    def _restore(self, accumulator: Accumulator, names: Array | None) -> None:
        """Continue with an accumulator that has been restored."""
        self._accumulator = accumulator
        if names is not None:
            self.feature_names_in_ = names

    @property
    def _feature_names(self) -> Array | None:
        """Names of the features, where they have any."""
        return getattr(self, "feature_names_in_", None)

    def _names_of(self, x: NamedFeatures) -> Array:
        """Return the names of the features in order: those of x if these are the first."""
        return feature_names(x) if self._feature_names is None else self._feature_names

    def _warn_of_scales(self) -> None:
        """Warn where features of the largest scale alone decide distances."""
        if self.scales is not None:
            names = tuple(map(str, getattr(self, "feature_names_in_", ())))
            msg = f"{self.scales.words(names)}; set standardise=True"
            warnings.warn(msg, ScaleWarning, stacklevel=3)

    def _settled(self) -> Sketch:
        """Return the sketch; while the engine warms up, that of a copy whose warm-up has ended.

        The copy is kept until something changes, since a generation is trained for it.
        """
        accumulator = self._current
        if not accumulator.is_warming_up or accumulator.n == 0:
            return accumulator.trained_sketch()
        counted = (accumulator.num_arrived, *accumulator.change_counts().values())
        if self._early is None or self._early[0] != counted:
            ended = accumulator.copy()
            ended.end_warmup(None)
            self._early = (counted, ended)
        return self._early[1].trained_sketch()

    def _as_samples(self, X: Any, y: object, ids: object, *, first_row: int = 0) -> Samples:
        """Return checked samples; with an encoder, of payloads X.

        Raises
        ------
        ConfigError
            If earlier samples were encoded by another encoder.
        """
        encoder = self.encoder
        if encoder is None or isinstance(encoder, str):
            return as_samples(X, y, ids, first_row=first_row)
        if first_row and encoder.identity != self.config.encoder:
            msg = (
                f"earlier samples were encoded by {self.config.encoder}, and these would be by "
                f"{encoder.identity}; give the same encoder"
            )
            raise ConfigError(msg)
        payloads = as_payloads(X)
        return as_samples(encode(encoder, payloads), y, ids, payloads, first_row=first_row)

    def _learn(self, x: FloatArray, y: object, names: Array) -> None:
        """Count rows whose features have names."""
        accumulator = self._current
        self.update(
            as_samples(cast_to(x, accumulator.schema), y, first_row=accumulator.num_arrived)
        )
        self.feature_names_in_ = names
