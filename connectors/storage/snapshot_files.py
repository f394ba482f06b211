"""Snapshots as Parquet and JSON, and back."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echo_stream._common.typing import Array, Cell, Label
from echo_stream.connectors.storage.snapshots import (
    CORESET_FILE,
    checked_manifest,
    open_snapshot,
    snapshot_manifest,
)
from echo_stream.connectors.storage.units import FileWriter, write_unit
from echo_stream.coreset.rows import CellRows, ContextRows, CoresetRows, EdgeRows
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import SnapshotError, first_line
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.validation import SampleSchema

TABLES = ("coreset", "cells", "edges")


def write_snapshot(
    snapshot: Snapshot,
    destination: Path,
    *,
    time: str,
    offsets: Mapping[str, int],
    more_files: Mapping[str, FileWriter] | None = None,
) -> None:
    """Write a snapshot as a unit.

    Parameters
    ----------
    snapshot : Snapshot
    destination : Path
    time : str
        When it was taken, for the manifest.
    offsets : mapping
        Source offsets up to which it has counted, for the manifest.
    more_files : mapping, optional
        Files to write beside its own.
    """
    files = (
        _table_files(snapshot)
        | _context_files(snapshot)
        | _held_out_files(snapshot.held_out)
        | dict(more_files or {})
    )
    manifest = {**snapshot.manifest, "time": time, "offsets": dict(offsets)}
    write_unit(destination, files, manifest)


def read_snapshot(unit: Path) -> Snapshot:
    """Read a snapshot, checking every file against its checksum.

    Raises
    ------
    SnapshotError
        If there is none, or it is damaged.
    """
    manifest = checked_manifest(unit)
    tables = _tables(unit)
    return Snapshot(
        rows=_coreset_rows(tables["coreset"], SampleSchema.from_json(manifest["schema"])),
        cells=_cell_rows(tables["cells"]),
        edges=_edge_rows(tables["edges"]),
        manifest=manifest,
        held_out=_read_held_out(unit, manifest),
        context=_read_context(unit, manifest),
    )


def read_tables(unit: Path) -> dict[str, pa.Table]:
    """Return the three tables of a snapshot as Arrow.

    Raises
    ------
    SnapshotError
        If there is no such snapshot, or one of these files is damaged.
    """
    checked_manifest(unit, [f"{name}.parquet" for name in TABLES])
    return _tables(unit)


def _tables(unit: Path) -> dict[str, pa.Table]:
    """Return the three tables of a snapshot that has been checked."""
    try:
        return {name: pq.read_table(unit / f"{name}.parquet") for name in TABLES}
    except (OSError, pa.ArrowException) as err:
        raise _unreadable(unit, err) from err


def _unreadable(unit: Path, err: Exception) -> SnapshotError:
    """Return the error for a snapshot of which a file cannot be read."""
    return SnapshotError(f"cannot read the snapshot {unit}: {first_line(err)}")


def ids_of(unit: Path) -> frozenset[str]:
    """Return the ids of all rows of a snapshot's coreset.

    Raises
    ------
    SnapshotError
        If there is no such snapshot, or it is damaged.
    """
    checked_manifest(unit, [CORESET_FILE])
    try:
        return frozenset(pq.read_table(unit / CORESET_FILE, columns=["id"])["id"].to_pylist())
    except (OSError, pa.ArrowException) as err:
        raise _unreadable(unit, err) from err


def roles_of(unit: Path, sample_id: str) -> set[str]:
    """Return the roles that a sample has in a snapshot; none if it is not in it.

    They are "core", "support", "context" and "held out".

    Raises
    ------
    SnapshotError
        If the snapshot is damaged.
    """
    listed = snapshot_manifest(unit)["files"]
    names = [name for name in (CORESET_FILE, CONTEXT_FILE, _HELD_OUT_FILE) if name in listed]
    checked_manifest(unit, names)
    try:
        table = pq.ParquetFile(unit / CORESET_FILE).read(columns=["id", "role"])
        ids, roles = table["id"].to_pylist(), table["role"].to_pylist()
        found = {role for one, role in zip(ids, roles, strict=True) if one == sample_id}
        others = {CONTEXT_FILE: "context", _HELD_OUT_FILE: "held out"}
        return found | {
            role
            for file, role in others.items()
            if file in names and _is_in(unit / file, sample_id)
        }
    except (OSError, pa.ArrowException) as err:
        raise _unreadable(unit, err) from err


def _table_files(snapshot: Snapshot) -> dict[str, FileWriter]:
    """Return what writes the three tables of a snapshot, by file name."""
    schema = SampleSchema.from_json(snapshot.manifest["schema"])
    tables = {
        "coreset": coreset_table(snapshot.rows, schema, _label_type(snapshot)),
        "cells": _cells_table(snapshot.cells),
        "edges": _edges_table(snapshot.edges),
    }
    return {f"{name}.parquet": _parquet_writer(table) for name, table in tables.items()}


def _parquet_writer(table: pa.Table) -> FileWriter:
    """Return what writes a table as Parquet."""
    return lambda path: pq.write_table(table, path, compression="zstd")


def coreset_table(
    rows: CoresetRows, schema: SampleSchema, label_type: pa.DataType | None = None
) -> pa.Table:
    """Return the rows of a coreset as Arrow; dtype and shape of x are in the metadata.

    Labels are of a type that all rows can have, unless another one is given.
    """
    samples = rows.samples
    columns = {
        "id": pa.array([str(sample_id) for sample_id in samples.ids], pa.string()),
        "role": pa.array(rows.roles.tolist(), pa.string()),
        "selection_rank": pa.array(range(len(rows)), pa.int32()),
        "rank_in_cell": pa.array(rows.ranks_in_cell, pa.int32()),
        "cell": _cell_column(rows.cells),
        "degree": pa.array(rows.degrees, pa.int32()),
        "cell_count": pa.array(rows.cell_counts, pa.int64()),
        "weight": pa.array(rows.weights, pa.float64()),
        "certified": pa.array(rows.certified.tolist(), pa.bool_()),
        "label": label_column(_labels_of(samples), label_type),
        "z": _vector_column(rows.latents),
        "map": _vector_column(rows.maps),
        "x": _vector_bytes(samples.x),
        **payload_columns(samples),
        **origin_columns(samples),
    }
    return _with_schema(pa.table(columns), schema)


def _labels_of(samples: Samples) -> list[Label]:
    """Return the labels of samples, None where unknown."""
    return [None] * len(samples) if samples.labels is None else samples.labels.tolist()


def origin_columns(samples: Samples) -> dict[str, pa.Array]:
    """Return where samples came from, as one column for each part of it."""
    origins = [None] * len(samples) if samples.origins is None else samples.origins.tolist()
    kinds = {"topic": pa.string(), "partition": pa.int32(), "offset": pa.int64()}
    return {
        name: pa.array([origin and origin[place] for origin in origins], kind)
        for place, (name, kind) in enumerate({**kinds, "timestamp": pa.int64()}.items())
    }


def _coreset_rows(table: pa.Table, schema: SampleSchema) -> CoresetRows:
    """Undo `coreset_table`."""
    columns = table.to_pydict()
    return CoresetRows(
        samples=_samples(columns, schema),
        roles=as_objects(columns["role"]),
        ranks_in_cell=np.array(columns["rank_in_cell"], dtype=np.int64),
        cells=[tuple(cell) for cell in columns["cell"]],
        degrees=np.array(columns["degree"], dtype=np.int64),
        cell_counts=np.array(columns["cell_count"], dtype=np.int64),
        weights=np.array(columns["weight"], dtype=np.float64),
        certified=as_objects(columns["certified"]),
        latents=_vectors(columns["z"]),
        maps=_vectors(columns["map"]),
    )


def _samples(columns: Mapping[str, Sequence[Any]], schema: SampleSchema) -> Samples:
    """Return the samples of a table with payloads, ids, labels and origins."""
    origin_columns = [columns[name] for name in ("topic", "partition", "offset", "timestamp")]
    origins = [
        None if origin[0] is None else Origin(*origin)
        for origin in zip(*origin_columns, strict=True)
    ]
    return Samples(
        x=_vectors_of_bytes(columns["x"], schema),
        ids=as_objects(columns["id"]),
        labels=as_objects(columns["label"]),
        origins=as_objects(origins),
        payloads=_payloads(columns),
    )


def _payloads(columns: Mapping[str, Sequence[Any]]) -> Array | None:
    """Undo `payload_columns`."""
    return as_objects(columns["payload"]) if "payload" in columns else None


def _cells_table(cells: CellRows) -> pa.Table:
    """Return the occupied cells as Arrow."""
    return pa.table(
        {
            "cell": _cell_column(cells.cells),
            "count": pa.array(cells.counts, pa.int64()),
            "centroid": _vector_column(cells.centroids, pa.float64()),
            "map": _vector_column(cells.maps),
            "degree": pa.array(cells.degrees, pa.int32()),
            "mean": _mean_column(cells.means),
        }
    )


def _cell_rows(table: pa.Table) -> CellRows:
    """Undo `_cells_table`."""
    columns = table.to_pydict()
    return CellRows(
        cells=[tuple(cell) for cell in columns["cell"]],
        counts=np.array(columns["count"], dtype=np.int64),
        degrees=np.array(columns["degree"], dtype=np.int64),
        centroids=_vectors(columns["centroid"]),
        maps=_vectors(columns["map"]),
        means=_means(table),
    )


def _mean_column(means: Array) -> pa.Array:
    """Return the cells' means as lists; null where there are none."""
    if means.shape[1] == 0:
        return pa.nulls(len(means), pa.large_list(pa.float32()))
    # Large: cells times features may be more than an int32 can count.
    offsets = np.arange(len(means) + 1, dtype=np.int64) * means.shape[1]
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(means.reshape(-1)))


def _means(table: pa.Table) -> Array:
    """Undo `_mean_column`; snapshots of before it have no such column."""
    column = table.column("mean").combine_chunks() if "mean" in table.column_names else None
    if column is None or column.null_count == len(column):
        return np.zeros((len(table), 0), dtype=np.float32)
    return np.array(column.flatten(), dtype=np.float32).reshape(len(table), -1)


def _edges_table(edges: EdgeRows) -> pa.Table:
    """Return the edges of the graph as Arrow."""
    return pa.table(
        {
            "left": _cell_column(edges.left),
            "right": _cell_column(edges.right),
            "length": pa.array(edges.lengths, pa.float64()),
            "is_bridge": pa.array(edges.is_bridge.tolist(), pa.bool_()),
        }
    )


def _edge_rows(table: pa.Table) -> EdgeRows:
    """Undo `_edges_table`."""
    columns = table.to_pydict()
    return EdgeRows(
        left=[tuple(cell) for cell in columns["left"]],
        right=[tuple(cell) for cell in columns["right"]],
        lengths=np.array(columns["length"], dtype=np.float64),
        is_bridge=np.array(columns["is_bridge"], dtype=bool),
    )


def _cell_column(cells: list[Cell]) -> pa.Array:
    """Return cell indices as lists of int32."""
    return pa.array([list(cell) for cell in cells], pa.list_(pa.int32()))


def _vector_column(vectors: Array, kind: pa.DataType | None = None) -> pa.Array:
    """Return vectors as lists, of float32 unless told otherwise."""
    return pa.array(vectors.tolist(), pa.list_(kind or pa.float32()))


def _vectors(rows: list[list[float]]) -> Array:
    """Return lists of numbers as an array of shape (n, k), float64."""
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 0))


def label_column(labels: Sequence[Label], kind: pa.DataType | None = None) -> pa.Array:
    """Return labels as int64 if all are integers, float64 if all are numbers, else as text.

    kind is the type of the column where others have to have the same.
    """
    kind = _type_of(labels) if kind is None else kind
    convert = {pa.int64(): int, pa.float64(): float, pa.string(): str}[kind]
    return pa.array([None if y is None else convert(y) for y in labels], kind)


def _type_of(labels: Iterable[Label]) -> pa.DataType:
    """Return the type that a column of all labels has."""
    kinds = {type(label) for label in labels if label is not None}
    if kinds <= {int}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else pa.string()


def _label_type(snapshot: Snapshot) -> pa.DataType:
    """Return the type of labels in rows and context: one label is the same in both."""
    context = [] if snapshot.context is None else _labels_of(snapshot.context.samples)
    return _type_of([*_labels_of(snapshot.rows.samples), *context])


def payload_columns(samples: Samples) -> dict[str, pa.Array]:
    """Return the column of payloads, where samples have any: text, or binary if any are bytes."""
    if samples.payloads is None:
        return {}
    payloads = samples.payloads.tolist()
    if not any(isinstance(payload, bytes) for payload in payloads):
        return {"payload": pa.array(payloads, pa.string())}
    as_bytes = [one.encode() if isinstance(one, str) else one for one in payloads]
    return {"payload": pa.array(as_bytes, pa.binary())}


def _vector_bytes(x: Array) -> pa.Array:
    """Return samples of shape (n, ...) as the bytes of each."""
    return pa.array([np.ascontiguousarray(one).tobytes() for one in x], pa.binary())


def _vectors_of_bytes(column: Sequence[bytes], schema: SampleSchema) -> Array:
    """Undo `_vector_bytes`."""
    found = [np.frombuffer(x, schema.dtype).reshape(schema.shape) for x in column]
    return np.array(found, dtype=schema.dtype).reshape(-1, *schema.shape)


def _with_schema(table: pa.Table, schema: SampleSchema) -> pa.Table:
    """Return a table that says in its metadata what the bytes of x are."""
    shape = ",".join(map(str, schema.shape))
    return table.replace_schema_metadata({"x_dtype": schema.dtype, "x_shape": shape})


CONTEXT_FILE = "context.parquet"


def _context_files(snapshot: Snapshot) -> dict[str, FileWriter]:
    """Return what writes the context among the files of a snapshot; nothing without any."""
    context = snapshot.context
    if context is None:
        return {}
    samples, schema = context.samples, SampleSchema.from_json(snapshot.manifest["schema"])
    columns = {
        "id": pa.array([str(sample_id) for sample_id in samples.ids], pa.string()),
        "role": pa.array(["context"] * len(context), pa.string()),
        "cell": _cell_column(context.cells),
        "label": label_column(_labels_of(samples), _label_type(snapshot)),
        "z": _vector_column(context.latents),
        "x": _vector_bytes(samples.x),
        **payload_columns(samples),
        **origin_columns(samples),
    }
    return {CONTEXT_FILE: _parquet_writer(_with_schema(pa.table(columns), schema))}


def _read_context(unit: Path, manifest: Mapping[str, Any]) -> ContextRows | None:
    """Return the context of a snapshot that has been checked; None without any."""
    if CONTEXT_FILE not in manifest["files"]:
        return None
    try:
        columns = pq.read_table(unit / CONTEXT_FILE).to_pydict()
    except (OSError, pa.ArrowException) as err:
        raise _unreadable(unit, err) from err
    return ContextRows(
        samples=_samples(columns, SampleSchema.from_json(manifest["schema"])),
        cells=[tuple(cell) for cell in columns["cell"]],
        latents=_vectors(columns["z"]),
    )


_HELD_OUT_FILE = "held_out.parquet"


def _held_out_files(samples: Samples | None) -> dict[str, FileWriter]:
    """Return what writes held-out samples among the files of a snapshot; nothing without any."""
    if samples is None:
        return {}
    columns = {
        "id": pa.array([str(sample_id) for sample_id in samples.ids], pa.string()),
        "label": label_column(_labels_of(samples)),
        "x": _vector_bytes(samples.x),
        **payload_columns(samples),
    }
    table = _with_schema(pa.table(columns), SampleSchema.of(samples.x))
    return {_HELD_OUT_FILE: _parquet_writer(table)}


def _read_held_out(unit: Path, manifest: Mapping[str, Any]) -> Samples | None:
    """Return the held-out samples of a snapshot that has been checked; None without any."""
    if _HELD_OUT_FILE not in manifest["files"]:
        return None
    columns = pq.read_table(unit / _HELD_OUT_FILE).to_pydict()
    return Samples(
        x=_vectors_of_bytes(columns["x"], SampleSchema.from_json(manifest["schema"])),
        ids=as_objects(columns["id"]),
        labels=as_objects(columns["label"]),
        payloads=_payloads(columns),
    )


def _is_in(file: Path, sample_id: str) -> bool:
    """Return whether a file has a sample."""
    return sample_id in pq.read_table(file, columns=["id"])["id"].to_pylist()


def diff_snapshots(state: Path | None, before: str, after: str | None) -> dict[str, Any]:
    """Return what came and went between two snapshots; see `Snapshot.diff`.

    Parameters
    ----------
    state : Path or None
    before, after : str
        As `find_snapshot` takes them; after None: the newest of the state.

    Raises
    ------
    ConfigError, SnapshotError
        If one is not there, or damaged.
    """
    with open_snapshot(state, before) as first, open_snapshot(state, after) as second:
        return read_snapshot(first).diff(read_snapshot(second))
