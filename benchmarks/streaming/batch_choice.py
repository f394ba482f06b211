"""The batch choice computed from all samples at once, on a way of its own.

Nothing here is bounded, and no sketch, pool or certificate takes part: the embedding,
the graph and the dealing of slots are the engine's, all else is sorted anew.
"""

import numpy as np
import torch

from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.config import EngineConfig
from echo_stream.coreset.allocation import allocate_slots, order_cells
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.generation.generation import Generation
from echo_stream.generation.preprocessing import row_chunks
from echo_stream.sketch.graph import build_graph, find_bridges, find_components
from echo_stream.sketch.witnesses import Witnesses

Row = tuple[Cell, str, int, str]
"""What a row claims: cell, role, rank in the cell, id."""


def batch_choice(generation: Generation, config: EngineConfig, x: Array) -> set[Row]:
    """Return what a batch build chooses of x (n, ...), whose ids are its row numbers.

    For presets whose support is a number of samples a cell. O(n D + n log n).
    """
    latent, keys, witnesses = _located(generation, x)
    occupied, positions, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.zeros((len(occupied), latent.shape[1]))
    np.add.at(sums, positions, latent)
    degrees = _degrees(generation, occupied, witnesses, sums / counts[:, None])
    order = order_cells(degrees, counts)
    taken = np.bincount(
        allocate_slots(counts, order, config.core_slots)[0], minlength=len(occupied)
    )
    rows_of = np.split(np.argsort(positions, kind="stable"), np.cumsum(counts)[:-1])
    chosen: set[Row] = set()
    for key, rows, number in zip(occupied.tolist(), rows_of, taken.tolist(), strict=True):
        cell, hashes = generation.quantiser.cell(key), hash_ids(rows)
        core = _core(latent[rows], hashes, number, config)
        chosen |= _claims(cell, "core", rows[core])
        if config.support_size:
            vectors = generation.preprocess(x[rows]).numpy()
            farthest = np.lexsort((hashes, -_spread(vectors)))[: config.support_size]
            chosen |= _claims(cell, "support", rows[farthest])
    return chosen


def claims(snapshot: Snapshot) -> dict[Row, bool]:
    """Return the claims of a snapshot's rows, and whether each is certified."""
    rows = snapshot.rows
    columns = (
        rows.cells,
        rows.roles.tolist(),
        rows.ranks_in_cell.tolist(),
        rows.samples.ids.tolist(),
    )
    return dict(zip(zip(*columns, strict=True), rows.certified.tolist(), strict=True))


def _located(generation: Generation, x: Array) -> tuple[FloatArray, IntArray, Witnesses]:
    """Return z (n, d) and cell (n,) of every sample, and which cells have witnesses."""
    witnesses = Witnesses(generation.quantiser.max_cells)
    latents, keys = [], []
    for part in row_chunks(x):
        latent = generation.latent(generation.preprocess(part))
        located = generation.quantiser.locate(latent)
        if located.second_nearest is not None:
            witnesses.update(located.keys, located.second_nearest)
        latents.append(latent)
        keys.append(located.keys)
    return torch.cat(latents).numpy(), torch.cat(keys).numpy(), witnesses


def _degrees(
    generation: Generation, occupied: IntArray, witnesses: Witnesses, centroids: FloatArray
) -> IntArray:
    """Return the degrees of the occupied cells in the PC graph, from scratch."""
    faces = generation.quantiser.face_pairs(occupied, occupied)
    pairs = np.concatenate([faces, witnesses.pairs_among(occupied)])
    links = np.searchsorted(occupied, pairs).astype(np.int64)
    bridges = find_bridges(centroids, find_components(links, len(occupied)))
    return build_graph(links, bridges, centroids).degrees


def _core(latent: FloatArray, hashes: Array, number: int, config: EngineConfig) -> IntArray:
    """Return the first members of a cell by the rank rule (eq. 5-6), as positions."""
    by_distance, by_hash = np.lexsort((hashes, _spread(latent))), np.argsort(hashes)
    if config.rank == "center":
        return by_distance[:number]
    first = by_distance[: 1 if config.rank == "mixed" else 0]
    return np.concatenate([first, by_hash[~np.isin(by_hash, first)]])[:number]


def _spread(points: Array) -> FloatArray:
    """Return m^2 times the squared distance of each of m points to their mean, exact in ties."""
    exact = points.astype(np.float64)
    return np.asarray(np.square(exact * len(exact) - exact.sum(axis=0)).sum(axis=1))


def _claims(cell: Cell, role: str, rows: IntArray) -> set[Row]:
    """Return the claims of a cell's samples, given in order of rank."""
    return {(cell, role, rank, str(row)) for rank, row in enumerate(rows.tolist(), start=1)}
