"""Choices by what a model finds hard that has been trained for a few epochs on all labels.

All six train the data set's own model on the whole training set, so that `labels_seen` is all
of it: they are selectors for who has every label and wants to train on less. Options: `epochs`
(10), `models` (1; scores are averaged over so many), `lr` (Adam's), `device`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.scores import Scores, scores
from benchmarks.selectors.timed import paid
from echo_stream._common.typing import FloatArray


def least_confidence(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the largest probability is smallest. Source: Lewis & Gale (1994), SIGIR."""
    return _highest(lambda s: -s.probabilities.max(axis=1), data, budget, seed, options)


def entropy(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the entropy of the probabilities is largest."""
    return _highest(lambda s: _entropy(s.probabilities), data, budget, seed, options)


def margin(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the two largest probabilities are nearest to each other.

    Source: Scheffer et al. (2001), "Active hidden Markov models for information extraction".
    """
    return _highest(lambda s: -_margin(s.probabilities), data, budget, seed, options)


def el2n(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the probabilities are farthest from the label, in Euclidean distance.

    Source: Paul, Ganguli & Dziugaite (2021), "Deep learning on a data diet", NeurIPS.
    """
    return _highest(lambda s: s.errors, data, budget, seed, options)


def grand(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the gradient of the loss is longest: that of the last layer's parameters.

    The paper takes all parameters; the last layer's is what others compute of it, and the
    exact length there. Source: the same as of EL2N.
    """
    return _highest(lambda s: s.gradients, data, budget, seed, options)


def forgetting(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose what has most often been right, and then wrong at its next turn.

    What has never been right goes before all. Source: Toneva et al. (2019), "An empirical
    study of example forgetting during deep neural network learning", ICLR.
    """
    return _highest(lambda s: s.forgotten, data, budget, seed, options)


def _highest(
    score: Callable[[Scores], FloatArray],
    data: DataSet,
    budget: int,
    seed: int,
    options: dict[str, Any],
) -> Chosen:
    """Choose the rows of the highest score, ties at random."""
    scored, spent = paid(scores, data, seed, **options)
    found = score(scored)
    ties = np.random.default_rng(seed).random(len(found))
    core = np.lexsort((ties, -found))[:budget]
    return Chosen(core, info={"labels_seen": len(found)}, spent_before=spent)


def _entropy(probabilities: FloatArray) -> FloatArray:
    """Return the entropy of rows of probabilities, in nats."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1))


def _margin(probabilities: FloatArray) -> FloatArray:
    """Return by how much the largest probability of each row exceeds the second."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return np.asarray(first - second)
