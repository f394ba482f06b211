"""Ours, as a batch build and in one pass over a stream."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.spaces import warmup_size
from benchmarks.selectors.timed import Timed, paid, timed
from echo_stream import EchoCoreset
from echo_stream._common.device import resolve_device
from echo_stream._common.typing import IntArray
from echo_stream.config import EngineConfig
from echo_stream.coreset.rows import Role
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.generation.generation import Generation, train_generation
from echo_stream.samples.samples import Samples
from echo_stream.training.weights import has_proportions

BATCH = 5_000  # samples a call
ROLES: tuple[Role, ...] = ("core", "support")


def echo(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Build the coreset of the training set; options are parameters of `EchoCoreset`."""
    engine = EchoCoreset(budget, seed=seed, **options)
    return _built(engine, data)


def echo_paper(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Build the coreset of the paper.

    Its support comes on top of the budget, and may be of the core too. Encoder and grid know
    neither budget nor support, so that all choices of a seed share one training.
    """
    settings: dict[str, Any] = {"preset": "paper", "seed": seed} | options
    config = replace(EngineConfig(budget, **settings), budget=1, support=0, rank=None)
    generation, spent = paid(_paper_generation, data, config)
    engine = EchoCoreset(budget, generation=generation, **settings)
    return replace(_built(engine, data), spent_before=spent)


@lru_cache(maxsize=1)
def _paper_generation(data: DataSet, config: EngineConfig) -> Timed[Generation]:
    """Train what the paper's preset trains, on all samples."""
    n, device = len(data.x_train), resolve_device("auto")
    return timed(lambda: train_generation(data.x_train, config, expected_n=n, device=device))


def echo_in_one_pass(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Count a stream once, in its order, after a warm-up of a tenth of it.

    Options are parameters of `EchoCoreset`; with *anew*, what is chosen is that on which a
    run trains: in cells found at the end, among the samples that are kept.
    """
    is_anew = options.get("anew", False)
    settings = {"warmup": warmup_size(len(order))} | options
    settings.pop("anew", None)
    engine = EchoCoreset(budget, seed=seed, **settings)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        engine.partial_fit(data.x_train[rows], data.y_train[rows], ids=rows)
    whole = engine.snapshot(refreshed=is_anew)
    snapshot = whole.refreshed if is_anew else whole
    assert snapshot is not None
    return _chosen(snapshot, whole, {"warmup_share": settings["warmup"] / len(order)})


def _built(engine: EchoCoreset, data: DataSet) -> Chosen:
    """Return what an engine chooses of the whole training set."""
    snapshot = engine.fit(data.x_train, data.y_train).snapshot()
    return _chosen(snapshot, snapshot, {})


def _chosen(snapshot: Snapshot, held: Snapshot, info: dict[str, Any]) -> Chosen:
    """Return the rows of a snapshot, whose ids are row numbers.

    The stream's own snapshot says what was held, of which a choice anew keeps a part.
    """
    manifest = snapshot.manifest
    core, support = (_row_numbers(snapshot.select(role)) for role in ROLES)
    info = info | {
        "certified_fraction": snapshot.certified_fraction,
        "retained_share": held.manifest["num_retained"] / held.n,
        "regenerations": manifest["regenerations"],
        "num_cells": len(snapshot.cells.cells),
    }
    if manifest["config"]["balance"] == "class":
        info["labels_seen"] = snapshot.n  # else labels choose nothing
    is_like_all = has_proportions(manifest["config"])
    return Chosen(core, support, snapshot.rows.weights, is_like_all, info)


def _row_numbers(samples: Samples) -> IntArray:
    """Return the row numbers that samples have for ids."""
    return samples.ids.astype(np.int64)
