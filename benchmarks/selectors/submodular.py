"""Facility location and graph cut, by the greedy algorithm of apricot-select.

Both need the similarity of every two samples, n² numbers: no more than the option `max_rows`
(20,000) of the training set are looked at, a uniform sample, and `info` says how many. With
the option `per_class` each class is given an even share of the budget and chosen from by
itself, as DeepCore does it; that looks at all labels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.nearest import nearest_centres
from benchmarks.selectors.sampling import even_shares
from benchmarks.selectors.spaces import vectors
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.errors import ConfigError

FUNCTIONS = {"facility-location": "FacilityLocationSelection", "graph-cut": "GraphCutSelection"}
MAX_ROWS = 20_000  # 3.2 GB of similarities
SYMMETRIC_ROWS = 20_000  # as many times their own transpose, which OpenBLAS is known to survive

Function: TypeAlias = Callable[..., Any]


def facility_location(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose B samples to which all are similar, by the lazy greedy algorithm.

    Maximises the sum over all samples of the similarity to the nearest chosen one. A weight
    is the number of samples that are nearest to it, scaled up to the training set. Source:
    Mirchandani & Francis (1990); lazily, Minoux (1978).
    """
    core, rows, info = _chosen(of_apricot("facility-location"), data, budget, seed, options)
    x = vectors(data)
    owners, _ = nearest_centres(x[rows], x[core])
    counts = np.bincount(owners, minlength=len(core)).astype(np.float64)
    return Chosen(core, weights=counts * (len(x) / len(rows)), info=info)


def graph_cut(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose B samples that are similar to all, and not to each other.

    Maximises alpha times the sum of the similarities of the chosen to all, less that of the
    chosen among themselves. With an alpha of 1, the library's default, the first counts n / B
    times as much: all come from where samples are densest, far behind a random sample, unless
    it is `per_class`. With the option `is_balanced` alpha is 2 B / n, and among equal
    similarities a sample is worth something until the budget is full, and no longer.
    Source: Iyer & Bilmes (2013); as a selector, and class by class, DeepCore, Guo et al. (2022).
    """
    function = of_apricot("graph-cut")
    if options.get("is_balanced"):
        function = partial(function, alpha=2 * budget / min(_most(options), len(data.x_train)))
    core, _, info = _chosen(function, data, budget, seed, options)
    return Chosen(core, info=info)


def of_apricot(name: str) -> Function:
    """Return a function of apricot-select, by a name of `FUNCTIONS`.

    Raises
    ------
    ConfigError
        If the library is not installed.
    """
    try:
        import apricot  # noqa: PLC0415 - slow to import
    except ModuleNotFoundError as err:
        if err.name != "apricot":
            raise
        msg = f"{name} needs apricot-select; `make .venv/.group-bench` installs it"
        raise ConfigError(msg) from err
    function: Function = getattr(apricot, FUNCTIONS[name])
    return function


def similarities(x: Array) -> FloatArray:
    """Return the largest distance less the distance of every two rows of x (n, d): (n, n).

    In place, and so in a third of the memory that the library takes when it is given samples.
    It squares their distances; facility location is that of k-medoids by ours, and on 4,000
    rows of Banking77 models trained on either choice are within half a point (by hand).
    """
    found = distances(x)
    found *= -1
    found -= found.min()
    return found


def distances(x: Array) -> FloatArray:
    """Return the distance of every two rows of x (n, d): (n, n), float64."""
    from sklearn.metrics import pairwise_distances  # noqa: PLC0415 - slow to import

    x = x.astype(np.float64)
    # A matrix times its own transpose is a syrk, of which OpenBLAS with few threads overruns its
    # buffers when there are many rows, and ends the process: numpy's issue 19685. The product
    # with a copy is another routine.
    found: FloatArray = pairwise_distances(x, x if len(x) <= SYMMETRIC_ROWS else x.copy())
    np.fill_diagonal(found, 0)
    return found


def _chosen(
    function: Callable[..., Any], data: DataSet, budget: int, seed: int, options: dict[str, Any]
) -> tuple[IntArray, IntArray, dict[str, Any]]:
    """Return the rows chosen, those looked at, and what there is to say of it."""
    x, rng = vectors(data), np.random.default_rng(seed)
    most = _most(options)
    if most <= budget < len(x):
        msg = f"max_rows must be more than the budget of {budget}, for a choice; got {most}"
        raise ConfigError(msg)
    rows = np.sort(rng.permutation(len(x))[: max(most, budget)])
    info = {"rows": len(rows)}
    if not options.get("per_class"):
        return rows[_maximise(function, x[rows], budget)], rows, info
    labels = data.y_train[rows]
    parts = []
    for label, share in enumerate(even_shares(np.bincount(labels), budget, rng)):
        members = rows[labels == label]
        parts.append(members[_maximise(function, x[members], int(share))])
    return np.concatenate(parts), rows, info | {"labels_seen": len(rows)}


def _most(options: dict[str, Any]) -> int:
    """Return how many rows are looked at, at most."""
    return int(options.get("max_rows", MAX_ROWS))


def _maximise(function: Callable[..., Any], x: Array, budget: int) -> IntArray:
    """Return rows of x (n, d) for which a function of the library is large."""
    if not 0 < budget < len(x):
        return np.arange(min(budget, len(x)))
    return greedy(function, similarities(x), budget)


def greedy(function: Callable[..., Any], similar: FloatArray, budget: int) -> IntArray:
    """Return rows for which a function of the library is large, given all similarities (n, n)."""
    selector = function(budget, metric="precomputed", optimizer="lazy")
    return np.asarray(selector.fit(similar).ranking, np.int64)
