"""Ours with slots that follow the counts of cells, which the engine has no setting for."""

from typing import Any

import numpy as np
import torch

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array, FloatArray, IntArray
from echo_stream.coreset.dealing import row_weights
from echo_stream.generation.generation import Generation
from echo_stream.generation.preprocessing import row_chunks

SLOTS_PER_CELL = 4  # with as many cells as slots, as by default, each has one by any rule


def cell_quotas(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Deal slots to cells by a power of their counts, and take the nearest to each centre.

    Each cell has a slot, and of m samples with r slots it has a claim of m^p / (r + 1) to one
    more. The option `power`, p, is 0 for equal rounds, as the engine deals them, and 1 for
    slots in proportion to the counts. Cells are those that `EchoCoreset` finds for a quarter
    of the budget. Weights are as its own.
    """
    engine = EchoCoreset(max(budget // SLOTS_PER_CELL, 1), seed=seed).fit(data.x_train)
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
    keys = [generation.partition.locate(part).keys for part in parts]
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
