"""Ours, of all samples at once and in one pass; also with quotas the engine has no setting for."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen, Timed, paid, timed
from benchmarks.selectors.reservoirs import held_info, num_held
from benchmarks.selectors.spaces import warmup_size
from echo_stream import EchoCoreset
from echo_stream._common.device import resolve_device
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.config import EngineConfig
from echo_stream.coreset.allocation import row_weights
from echo_stream.coreset.rows import Role
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.generation.generation import Generation, train_generation
from echo_stream.generation.preprocessing import row_chunks
from echo_stream.samples.samples import Samples
from echo_stream.training.weights import has_proportions

BATCH = 5_000  # samples a call
ROLES: tuple[Role, ...] = ("core", "support")


def echo(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Build the coreset of the training set; options are parameters of `EchoCoreset`."""
    engine = EchoCoreset(budget, seed=seed, **options)
    return _built(engine, data)


def echo_fixed(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Build the coreset of the training set in fixed cells; options as for `echo`."""
    return echo(data, budget, seed, {"preset": "fixed"} | options)


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
    """Count a stream once, in its order.

    Options are parameters of `EchoCoreset`; with `held` no more payloads than that are held, the
    budget's own and those of the warm-up included.
    """
    settings, info = dict(options), dict[str, Any]()
    if "held" in settings:
        held = num_held(options, len(order), budget)
        info = held_info(min(held, len(order)), len(order))  # what the engine promises
        settings["keep"] = held - budget
        del settings["held"]
    engine = EchoCoreset(budget, seed=seed, **settings)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        engine.partial_fit(data.x_train[rows], data.y_train[rows], ids=rows)
    info["warmup_share"] = engine.config.warmup_size / len(order)
    return _chosen(engine.snapshot(), info)


def echo_fixed_in_one_pass(
    data: DataSet, order: IntArray, budget: int, seed: int, options: dict[str, Any]
) -> Chosen:
    """Count a stream once in fixed cells, after a warm-up of a tenth; options as for `echo`."""
    settings = {"preset": "fixed", "warmup": warmup_size(len(order))} | options
    return echo_in_one_pass(data, order, budget, seed, settings)


def _built(engine: EchoCoreset, data: DataSet) -> Chosen:
    """Return what an engine chooses of the whole training set."""
    return _chosen(engine.fit(data.x_train, data.y_train).snapshot(), {})


def _chosen(snapshot: Snapshot, info: dict[str, Any]) -> Chosen:
    """Return the rows of a snapshot, whose ids are row numbers."""
    manifest = snapshot.manifest
    core, support = (_row_numbers(snapshot.select(role)) for role in ROLES)
    info = info | {
        "certified_fraction": snapshot.certified_fraction,
        "held_share": manifest["num_held"] / snapshot.n,
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


SLOTS_PER_CELL = 4  # with as many cells as slots, as by default, each has one by any rule


def cell_quotas(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Deal slots to cells by a power of their counts, and take the nearest to each centre.

    Each cell has a slot, and of m samples with r slots it has a claim of m^p / (r + 1) to one
    more. The option `power`, p, is 0 for equal rounds, as the engine deals them, and 1 for
    slots in proportion to the counts. Cells are the fixed ones for a quarter of
    the budget. Weights are as its own.
    """
    engine = EchoCoreset(max(budget // SLOTS_PER_CELL, 1), preset="fixed", seed=seed)
    engine.fit(data.x_train)
    keys, latent = _located(engine.generation_, data.x_train)
    _, cells, counts = np.unique(keys, return_inverse=True, return_counts=True)
    centroids = _means(latent, cells)
    ranks = _ranks(cells, np.square(latent - centroids[cells]).sum(axis=1))
    claims = counts[cells] ** float(options.get("power", 0.0)) / ranks
    core = np.lexsort((cells, -counts[cells], -claims, ranks > 1))[:budget]
    rows = np.bincount(cells[core], minlength=len(counts))
    weights = row_weights(counts, rows, centroids, np.zeros_like(counts))
    return Chosen(core, weights=weights[cells[core]], info={"num_cells": len(counts)})


def _located(generation: Generation, x: Array) -> tuple[IntArray, FloatArray]:
    """Return the key of each sample's cell, (n,), and where samples are, (n, d)."""
    parts = [generation.latent(generation.vectors(part)) for part in row_chunks(x)]
    keys = [generation.quantiser.locate(part).keys for part in parts]
    return torch.cat(keys).cpu().numpy(), torch.cat(parts).cpu().numpy()


def _means(latent: FloatArray, cells: IntArray) -> FloatArray:
    """Return the mean of the points of each cell, (M, d)."""
    by_cell = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[by_cell], np.arange(cells.max() + 1))
    totals = np.add.reduceat(latent[by_cell], starts)
    return np.asarray(totals / np.bincount(cells)[:, None])


def _ranks(cells: IntArray, distances: FloatArray) -> IntArray:
    """Return for each sample how many of its cell are as near or nearer, ties by row."""
    nearest_first = np.lexsort((distances, cells))
    starts = np.searchsorted(cells[nearest_first], cells)
    ranks = np.empty(len(cells), np.int64)
    ranks[nearest_first] = np.arange(len(cells))
    return ranks - starts + 1
