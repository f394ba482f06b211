"""From a sketch to a snapshot: order the cells, deal the slots, rank the members."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from echo_stream._common.typing import Array, Cell, FloatArray, IntArray, Label
from echo_stream._common.version import __version__
from echo_stream.coreset.allocation import order_cells, row_weights
from echo_stream.coreset.choosing import Choice, choose
from echo_stream.coreset.covering import Cover, cover
from echo_stream.coreset.maps import Map, map_of
from echo_stream.coreset.rows import CellRows, ContextRows, CoresetRows, EdgeRows
from echo_stream.coreset.selection import bound_of, explain
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError
from echo_stream.samples.label_counts import label_counts
from echo_stream.samples.members import Member, copies, cross_off, samples_from, united
from echo_stream.samples.samples import Samples
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.cells import CellStatistics
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.graph import PCGraph
from echo_stream.sketch.pools.distance_pools import DistancePools
from echo_stream.sketch.pools.pools import latents
from echo_stream.sketch.size import memory_bound, size_bytes
from echo_stream.sketch.sketch import Sketch

FORMAT_VERSION = 8
_NOT_SOUGHT = (
    "no row is certified where cells follow the stream; coverage_at_least tells how good all are"
)
_ID_DIGEST_BYTES = 4


class Selection(NamedTuple):
    """Counts and sums of the cells, the graph between them, and the samples chosen by both.

    cover is that of adaptive cells, whose choice it is; None for fixed ones.
    """

    statistics: CellStatistics
    graph: PCGraph
    choice: Choice
    cover: Cover | None = None


def take_snapshot(sketch: Sketch) -> Snapshot:
    """Return the coreset of everything a sketch has counted, its tail included.

    The sketch is left as it is. O(M d log M + pools), and the graph's O(M^2 d) when it
    has more than one component.
    """
    sketch = sketch.flushed()
    selection = select(sketch)
    statistics, graph, choice, _ = selection
    centroids = statistics.centroids
    on_map = map_of(statistics)
    rows = _rows(sketch, selection, on_map)
    cells = CellRows(
        cells=[sketch.cell(key) for key in statistics.keys.tolist()],
        counts=statistics.counts,
        degrees=graph.degrees,
        centroids=centroids,
        maps=on_map.places(centroids),
        means=_means(sketch, statistics) if choice.support else _no_means(statistics),
    )
    edges = EdgeRows(
        left=[cells.cells[position] for position in graph.edges[:, 0]],
        right=[cells.cells[position] for position in graph.edges[:, 1]],
        lengths=graph.lengths,
        is_bridge=graph.is_bridge,
    )
    context = _context(sketch, choice) if sketch.config.snapshot_context else None
    manifest = _manifest(sketch, rows, cells, selection, context)
    return Snapshot(rows, cells, edges, manifest, context=context)


def as_provisional(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot taken during a warm-up, marked as provisional."""
    return _named(snapshot, {"provisional": True})


def with_labels(snapshot: Snapshot, labels: Sequence[tuple[str, Label]]) -> tuple[Snapshot, int]:
    """Return a snapshot of the same rows with late labels, and how many labels matched a row.

    Of several labels for one id the last one counts.
    """
    latest = dict(labels)
    rows = replace(snapshot.rows, samples=_with_latest(snapshot.rows.samples, latest))
    held_out, context = snapshot.held_out, snapshot.context
    others = [held_out, None if context is None else context.samples]
    parts = [rows.samples, *(part for part in others if part is not None)]
    known = {str(name) for part in parts for name in part.ids.tolist()}
    num_matched = sum(name in known for name, _ in labels)
    counted = snapshot.manifest
    changed = {
        "labels": _labels_by_role(rows),
        "num_labelled": counted["num_labelled"] + num_matched,
        "num_label_missed": counted["num_label_missed"] + len(labels) - num_matched,
    }
    relabelled = replace(
        snapshot,
        rows=rows,
        held_out=None if held_out is None else _with_latest(held_out, latest),
        context=None
        if context is None
        else replace(context, samples=_with_latest(context.samples, latest)),
    )
    return _named(relabelled, changed), num_matched


def _with_latest(samples: Samples, latest: Mapping[str, Label]) -> Samples:
    """Return samples with labels by id."""
    names = enumerate(map(str, samples.ids.tolist()))
    return samples.relabelled({row: latest[name] for row, name in names if name in latest})


def _labels_by_role(rows: CoresetRows) -> dict[str, Any]:
    """Return how many rows of each role have which label."""
    labels = rows.samples.labels
    assert labels is not None
    return {role: label_counts(labels[rows.roles == role]) for role in ("core", "support")}


def _named(snapshot: Snapshot, changed: Mapping[str, Any]) -> Snapshot:
    """Return a snapshot with a changed manifest, and the id that follows from it."""
    manifest = {**snapshot.manifest, **changed}
    manifest["id"] = f"{snapshot.n:012d}-{_digest(manifest, snapshot.rows, snapshot.context)}"
    return replace(snapshot, manifest=manifest)


def select(sketch: Sketch) -> Selection:
    """Return the selection of a flushed sketch, and what it was made from."""
    statistics = sketch.statistics()
    graph = sketch.draw_graph(statistics)
    if isinstance(sketch, AdaptiveSketch):
        covering = cover(sketch, statistics)
        allocated = np.bincount([row.cell for row in covering.rows], minlength=sketch.num_cells)
        return Selection(statistics, graph, Choice.of(covering.rows, [], [], allocated), covering)
    assert isinstance(sketch, FixedSketch)
    order = order_cells(graph.degrees, statistics.counts)
    return Selection(statistics, graph, choose(sketch.pools, statistics, order, sketch.config))


def explain_cell(sketch: Sketch, cell: Cell) -> dict[str, Any]:
    """Return which samples of a cell are certified, and why others are not."""
    sketch = sketch.flushed()
    statistics, _, choice, _ = select(sketch)
    cells = [sketch.cell(key) for key in statistics.keys.tolist()]
    index = tuple(cell) if isinstance(cell, (tuple, list)) else (cell,)
    if index not in cells:
        msg = f"cell {index} is not occupied; snapshot().cells.cells lists those that are"
        raise ConfigError(msg)
    position = cells.index(index)
    slot, count = int(statistics.slots[position]), int(statistics.counts[position])
    core = [row for row in choice.core if row.cell == position]
    if isinstance(sketch, AdaptiveSketch):
        held = sketch.keys_of(sketch.members()).count(index[0])
        about = explain(core, None, held=held, dropped=count - held, doubt=_NOT_SOUGHT)
        return {"cell": list(index), "count": count, "approximate": False, "core": about}
    assert isinstance(sketch, FixedSketch)
    pools = sketch.pools
    held = len(united(*(side.pools[slot] for side in (pools.nearest, pools.hashed) if side)))
    doubt = doubt_of(sketch, statistics)
    bound = dropped_bound(sketch, pools.nearest, statistics, position, statistics.latent_sums)
    explained = {
        "cell": list(index),
        "count": count,
        "approximate": sketch.is_approximate,
        "core": explain(core, bound, held=held, dropped=count - held, doubt=doubt),
    }
    if pools.support is not None:
        support = [row for row in choice.support if row.cell == position]
        bound = dropped_bound(sketch, pools.support, statistics, position, statistics.input_sums)
        held = len(pools.support.pools[slot])
        explained["support"] = explain(support, bound, held=held, dropped=count - held, doubt=doubt)
    return explained


def doubt_of(sketch: Sketch, statistics: CellStatistics) -> str | None:
    """Return why no cell can be certified; None where cells can."""
    if sketch.is_approximate:
        return "counts are estimates since the generation was trained again; read the source again"
    if isinstance(sketch, AdaptiveSketch):
        return _NOT_SOUGHT
    if not statistics.is_exact:
        return "a cell has counted so many samples that its sums are beyond exact addition"
    return None


def dropped_bound(
    sketch: Sketch,
    pools: DistancePools | None,
    statistics: CellStatistics,
    cell: int,
    sums: FloatArray,
) -> float | None:
    """Return the bound on all that a cell's pool has dropped; None where it is not known."""
    return None if sketch.is_approximate else bound_of(pools, statistics, cell, sums)


def _rows(
    sketch: Sketch,
    selection: Selection,
    on_map: Map,
) -> CoresetRows:
    """Return selected samples and what is known of them as columns."""
    statistics, graph, choice, covering = selection
    roles = ["core"] * len(choice.core) + ["support"] * len(choice.support)
    rows = choice.core + choice.support
    positions = np.array([row.cell for row in rows], dtype=np.int64)
    members = [row.member for row in rows]
    z = latents(members, sketch.generation.encoder.dim)
    return CoresetRows(
        samples=samples_from(members, sketch.generation.schema),
        roles=np.array(roles, dtype=object),
        ranks_in_cell=np.array([row.rank for row in rows], dtype=np.int64),
        cells=[sketch.cell(key) for key in statistics.keys[positions].tolist()],
        degrees=graph.degrees[positions],
        cell_counts=statistics.counts[positions],
        weights=_weights(statistics, positions, members, len(choice.core))
        if covering is None
        else covering.weights,
        certified=np.array([row.is_certified for row in rows], dtype=object),
        latents=z,
        maps=on_map.places(z),
    )


def _context(sketch: Sketch, choice: Choice) -> ContextRows:
    """Return the held samples that were not selected, in an order independent of arrival."""
    chosen = copies(row.member for row in choice.core + choice.support)
    others = {member.tie: member for member in sketch.members() if member.tie not in chosen}
    members = [others[tie] for tie in sorted(others)]
    return ContextRows(
        samples=samples_from(members, sketch.generation.schema),
        cells=[sketch.cell(key) for key in sketch.keys_of(members)],
        latents=latents(members, sketch.generation.encoder.dim),
    )


def _means(sketch: Sketch, statistics: CellStatistics) -> Array:
    """Return the cells' means mu_j as a model sees samples: standardisation undone."""
    generation = sketch.generation
    if generation.features is not None:
        return _no_means(statistics)
    means = statistics.input_sums / statistics.counts[:, None]
    scale, mean = generation.preprocess.scale, generation.preprocess.mean
    if scale is not None and mean is not None:
        means = means * scale.cpu().double().numpy() + mean.cpu().double().numpy()
    return means.astype(np.float32)


def _no_means(statistics: CellStatistics) -> Array:
    """Return the empty means of a snapshot that stores none."""
    return np.zeros((len(statistics.keys), 0), dtype=np.float32)


def _weights(
    statistics: CellStatistics, positions: IntArray, members: list[Member], num_core: int
) -> FloatArray:
    """Return the weight of each row; a sample of the core has none in its row of support."""
    in_core = copies(members[:num_core])
    are_others = [not cross_off(member, in_core) for member in members[num_core:]]
    is_first = np.array([True] * num_core + are_others, dtype=bool)
    per_cell = np.bincount(positions[is_first], minlength=len(statistics.keys))
    weights = row_weights(statistics.counts, per_cell, statistics.centroids, statistics.classes)
    return np.where(is_first, weights[positions], 0.0)


def _manifest(
    sketch: Sketch,
    rows: CoresetRows,
    cells: CellRows,
    selection: Selection,
    context: ContextRows | None,
) -> dict[str, Any]:
    """Return the manifest."""
    held, choice = sketch.members(), selection.choice
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "echo_stream_version": __version__,
        "generation": sketch.generation.id,
        "former_generations": list(sketch.former_generations),
        "regenerations": len(sketch.former_generations),
        "approximate": sketch.is_approximate,
        "provisional": False,
        "config": sketch.config.to_json(),
        "schema": sketch.generation.schema.to_json(),
        "quantiser": sketch.generation.quantiser.describe(),
        "n": sketch.n,
        "num_cells": len(cells.cells),
        "num_held": len(held) + len(sketch.tail),
        "num_context": None if context is None else len(context),
        "labels": _labels_by_role(rows),
        "labels_stream": sketch.label_counts.to_json(),
        "labels_reservoir": label_counts(sketch.reservoir.labels(sketch.config.budget)),
        "num_substituted": choice.num_substituted,
        **sketch.forgotten.counts(),
        **sketch.changes.counts(),
        "num_distinct": int(np.count_nonzero(rows.weights)),
        # A slot without a row counts as not certified.
        "certified_fraction": None
        if selection.cover is not None
        else float(rows.certified.astype(bool).sum() / max(choice.num_slots, 1)),
        "sums_are_exact": sketch.sums_are_exact,
        "state_bytes": size_bytes(sketch, held),
        "state_bytes_bound": memory_bound(sketch),
    }
    for name in (
        "width", "mean_squared_distance", "coverage", "coverage_at_least", "redundancy"
    ):  # fmt: skip
        manifest[name] = getattr(selection.cover, name, None)  # None where cells are fixed
    manifest["id"] = f"{sketch.n:012d}-{_digest(manifest, rows, context)}"
    return manifest


def _digest(manifest: dict[str, Any], rows: CoresetRows, context: ContextRows | None) -> str:
    """Return a digest of the selection and the manifest: equal content, equal id."""
    chosen = [rows.samples.ids.tolist(), rows.roles.tolist(), rows.cells, rows.weights.tolist()]
    beside = None if context is None else context.samples.ids.tolist()
    content = json.dumps([manifest, chosen, beside], sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=_ID_DIGEST_BYTES).hexdigest()
