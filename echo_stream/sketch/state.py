"""Make a sketch of either kind: empty, or bit for bit from its named arrays and JSON."""

import math
import sys
from typing import Any

import numpy as np
import torch

from echo_stream._common.typing import Array, Label, State
from echo_stream.config import EngineConfig
from echo_stream.generation.generation import Generation
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes
from echo_stream.samples.label_counts import LabelCounts
from echo_stream.samples.members import (
    Member,
    Tie,
    members_from,
    samples_from,
    tie_from_json,
    tie_to_json,
)
from echo_stream.samples.payloads import pack_payloads, unpack_payloads
from echo_stream.samples.samples import Origin, Samples, as_objects, label_of
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.cells import CellTable
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.pools.bounded_pool import BoundedPool
from echo_stream.sketch.pools.pools import latents, vectors_of
from echo_stream.sketch.sketch import Sketch


def new_sketch(generation: Generation, config: EngineConfig, device: torch.device) -> Sketch:
    """Return an empty sketch with the kind of cells that a generation has."""
    is_adaptive = generation.quantiser.kind == "adaptive"
    return (AdaptiveSketch if is_adaptive else FixedSketch)(generation, config, device)


def sketch_to_state(sketch: Sketch) -> State:
    """Return everything a sketch holds but its generation and configuration.

    O(size of the sketch). The arrays are copies.
    """
    members = list({member.tie: member for member in sketch.members()}.values())
    number = {member.tie: row for row, member in enumerate(members)}
    held = samples_from(members, sketch.generation.schema)
    arrays = {
        **_with_names("members.", samples_to_arrays(held)),
        "members.latent": latents(members, sketch.generation.encoder.dim),
        "reservoir.members": np.array([number[m.tie] for m in sketch.reservoir.members], np.int64),
    }
    if sketch.generation.features is not None:
        arrays["members.vectors"] = vectors_of(members, sketch.generation)
    meta: dict[str, Any] = {
        "members": columns_to_json(held),
        "reservoir_limit": sketch.reservoir.limit_to_json(),
        "approximate": sketch.is_approximate,
        "sums_are_exact": sketch.sums_are_exact,
        "former_generations": list(sketch.former_generations),
        "forgotten": sketch.forgotten.to_json(),
        "changes": sketch.changes.to_json(),
        "label_counts": sketch.label_counts.to_json(),
    }
    if isinstance(sketch, AdaptiveSketch):
        _add_adaptive(sketch, number, arrays, meta)
    else:
        assert isinstance(sketch, FixedSketch)
        _add_fixed(sketch, number, arrays, meta)
    tail = sketch.tail.peek()
    if tail is not None:
        arrays |= _with_names("tail.", samples_to_arrays(tail))
        meta["tail"] = columns_to_json(tail)
    return arrays, meta


def _add_fixed(
    sketch: FixedSketch, number: dict[Tie, int], arrays: dict[str, Array], meta: dict[str, Any]
) -> None:
    """Add the sums, pools and witnesses of fixed cells."""
    pools = sketch.pools
    arrays |= {f"table.{name}": column for name, column in sketch.table.to_arrays().items()}
    arrays |= {
        "period_counts": pools.period_counts.copy(),
        "unoffered": pools.unoffered.copy(),
        "witnesses": sketch.witnesses.rows(),
    }
    for name, side in pools.ordered.items():
        arrays |= {f"{name}.{key}": column for key, column in side.to_arrays().items()}
        arrays[f"{name}.members"] = _pool_rows(side.pools, number)
    if pools.hashed is not None:
        arrays["hashed.members"] = _pool_rows(pools.hashed.pools, number)
    ends = {} if pools.hashed is None else pools.hashed.ends
    meta |= {
        "hash_ends": [[slot, tie_to_json(tie)] for slot, tie in sorted(ends.items())],
        "quota": [None if math.isinf(rounds) else int(rounds) for rounds in pools.quotas.of(0)],
        "drop_proofs": {name: side.drop_proofs() for name, side in pools.ordered.items()},
        "ends": {name: side.ends() for name, side in pools.ordered.items()},
    }
    if sketch.config.balance == "class":
        meta["class_quotas"] = pools.quotas.to_json()


def _add_adaptive(
    sketch: AdaptiveSketch, number: dict[Tie, int], arrays: dict[str, Array], meta: dict[str, Any]
) -> None:
    """Add the sums of adaptive cells, what they hold, and where the reservoir was counted."""
    cells, owners = sketch.cells, sketch.owners
    arrays |= {f"cells.{name}": column for name, column in cells.to_arrays().items()}
    nearest = [-1 if member is None else number[member.tie] for member in cells.nearest]
    arrays["cells.nearest"] = np.array(nearest, dtype=np.int64)
    counted_in = [(number[tie], key) for tie, keys in owners.items() for key in keys]
    arrays["owners"] = np.array(counted_in, dtype=np.int64).reshape(-1, 2)
    meta["cells"] = cells.to_json()


def sketch_from_state(
    state: State, generation: Generation, config: EngineConfig, device: torch.device
) -> Sketch:
    """Restore a sketch that continues exactly as the one written by `sketch_to_state`."""
    arrays, meta = state
    sketch = new_sketch(generation, config, device)
    held = samples_from_state(with_prefix(arrays, "members."), meta["members"])
    members = members_from(held, arrays["members.latent"], arrays.get("members.vectors"))
    chosen = [members[number] for number in arrays["reservoir.members"].tolist()]
    sketch.reservoir.restore(chosen, meta["reservoir_limit"])
    if isinstance(sketch, AdaptiveSketch):
        _restore_adaptive(sketch, members, arrays, meta)
    else:
        assert isinstance(sketch, FixedSketch)
        _restore_fixed(sketch, members, arrays, meta)
    sketch.is_approximate = meta["approximate"]
    sketch.former_generations = list(meta["former_generations"])
    sketch.forgotten.restore(meta["forgotten"])
    sketch.changes = Changes.from_json(meta["changes"])
    sketch.label_counts = LabelCounts.from_json(meta["label_counts"])
    if "tail" in meta:
        tail = samples_from_state(with_prefix(arrays, "tail."), meta["tail"])
        sketch.tail = SampleBuffer(tail)
    sketch.num_applied = int(sketch.statistics().counts.sum())
    if isinstance(sketch, AdaptiveSketch):  # fewer samples may be to be held now
        sketch.fit_room(chosen)
    return sketch


def _restore_fixed(
    sketch: FixedSketch, members: list[Member], arrays: dict[str, Array], meta: dict[str, Any]
) -> None:
    """Undo `_add_fixed`."""
    sketch.table = CellTable.from_arrays(
        with_prefix(arrays, "table."),
        sketch.generation,
        sketch.device,
        was_exact=meta["sums_are_exact"],
    )
    pools = sketch.pools
    pools.quotas.restore(meta.get("class_quotas") or [[0, *meta["quota"]]])
    pools.extend(sketch.table)
    pools.period_counts = np.array(arrays["period_counts"])
    pools.unoffered = np.array(arrays["unoffered"])
    for name, side in pools.ordered.items():
        held_by = _members_by_slot(arrays[f"{name}.members"], members, len(sketch.table))
        proofs, ends = meta["drop_proofs"][name], meta["ends"][name]
        side.restore(with_prefix(arrays, f"{name}."), proofs, ends, held_by)
    if pools.hashed is not None:
        ends = meta["hash_ends"]
        pools.hashed.ends = {slot: tie_from_json(tie) for slot, tie in ends}
        pools.hashed.fill(_members_by_slot(arrays["hashed.members"], members, len(sketch.table)))
    sketch.witnesses.restore(arrays["witnesses"])


def _restore_adaptive(
    sketch: AdaptiveSketch, members: list[Member], arrays: dict[str, Array], meta: dict[str, Any]
) -> None:
    """Undo `_add_adaptive`."""
    nearest = [None if row < 0 else members[row] for row in arrays["cells.nearest"].tolist()]
    was_exact = meta["sums_are_exact"]
    sketch.cells.restore(with_prefix(arrays, "cells."), nearest, meta["cells"], was_exact)
    for row, key in arrays["owners"].tolist():
        sketch.owners.setdefault(members[row].tie, []).append(key)


def samples_to_arrays(samples: Samples) -> dict[str, Array]:
    """Return x and payloads of samples as named arrays."""
    return {
        "x": samples.x,
        **pack_payloads([] if samples.payloads is None else samples.payloads.tolist()),
    }


def columns_to_json(samples: Samples) -> dict[str, Any]:
    """Return ids, labels and origins of samples as JSON; sent labels where they are others."""
    origins = samples.origins
    columns = {
        "ids": [str(sample_id) for sample_id in samples.ids],
        "labels": _labels_to_json(samples.labels),
        "origins": None if origins is None else origins.tolist(),  # JSON takes tuples as lists
    }
    if samples.sent_labels is not None:
        columns["sent_labels"] = _labels_to_json(samples.sent_labels)
    return columns


def samples_from_state(arrays: dict[str, Array], columns: dict[str, Any]) -> Samples:
    """Return the samples that `samples_to_arrays` and `columns_to_json` wrote."""
    origins, sent_labels = columns["origins"], columns.get("sent_labels")
    return Samples(
        x=arrays["x"],
        ids=as_objects(columns["ids"]),
        labels=None if columns["labels"] is None else as_objects(columns["labels"]),
        origins=None if origins is None else as_objects([o and _origin(*o) for o in origins]),
        sent_labels=None if sent_labels is None else as_objects(sent_labels),
        payloads=unpack_payloads(arrays),
    )


def _origin(topic: str, *place: int) -> Origin:
    """Return an origin; topics are few, and each name is kept once."""
    return Origin(sys.intern(topic), *place)


def _labels_to_json(labels: Array | None) -> list[Label] | None:
    """Return labels as JSON."""
    return None if labels is None else [label_of(label) for label in labels]


def _pool_rows(pools: list[BoundedPool], number: dict[Tie, int]) -> Array:
    """Return the pools' content as rows of (slot, member number), int64."""
    rows = [(slot, number[member.tie]) for slot, pool in enumerate(pools) for member in pool]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _members_by_slot(rows: Array, members: list[Member], num_cells: int) -> list[list[Member]]:
    """Undo `_pool_rows`."""
    found: list[list[Member]] = [[] for _ in range(num_cells)]
    for slot, number in rows.tolist():
        found[slot].append(members[number])
    return found


def _with_names(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return arrays with a prefix to their names."""
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def with_prefix(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays whose name has a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
