"""Suggest which samples to label next."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from echo_stream._common.checks import check_whole
from echo_stream._common.typing import Array, BoolArray, FloatArray
from echo_stream.coreset.facility import kernel_width, locate_facilities, similarity_to
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.samples.samples import Samples, as_objects
from echo_stream.training.spreading import spread_labels


@dataclass(frozen=True, slots=True, eq=False)
class Suggestions:
    """Samples to label next, the most useful first.

    Attributes
    ----------
    samples : Samples
        Without labels, k of them; each id once.
    labels : ndarray of shape (k,), object
        What each is taken for until then; None where no label arrives.
    confidence : ndarray of shape (k,), float64
        How sure that is, from 0 to 1.
    gains : ndarray of shape (k,), float64
        Share of what is uncertain that its label, after those before it, is expected to settle.
    """

    samples: Samples
    labels: Array
    confidence: FloatArray
    gains: FloatArray

    def __len__(self) -> int:
        """Return how many samples are suggested."""
        return len(self.samples)


def suggest_labels(snapshot: Snapshot, count: int) -> Suggestions:
    """Suggest samples of a snapshot whose labels would tell the most about all the others.

    Parameters
    ----------
    snapshot : Snapshot
        With some labels, or none yet.
    count : int
        How many to suggest, at least 1; fewer where fewer have no label.

    Returns
    -------
    Suggestions
        The same for the same snapshot, whatever the number of cores.

    Raises
    ------
    ConfigError
        If count is below 1.

    Notes
    -----
    Facility location, with what is uncertain for its demand: a sample counts for the samples of
    the stream that it stands for, times 1 - c C / (C + 1), with the confidence c in its label
    (`spread_labels`) and C classes known so far: one more is held to be as likely as each.
    Samples that have a label cover their surroundings already. So suggestions are in dense
    regions, where labels are unsure, far from labels and from each other. Without a label it is
    the choice of a coreset. Source: Bae, Oliveira & Sutherland (2025), "Uncertainty Herding: One
    Active Learning Method for All Label Budgets", ICLR.

    O(n^2 D) for the n samples that are held, in memory linear in n.

    Examples
    --------
    >>> from echo_stream import EchoCoreset
    >>> engine = EchoCoreset(4, device="cpu").fit([[0.0], [0.1], [5.0], [5.1]], ids=list("abcd"))
    >>> engine.label(["a"], ["low"])
    1
    >>> suggest_labels(engine.snapshot(), 1).samples.ids.tolist()
    ['d']
    """
    check_whole("count", count, at_least=1)
    samples, vectors = snapshot.held()
    is_first, are_given = _are_first(samples), samples.are_labelled
    labels, confidence, num_classes = as_objects([None] * len(samples)), np.zeros(len(samples)), 0
    # 1. How uncertain is the label of each, and for how many samples does it stand?
    if are_given.any():
        spread = spread_labels(snapshot)
        labels, confidence = spread.labels, spread.confidence
        num_classes = len({*labels.tolist()} - {None})
    surely = confidence * num_classes / (num_classes + 1)
    uncertain = _mass(snapshot, is_first) * (1 - surely)
    # 2. Samples that have a label cover what is near them.
    places = vectors.astype(np.float64)
    width = kernel_width(places[is_first])
    covered = similarity_to(places, places[are_given], width=width)
    # 3. Cover what is left, greedily.
    supply = np.flatnonzero(is_first & ~_is_known(samples))
    picks = locate_facilities(
        places,
        uncertain,
        places[supply],
        min(count, len(supply)),
        width=width,
        covered=covered,
    )
    rows = supply[picks.rows]
    gains = picks.gains / (uncertain.sum() or 1.0)
    return Suggestions(samples[rows], labels[rows], confidence[rows], gains)


def _are_first(samples: Samples) -> BoolArray:
    """Tell which samples are the first of their id: one that is core and support is there twice."""
    first = np.zeros(len(samples), dtype=bool)
    first[np.unique(samples.ids.astype(str), return_index=True)[1]] = True
    return first


def _is_known(samples: Samples) -> BoolArray:
    """Tell which samples have an id that a label is known for."""
    known = samples.ids[samples.are_labelled].astype(str)
    return np.isin(samples.ids.astype(str), known)


def _mass(snapshot: Snapshot, is_first: BoolArray) -> FloatArray:
    """Return how many samples of the stream each one stands for: an equal part of its cell's."""
    cells = [*snapshot.rows.cells, *([] if snapshot.context is None else snapshot.context.cells)]
    counts = dict(zip(snapshot.cells.cells, snapshot.cells.counts.tolist(), strict=True))
    held = Counter(cell for cell, counted in zip(cells, is_first.tolist(), strict=True) if counted)
    parts = [counts[cell] / held[cell] if held[cell] else 0.0 for cell in cells]
    return np.where(is_first, parts, 0.0)
