"""A classifier that learns from few labels, and from all samples that a coreset holds.

It keeps no weights: labels are spread over the samples held, and the nearest of these vote.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from river.base import Classifier
from sklearn.base import ClassifierMixin, clone
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from echo_stream._common.device import single_threaded
from echo_stream._common.river import RiverEstimator
from echo_stream._common.typing import Array, FloatArray, Label
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import DataError
from echo_stream.samples.samples import as_objects, label_of, sorted_labels
from echo_stream.samples.tabular import NamedFeatures, check_feature_names, row_of
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.late_labels import checked_labels
from echo_stream.training.spreading import Spread, check_settings, spread_labels

_UNKNOWN = -1  # a label that says that there is none, as in scikit-learn's semi-supervised models
_MAX_AGE = 0.1  # of what single samples are predicted by: new samples, as a share of all counted


class EchoClassifier(ClassifierMixin, RiverEstimator):  # type: ignore[misc]  # no types there
    """Classify by the few labels known, spread over all samples that a coreset holds.

    It has the interfaces of scikit-learn's semi-supervised classifiers and river's classifiers.
    Labels come with the samples, or later by `label`.

    Parameters
    ----------
    coreset : EchoCoreset, optional
        Its settings say how many samples are held, at most `budget + keep`, and how they are
        measured. It is left as it is: a copy, `coreset_`, counts the samples. By default
        `EchoCoreset(1_000, keep=10_000)`.
    num_neighbours : int
        Nearest samples that vote, and those of each sample in the graph that labels spread
        along, k.
    alpha : float
        How much of a sample's label comes from its neighbours; see `spread_labels`.

    Attributes
    ----------
    coreset_ : EchoCoreset
        Holds the samples. Its `coreset`, `snapshot` and `memory_bound` say what; give labels
        by `label` of the classifier.
    classes_ : ndarray of shape (C,)
        Labels seen so far, in order; numbers before text.
    n_features_in_ : int
        Values of a sample, D.
    feature_names_in_ : ndarray of shape (D,), object
        Names of the features, where samples came as a data frame or by name.

    Notes
    -----
    Labels are spread in proportion to one more than how many samples held are labelled with each,
    so that classes labelled more often do not swallow their neighbours. Of the samples that a
    label reaches, the k nearest vote, each with its confidence times
    exp(-(distance / that of the farthest of them)^2). Source: `spread_labels`.

    The result depends on samples, labels and their order as that of `EchoCoreset` does, not on how
    calls split them into batches. The first prediction after a change spreads labels again,
    O(held^2 D) up to 20,000 samples held; then n samples take O(n held D). Beside the coreset, the
    vectors of what is held are in memory once more.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(1_000) < 60, y[:1_000], -1)
    >>> model = EchoClassifier().fit(x[:1_000], few)
    >>> model.score(x[1_000:], y[1_000:]) > 0.85
    True
    """

    classes_: Array
    feature_names_in_: Array

    def __init__(
        self, coreset: EchoCoreset | None = None, *, num_neighbours: int = 10, alpha: float = 0.95
    ) -> None:
        self.coreset = coreset
        self.num_neighbours = num_neighbours
        self.alpha = alpha

    def fit(self, X: object, y: object, ids: object = None) -> Self:
        """Learn from a whole data set, discarding earlier samples.

        Parameters
        ----------
        X : array, tensor or data frame of shape (n, ...)
            As for `EchoCoreset.fit`: with an encoder a sequence of texts or bytes.
        y : array of shape (n,)
            Integers, whole floats or text; -1, None or NaN where unknown.
        ids : array of shape (n,), optional
            Integers or text; the row numbers when absent.

        Raises
        ------
        ConfigError
            If a setting is out of range.
        DataError, ValueError
            If samples or labels cannot be used, or no label is known.
        """
        if y is None:
            msg = (
                "EchoClassifier requires y to be passed, but the target y is None; "
                "give labels, -1 where unknown"
            )
            raise DataError(msg)
        labels = _labels(y)
        if all(label is None for label in labels):
            msg = f"none of {len(labels)} labels is known; give at least one that is not -1"
            raise DataError(msg)
        coreset = self._unfitted_coreset().fit(X, as_objects(labels), ids)
        return self._learned(coreset, labels, is_first=True)

    def partial_fit(
        self, X: object, y: object = None, classes: object = None, ids: object = None
    ) -> Self:
        """Learn from more samples of a stream.

        Parameters
        ----------
        X, y, ids
            As for `fit`; no y is no label.
        classes : array of shape (C,), optional
            Labels that may come. Others may come, too.
        """
        is_first = not hasattr(self, "coreset_")
        labels = None if y is None else _labels(y)
        expected = [] if classes is None else _labels(classes)
        coreset = self._unfitted_coreset() if is_first else self.coreset_
        coreset.partial_fit(X, None if labels is None else as_objects(labels), ids)
        return self._learned(coreset, [*(labels or []), *expected], is_first=is_first)

    def label(self, ids: Any, labels: Any) -> int:
        """Set the labels of earlier samples, wherever they are held.

        Parameters, result and errors are those of `EchoCoreset.label`; -1 is no label here.
        """
        check_is_fitted(self)
        known = [label for _, label in checked_labels(ids, labels)]
        if _UNKNOWN in known:
            msg = f"the label in row {known.index(_UNKNOWN)} is -1, which is unknown; leave it out"
            raise DataError(msg)
        num_held = self.coreset_.label(ids, labels)
        self._learned(self.coreset_, known)
        return num_held

    def predict_proba(self, X: object) -> FloatArray:
        """Return how likely each class is.

        Parameters
        ----------
        X : as for `fit`

        Returns
        -------
        ndarray of shape (n, C), float64
            Columns as in `classes_`; rows sum to 1.

        Raises
        ------
        NotFittedError
            Before any sample has come.
        DataError
            If no sample that is held is labelled yet, or samples do not fit.
        """
        check_is_fitted(self)
        check_feature_names(self, X, is_first=False)
        shares = self._voters.shares(X, self.classes_)
        if shares is None:
            msg = "no sample that is held is labelled; give labels first"
            raise DataError(msg)
        return shares

    def predict(self, X: object) -> Array:
        """Return the likeliest class of each sample, of shape (n,); see `predict_proba`."""
        shares = self.predict_proba(X)
        return np.asarray(self.classes_[shares.argmax(axis=1)])

    def learn_one(self, x: NamedFeatures, y: Label = None) -> None:
        """Learn from one sample, as river's classifiers do; see `EchoCoreset.learn_one`."""
        is_first = not hasattr(self, "coreset_")
        labels = [] if y is None else _labels([y])
        coreset = self._unfitted_coreset() if is_first else self.coreset_
        coreset.learn_one(x, labels[0] if labels else None)
        self._learned(coreset, labels, is_first=is_first)

    def predict_proba_one(self, x: NamedFeatures) -> dict[Label, float]:
        """Return how likely each class is, as river's classifiers do; none before a label.

        Labels are spread again when a tenth more samples have come, not with each.
        """
        if not len(getattr(self, "classes_", ())):
            return {}
        row = row_of(x, list(getattr(self, "feature_names_in_", x)))
        shares = self._voters.shares(row, self.classes_, max_age=_MAX_AGE)
        if shares is None:
            return {}
        return dict(zip(self.classes_.tolist(), shares[0].tolist(), strict=True))

    def predict_one(self, x: NamedFeatures) -> Label:
        """Return the likeliest class of one sample, as river's classifiers do; None before any."""
        shares = self.predict_proba_one(x)
        return max(shares, key=shares.__getitem__, default=None)

    @property
    def n_features_in_(self) -> int:
        """Values of a sample, D, once there has been one."""
        return self.coreset_.n_features_in_

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether a sample has come."""
        return hasattr(self, "coreset_")

    @property
    def _multiclass(self) -> bool:
        """Tell river that there may be more than two classes."""
        return True

    def _unfitted_coreset(self) -> EchoCoreset:
        """Return an empty engine with the settings given."""
        check_settings(self.num_neighbours, self.alpha)
        return EchoCoreset(1_000, keep=10_000) if self.coreset is None else clone(self.coreset)

    def _learned(
        self, coreset: EchoCoreset, labels: Iterable[Label], *, is_first: bool = False
    ) -> Self:
        """Remember what has been counted, and which labels may be predicted from now on."""
        if is_first:
            self.coreset_, self.classes_ = coreset, np.array([])
            self._voters = _Voters(coreset, self.num_neighbours, self.alpha)
            self.__dict__.pop("feature_names_in_", None)
        if hasattr(coreset, "feature_names_in_"):
            self.feature_names_in_ = coreset.feature_names_in_
        known = set(self.classes_.tolist())
        if new := set(labels) - known - {None}:
            classes = sorted_labels(known | new)
            is_mixed = len({isinstance(label, str) for label in classes}) > 1
            self.classes_ = as_objects(classes) if is_mixed else np.array(classes)
        return self


Classifier.register(EchoClassifier)  # so that river's metrics take it for one


@dataclass(eq=False)
class _Voters:
    """What a coreset holds, as voters; made anew when they are asked for and it has changed."""

    coreset: EchoCoreset
    num_neighbours: int
    alpha: float
    votes: "Votes | None" = field(default=None, init=False)
    copied: EchoCoreset | None = field(default=None, init=False)  # when the votes were made
    num_events: int = field(default=-1, init=False)  # then

    def shares(self, x: object, classes: Array, *, max_age: float = 0.0) -> FloatArray | None:
        """Return the share of each class in the votes for each sample; None without a label.

        Votes may miss samples and labels that came since: at most max_age of all.

        Raises
        ------
        DataError
            If a label is not among the classes.
        """
        num_events = self.coreset.num_arrived + sum(self.coreset.change_counts().values())
        age = num_events - self.num_events
        if age > (0 if self.votes is None else max_age * num_events):
            # How samples are measured can change with more of them: the copy stays as it is.
            self.copied, self.num_events = self.coreset.copy(), num_events
            self.votes = self._made(self.copied)
        if self.votes is None or self.copied is None:
            return None
        return self.votes.shares(self.copied.vectors(x), classes)

    def _made(self, coreset: EchoCoreset) -> "Votes | None":
        """Return the votes of what a coreset holds; None where nothing is labelled."""
        samples, vectors = coreset.held()
        if not samples.are_labelled.any():
            return None
        assert samples.labels is not None
        counts = Counter(map(label_of, samples.labels.tolist()))
        del counts[None]
        spread = spread_labels(
            vectors, samples.labels, num_neighbours=self.num_neighbours, alpha=self.alpha,
            class_counts={label: number + 1 for label, number in counts.items()},
        )  # fmt: skip
        return Votes(vectors, spread, self.num_neighbours)


class Votes:
    """Votes of the nearest of some vectors for the labels that were spread over them.

    Parameters
    ----------
    vectors : ndarray of shape (n, D)
    spread : Spread
        Over these vectors. Those that no label reaches have no vote.
    num_neighbours : int
        That vote, k.
    """

    def __init__(self, vectors: Array, spread: Spread, num_neighbours: int) -> None:
        there = spread.is_reached
        self._labels = sorted_labels(set(spread.labels[there].tolist()))
        place = {label: number for number, label in enumerate(self._labels)}
        self._places = np.array([place[label] for label in spread.labels[there].tolist()])
        self._confidence = spread.confidence[there]
        k = min(num_neighbours, len(self._places))
        self._search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(vectors[there])

    def shares(self, vectors: Array, classes: Array) -> FloatArray:
        """Return the share of each class in the votes for each of m vectors.

        Parameters
        ----------
        vectors : ndarray of shape (m, D)
        classes : ndarray of shape (C,)
            All labels that were spread, others too.

        Returns
        -------
        ndarray of shape (m, C), float64

        Raises
        ------
        DataError
            If a label is not among the classes.

        Notes
        -----
        O(m n D).
        """
        place = {label: number for number, label in enumerate(classes.tolist())}
        if missing := [label for label in self._labels if label not in place]:
            msg = f"the label {missing[0]!r} is not among the classes; give it by `label`"
            raise DataError(msg)
        with single_threaded():
            distances, near = self._search.kneighbors(vectors)
        widths = np.maximum(distances[:, -1:], np.finfo(np.float32).tiny)
        votes = np.exp(-((distances / widths) ** 2)) * self._confidence[near]
        columns = np.array([place[label] for label in self._labels])[self._places[near]]
        shares = np.zeros((len(near), len(classes)))
        np.add.at(shares, (np.arange(len(near))[:, None], columns), votes)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _labels(y: Any) -> list[Label]:
    """Return labels, None where they are unknown: -1, None or NaN.

    Raises
    ------
    DataError
        If a label is of no type that labels have, or the text -1.
    ValueError
        If labels are measurements, not classes; in scikit-learn's words.
    """
    given = y if isinstance(y, (list, tuple)) else np.asarray(y)
    if np.ndim(given) == 2:
        given = column_or_1d(given, warn=True)
    column = as_samples(np.zeros((len(given), 1)), given).labels
    labels = [label_of(label) for label in np.asarray(column).tolist()]
    if str(_UNKNOWN) in labels:
        msg = f"the label in row {labels.index(str(_UNKNOWN))} is the text '-1'; give None instead"
        raise DataError(msg)
    if floats := [label for label in labels if isinstance(label, float)]:
        check_classification_targets(np.array(floats))
    return [None if label == _UNKNOWN else label for label in labels]
