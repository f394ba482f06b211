"""The selectors by their names."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.clustream import clustream_nearest
from benchmarks.selectors.echo import (
    cell_quotas,
    echo,
    echo_fixed,
    echo_fixed_in_one_pass,
    echo_in_one_pass,
    echo_paper,
)
from benchmarks.selectors.facility import reservoir_facility
from benchmarks.selectors.greedy import herding, k_center
from benchmarks.selectors.medoids import k_medoids, reservoir_medoids
from benchmarks.selectors.merge_reduce import merge_reduce
from benchmarks.selectors.nearest import kmeans_nearest
from benchmarks.selectors.reservoirs import cbrs, gdumb, reservoir
from benchmarks.selectors.sampling import balanced, random
from benchmarks.selectors.sieve import sieve_streaming
from benchmarks.selectors.submodular import facility_location, graph_cut
from benchmarks.selectors.trained import (
    el2n,
    entropy,
    forgetting,
    grand,
    least_confidence,
    margin,
)
from echo_stream._common.typing import IntArray
from echo_stream.errors import ConfigError

Select: TypeAlias = Callable[[DataSet, int, int, dict[str, Any]], Chosen]
"""Given data, budget, seed and options."""

StreamSelect: TypeAlias = Callable[[DataSet, IntArray, int, int, dict[str, Any]], Chosen]
"""Given data, order of its rows, budget, seed and options."""

BATCH: dict[str, Select] = {
    "random": random,
    "balanced": balanced,
    "k-center": k_center,
    "herding": herding,
    "k-medoids": k_medoids,
    "facility-location": facility_location,
    "graph-cut": graph_cut,
    "least-confidence": least_confidence,
    "entropy": entropy,
    "margin": margin,
    "el2n": el2n,
    "grand": grand,
    "forgetting": forgetting,
    "echo": echo,
    "echo-fixed": echo_fixed,
    "echo-paper": echo_paper,
    "echo-quotas": cell_quotas,
}
STREAM: dict[str, StreamSelect] = {
    "reservoir": reservoir,
    "cbrs": cbrs,
    "gdumb": gdumb,
    "reservoir-medoids": reservoir_medoids,
    "reservoir-facility": reservoir_facility,
    "merge-reduce": merge_reduce,
    "sieve-streaming++": sieve_streaming,
    "kmeans-nearest": kmeans_nearest,
    "clustream-nearest": clustream_nearest,
    "echo": echo_in_one_pass,
    "echo-fixed": echo_fixed_in_one_pass,
}

_Found = TypeVar("_Found")


def select(name: str, data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose rows of a training set.

    Raises
    ------
    ConfigError
        If there is no such selector, or the budget is no number of samples.
    """
    return _find(name, BATCH, budget)(data, budget, seed, options)


def stream_select(
    name: str, data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Choose rows of a training set that come one after another, each once.

    Parameters
    ----------
    order : ndarray of shape (n,), int64
        The rows as they come; some, or all.
    """
    return _find(name, STREAM, budget)(data, order, budget, seed, options)


def _find(name: str, selectors: Mapping[str, _Found], budget: int) -> _Found:
    """Return a selector by its name."""
    if budget < 1:
        msg = f"budget must be at least 1; got {budget}"
        raise ConfigError(msg)
    if name not in selectors:
        msg = f"there is no selector {name!r} here; the names are {', '.join(selectors)}"
        raise ConfigError(msg)
    return selectors[name]
