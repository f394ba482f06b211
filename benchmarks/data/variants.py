"""Versions of a data set: long-tailed, or with a validation part for the test set."""

from dataclasses import replace

import numpy as np

from benchmarks.data.dataset import DataSet
from echo_stream._common.typing import IntArray

SEED = 0  # of every split: a data set is the same one in every trial
LEAST_SHARE = 0.01  # of the largest class, that the last class of a long tail keeps
VALIDATION_PARTS = 5  # one of so many is for validation


def validated(data: DataSet) -> DataSet:
    """Return a data set whose test set is the last fifth of a seeded shuffle of the training set.

    Settings are chosen on it, so that the real test set is never looked at.
    """
    rows = np.random.default_rng(SEED).permutation(len(data.x_train))
    cut = len(rows) - len(rows) // VALIDATION_PARTS
    train, valid = np.sort(rows[:cut]), np.sort(rows[cut:])
    held = replace(data, x_test=data.x_train[valid], y_test=data.y_train[valid])
    return held.part(train)


def long_tailed(data: DataSet) -> DataSet:
    """Return a data set of which class c keeps n_max 0.01^(c / (classes - 1)) samples.

    The first of a seeded shuffle, at least one, in the order of the source; n_max is the size
    of the largest class. The test set stays as it is.
    """
    classes, counts = np.unique(data.y_train, return_counts=True)
    shares = LEAST_SHARE ** (np.arange(len(classes)) / max(len(classes) - 1, 1))
    sizes = np.minimum(counts, np.maximum((counts.max() * shares).round().astype(np.int64), 1))
    rng = np.random.default_rng(SEED)
    kept = [
        rng.permutation(np.flatnonzero(data.y_train == label))[:size]
        for label, size in zip(classes, sizes, strict=True)
    ]
    return data.part(np.sort(np.concatenate(kept)))


def stratified_halves(y: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows of two halves, each with half of every class, in the order of the source."""
    rng = np.random.default_rng(SEED)
    halves = [np.array_split(rng.permutation(np.flatnonzero(y == c)), 2) for c in np.unique(y)]
    first, second = (np.sort(np.concatenate(parts)) for parts in zip(*halves, strict=True))
    return first, second
