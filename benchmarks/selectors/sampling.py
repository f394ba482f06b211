"""Random samples: uniform, and balanced over the classes."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from echo_stream._common.typing import IntArray


def random(data: DataSet, budget: int, seed: int, _: dict[str, Any]) -> Chosen:
    """Choose uniformly."""
    return Chosen(np.random.default_rng(seed).permutation(len(data.x_train))[:budget])


def balanced(data: DataSet, budget: int, seed: int, _: dict[str, Any]) -> Chosen:
    """Choose uniformly within each class, as many of each as there are."""
    rng = np.random.default_rng(seed)
    shares = even_shares(np.bincount(data.y_train), budget, rng)
    rows = [rng.permutation(np.flatnonzero(data.y_train == c))[:k] for c, k in enumerate(shares)]
    return Chosen(rng.permutation(np.concatenate(rows)), info={"labels_seen": len(data.y_train)})


def even_shares(counts: IntArray, budget: int, rng: np.random.Generator) -> IntArray:
    """Deal a budget to classes as evenly as their counts allow.

    What is left over in the last round goes to random classes.

    Examples
    --------
    >>> even_shares(np.array([2, 9, 9]), 10, np.random.default_rng(0)).tolist()
    [2, 4, 4]
    """
    shares = np.zeros(len(counts), np.int64)
    budget = min(budget, int(counts.sum()))
    while shares.sum() < budget:
        open_classes = rng.permutation(np.flatnonzero(shares < counts))
        shares[open_classes[: budget - shares.sum()]] += 1
    return shares
