"""What a trial chooses: core, support and auxiliary pool, within its protocol's budget."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import DataSet, load
from benchmarks.evaluation.orders import arranged
from benchmarks.evaluation.recipes import Recipe
from benchmarks.evaluation.trial import Trial, resolve_budget, resolve_options
from benchmarks.selectors import Chosen, select, stream_select
from benchmarks.selectors.chosen import timed
from benchmarks.selectors.spaces import forget_vectors
from echo_stream._common.typing import IntArray
from echo_stream.errors import ConfigError

KEPT_SELECTIONS = 8  # of one family each: trials that share one follow each other
KEPT_SETS = 2  # data sets in memory


@dataclass(frozen=True, slots=True)
class Choosing:
    """A selection, and what it took.

    Attributes
    ----------
    chosen : Chosen
        Rows of the training set.
    pool : ndarray of shape (p,), int64
        Rows of the auxiliary pool; disjoint with the others.
    seconds, cpu_seconds : float
        Of the selection, by the clock and in processor time, as if it stood alone.
    """

    chosen: Chosen
    pool: IntArray
    seconds: float
    cpu_seconds: float

    @property
    def support(self) -> IntArray:
        """Rows that training draws on beside the core."""
        return np.concatenate([self.chosen.support, self.pool]).astype(np.int64)

    @property
    def labels(self) -> IntArray:
        """Distinct rows whose label must be known."""
        return np.unique(np.concatenate([self.chosen.core, self.support]))


@lru_cache(maxsize=KEPT_SETS)
def loaded(name: str, folders: tuple[Path, ...]) -> DataSet:
    """Return a data set, read once."""
    return load(name, folders)


def choose(trial: Trial, data: DataSet, folders: Sequence[Path]) -> Choosing:
    """Return what a trial chooses.

    Raises
    ------
    ConfigError
        If that is more than its budget allows.
    """
    budget = _budget(trial, data, folders)
    has_pool = Recipe.parse(trial.recipe).has_pool
    # 1. Under P1 a pool takes its half of the budget.
    pool_size = budget // 2 if trial.protocol == "P1" else budget
    asked = budget - pool_size if has_pool and trial.protocol == "P1" else budget
    found = selected(_question(trial, asked), tuple(folders))
    # 2. The pool is drawn of what the selector has left.
    if has_pool:
        rest = np.setdiff1d(np.arange(len(data.y_train)), found.labels)
        rng = np.random.default_rng([trial.seed, 2])
        found = replace(found, pool=rng.choice(rest, min(pool_size, len(rest)), replace=False))
    # 3. A budget is a promise.
    counted = found.labels if trial.protocol == "P1" else np.unique(found.chosen.core)
    if len(counted) > budget:
        msg = (
            f"{trial.selector} chose {len(counted)} samples where {trial.protocol} allows {budget}"
        )
        raise ConfigError(msg)
    return found


def _budget(trial: Trial, data: DataSet, folders: Sequence[Path]) -> int:
    """Return the budget in samples; where it is that of another's labels, their number."""
    budget = resolve_budget(trial.budget, len(data.y_train))
    if trial.labels_of is None:
        return budget
    name, options = trial.labels_of
    other = replace(trial, selector=name, options=options, labels_of=None)
    return len(selected(_question(other, budget), tuple(folders)).labels)


def _question(trial: Trial, budget: int) -> str:
    """Return all that decides a selection, as JSON, which can be a key of the cache."""
    names = ("data", "selector", "options", "seed", "order")
    return json.dumps({name: getattr(trial, name) for name in names} | {"budget": budget})


@lru_cache(maxsize=KEPT_SELECTIONS)
def selected(question: str, folders: tuple[Path, ...]) -> Choosing:
    """Return the answer to a question, and what it took."""
    asked: dict[str, Any] = json.loads(question)
    data = loaded(asked["data"], folders)
    options = resolve_options(asked["options"], len(data.y_train))
    name, budget, seed, order = (asked[key] for key in ("selector", "budget", "seed", "order"))
    arrival = None if order is None else arranged(order, data.y_train, seed)
    forget_vectors()
    found = timed(
        lambda: (
            select(name, data, budget, seed, options)
            if arrival is None
            else stream_select(name, data, arrival, budget, seed, options)
        )
    )
    before, cpu_before = found.value.spent_before
    return Choosing(
        found.value,
        np.array([], dtype=np.int64),
        found.seconds + before,
        found.cpu_seconds + cpu_before,
    )
