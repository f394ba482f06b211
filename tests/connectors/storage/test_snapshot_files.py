"""Snapshots on disk: what is read is what was written, in the documented columns."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array, Label
from echo_stream.connectors.storage.snapshot_files import (
    TABLES,
    ids_of,
    read_snapshot,
    read_tables,
    write_snapshot,
)
from echo_stream.connectors.storage.units import read_manifest
from echo_stream.errors import SnapshotError, StateError
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.validation import as_samples
from tests.support.crashes.damage import cut_in_half, overwrite

VECTOR = pa.list_(pa.field("element", pa.float32()))
CORESET_COLUMNS = {
    "id": pa.string(),
    "role": pa.string(),
    "selection_rank": pa.int32(),
    "rank_in_cell": pa.int32(),
    "cell": pa.list_(pa.field("element", pa.int32())),
    "degree": pa.int32(),
    "cell_count": pa.int64(),
    "weight": pa.float64(),
    "certified": pa.bool_(),
    "label": pa.int64(),
    "z": VECTOR,
    "map": VECTOR,
    "x": pa.binary(),
    "topic": pa.string(),
    "partition": pa.int32(),
    "offset": pa.int64(),
    "timestamp": pa.int64(),
}
DTYPES = ("uint8", "float32", "float64", "bool", "int64")
QUANTISERS = (
    {"preset": "paper", "latent_dim": 1},
    {"preset": "paper", "latent_dim": 3},
    {"cells": "grid-budget", "latent": "encoder"},
    {"cells": "codebook", "latent": "identity"},
)
SHAPES = ((1,), (5,), (2, 3), (1, 2, 2))

# Half a surrogate pair is the only text that no sample can have.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
kinds_of_labels = (
    integers,
    floats,
    texts,
    st.none(),
    st.none() | integers,
    st.none() | texts,
    st.none() | floats,
    st.none() | integers | floats | texts,
)
origins = st.builds(
    Origin, texts, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(-1, 2**63 - 1)
)


@st.composite
def streams(draw: st.DrawFn) -> Samples:
    """Draw samples of any dtype and shape, with ids, labels and origins of any kind."""
    n = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(0, 100, (n, *draw(st.sampled_from(SHAPES))))
    values[rng.random(values.shape) < 0.1] = -0.0
    dtype = draw(st.sampled_from(DTYPES))
    x = (np.abs(values) if dtype == "uint8" else values).clip(-1e9, 255).astype(dtype)
    labels = draw(st.sampled_from(kinds_of_labels))
    ids = draw(st.none() | st.lists(texts, min_size=n, max_size=n))
    samples = as_samples(x, draw(st.none() | st.lists(labels, min_size=n, max_size=n)), ids)
    found = draw(st.none() | st.lists(st.none() | origins, min_size=n, max_size=n))
    column = None if found is None else as_objects(found)
    return Samples(samples.x, samples.ids, samples.labels, column)


def snapshot_of(samples: Samples, **settings: Any) -> Snapshot:
    """Return the snapshot of samples, by an encoder that is not trained."""
    settings = {"preset": "paper", **settings}
    return EchoCoreset(epochs=0, device="cpu", **settings).fit_source(samples).snapshot()


def stored(snapshot: Snapshot) -> Snapshot:
    """Write a snapshot, and return what is read back."""
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder, "unit")
        write_snapshot(snapshot, destination, time="2026-01-02T03:04:05", offsets={"row": 7})
        return read_snapshot(destination)


def write(folder: Path, *, y: Any = None, support: int = 1) -> Path:
    """Write the snapshot of 40 samples, and return its folder."""
    x = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    snapshot = snapshot_of(as_samples(x, y), budget=10, support=support)
    write_snapshot(snapshot, folder / "unit", time="2026-01-02T03:04:05", offsets={"row": 40})
    return folder / "unit"


def as_stored(labels: list[Label]) -> list[Label]:
    """Return labels as a column of one type holds them."""
    kinds = {type(label) for label in labels}
    kind = str if str in kinds else float if float in kinds else int
    return [None if label is None else kind(label) for label in labels]


def same(left: Array, right: Array) -> bool:
    """Return whether two arrays are equal, bit for bit; dtype and shape as well."""
    return (left.dtype, left.shape) == (right.dtype, right.shape) and (
        left.tolist() == right.tolist()
        if left.dtype == object
        else left.tobytes() == right.tobytes()
    )


def as_float32(values: Array) -> Array:
    """Return what is left of numbers in a column of float32."""
    return values.astype(np.float32).astype(np.float64)


@settings(max_examples=40)
@given(streams(), st.integers(1, 20), st.integers(0, 2), st.sampled_from(QUANTISERS))
@example(as_samples(np.zeros((1, 1))), 1, 0, QUANTISERS[0])
def test_what_is_read_is_what_was_written(
    samples: Samples, budget: int, support: int, quantiser: dict[str, Any]
) -> None:
    """Every column is the same, bit for bit, but for z and map, which are float32."""
    snapshot = snapshot_of(samples, budget=budget, support=support, **quantiser)
    read = stored(snapshot)

    ours, theirs = snapshot.rows, read.rows
    assert same(theirs.samples.x, ours.samples.x)
    assert same(theirs.samples.ids, ours.samples.ids)
    assert ours.samples.labels is not None
    assert theirs.samples.labels is not None
    assert snapshot.context is not None
    assert read.context is not None
    beside, found = snapshot.context, read.context
    assert beside.samples.labels is not None
    assert found.samples.labels is not None
    # In both files labels have one type.
    written = as_stored([*ours.samples.labels, *beside.samples.labels])
    labels = [*theirs.samples.labels, *found.samples.labels]
    assert [(type(y), y) for y in labels] == [(type(y), y) for y in written]
    assert ours.samples.origins is not None
    assert theirs.samples.origins is not None
    assert same(theirs.samples.origins, ours.samples.origins)
    for name in ("roles", "ranks_in_cell", "degrees", "cell_counts", "weights", "certified"):
        assert same(getattr(theirs, name), getattr(ours, name)), name
    assert theirs.cells == ours.cells
    assert same(theirs.latents, as_float32(ours.latents))
    assert same(theirs.maps, as_float32(ours.maps))

    for name in ("x", "ids", "origins"):
        assert same(getattr(found.samples, name), getattr(beside.samples, name)), name
    assert found.cells == beside.cells
    assert same(found.latents, as_float32(beside.latents)) or not len(beside)

    for name in ("counts", "degrees", "centroids", "means"):
        assert same(getattr(read.cells, name), getattr(snapshot.cells, name)), name
    assert read.cells.cells == snapshot.cells.cells
    assert same(read.cells.maps, as_float32(snapshot.cells.maps))

    assert (read.edges.left, read.edges.right) == (snapshot.edges.left, snapshot.edges.right)
    assert same(read.edges.lengths, snapshot.edges.lengths)
    assert same(read.edges.is_bridge, snapshot.edges.is_bridge)

    expected = {**snapshot.manifest, "time": "2026-01-02T03:04:05", "offsets": {"row": 7}}
    assert {**read.manifest, "files": None} == {**expected, "files": None}
    assert (read.id, read.n) == (snapshot.id, len(samples))


def test_columns_are_those_of_the_format(tmp_path: Path) -> None:
    """Names, types and order of the columns of coreset.parquet are a promise to its readers."""
    unit = write(tmp_path, y=np.arange(40))
    schema = pq.read_schema(unit / "coreset.parquet")
    assert dict(zip(schema.names, schema.types, strict=True)) == CORESET_COLUMNS
    assert schema.names == list(CORESET_COLUMNS)
    assert sorted(path.name for path in unit.iterdir()) == [
        "cells.parquet", "context.parquet", "coreset.parquet", "edges.parquet", "manifest.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (None, pa.int64()),
        ([None] * 40, pa.int64()),
        (np.arange(40, dtype=np.uint8), pa.int64()),
        (np.arange(40) % 2 == 0, pa.int64()),
        ([None, *range(39)], pa.int64()),
        (np.arange(40) / 4, pa.float64()),
        ([*range(39), 0.5], pa.float64()),
        (["cat"] * 40, pa.string()),
        ([None, 1, "cat", 0.5] * 10, pa.string()),
    ],
)
def test_labels_keep_their_type(tmp_path: Path, y: Any, kind: pa.DataType) -> None:
    """Integers stay integers and text text; where kinds are mixed the column is the wider one."""
    # A budget for all 40: no kind of label is missing from the rows.
    x = np.random.default_rng(0).random((40, 3))
    snapshot = snapshot_of(as_samples(x, y), budget=40)
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    assert pq.read_schema(tmp_path / "unit" / "coreset.parquet").field("label").type == kind


def test_the_context_has_the_columns_of_rows_that_apply(tmp_path: Path) -> None:
    """A label is of the same type in both files, whichever kinds each of them has."""
    unit = write(tmp_path, y=[*range(39), "cat"])
    schema = pq.read_schema(unit / "context.parquet")
    left_out = {
        "selection_rank",
        "rank_in_cell",
        "degree",
        "cell_count",
        "weight",
        "certified",
        "map",
    }
    columns = {name: kind for name, kind in CORESET_COLUMNS.items() if name not in left_out}
    assert dict(zip(schema.names, schema.types, strict=True)) == columns | {"label": pa.string()}
    assert pq.read_schema(unit / "coreset.parquet").field("label").type == pa.string()
    assert set(pq.read_table(unit / "context.parquet")["role"].to_pylist()) == {"context"}
    assert not ids_of(unit) & set(pq.read_table(unit / "context.parquet")["id"].to_pylist())


def test_a_snapshot_without_context_has_no_such_file(tmp_path: Path) -> None:
    """It is read as it was written."""
    samples = as_samples(np.random.default_rng(0).random((40, 3)))
    snapshot = snapshot_of(samples, budget=10, snapshot_context=False)
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    assert not (tmp_path / "unit" / "context.parquet").exists()
    assert read_snapshot(tmp_path / "unit").context is None


def test_a_row_can_be_read_without_us(tmp_path: Path) -> None:
    """The file's metadata says what the bytes of x are; rows are in the coreset's order."""
    x = np.arange(120, dtype=">i2").reshape(20, 2, 3)
    snapshot = snapshot_of(as_samples(x, ids=[f"ä{row}" for row in range(20)]), budget=12)
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    table = pq.read_table(tmp_path / "unit" / "coreset.parquet")
    dtype, shape = (table.schema.metadata[name].decode() for name in (b"x_dtype", b"x_shape"))
    assert (dtype, shape) == ("int16", "2,3")
    for row in table.to_pylist():
        payload = np.frombuffer(row["x"], dtype).reshape([int(axis) for axis in shape.split(",")])
        assert payload.tolist() == x[int(row["id"].removeprefix("ä"))].tolist()
    assert table["selection_rank"].to_pylist() == list(range(len(table)))
    assert table["role"].to_pylist() == ["core"] * 12 + ["support"] * (len(table) - 12)
    assert table["id"].to_pylist() == snapshot.rows.samples.ids.tolist()


def test_origin_is_null_outside_kafka(tmp_path: Path) -> None:
    """A sample of a file has no topic, partition, offset and timestamp."""
    table = pq.read_table(write(tmp_path) / "coreset.parquet")
    for name in ("topic", "partition", "offset", "timestamp"):
        assert table[name].null_count == len(table) > 0


@pytest.mark.parametrize("support", [0, 2])
def test_support_may_be_empty(tmp_path: Path, support: int) -> None:
    """Without support there are core rows only, and the selection is of the sample's shape."""
    read = read_snapshot(write(tmp_path, support=support))
    assert len(read.select("core")) == 10
    assert (len(read.select("support")) > 0) == (support > 0)
    assert read.select("support").x.shape[1:] == (3,)
    assert read.select("support").x.dtype == np.float32


def test_one_cell_has_no_edges(tmp_path: Path) -> None:
    """Equal samples fall into one cell, and an empty table is read as one."""
    snapshot = snapshot_of(as_samples(np.ones((5, 3))), budget=2)
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    read = read_snapshot(tmp_path / "unit")
    assert len(read.cells.cells) == 1
    assert (read.edges.left, read.edges.lengths.shape) == ([], (0,))
    assert read.edges.is_bridge.dtype == bool


def test_tables_are_three(tmp_path: Path) -> None:
    """What SQL sees has the rows of the snapshot."""
    unit = write(tmp_path)
    tables, read = read_tables(unit), read_snapshot(unit)
    assert tuple(tables) == TABLES == ("coreset", "cells", "edges")
    assert [len(tables[name]) for name in TABLES] == [
        len(read.rows), len(read.cells.cells), len(read.edges.left),
    ]  # fmt: skip
    assert sum(tables["cells"]["count"].to_pylist()) == 40


def write_hello(path: Path) -> None:
    """Write a file that is no table."""
    path.write_text("hello")


def test_more_files_are_part_of_the_unit(tmp_path: Path) -> None:
    """A file written beside the tables has its checksum too."""
    snapshot = snapshot_of(as_samples(np.eye(4)), budget=2)
    write_snapshot(
        snapshot,
        tmp_path / "unit",
        time="",
        offsets={},
        more_files={"notes.txt": write_hello},
    )
    assert (tmp_path / "unit" / "notes.txt").read_text() == "hello"
    assert "notes.txt" in read_manifest(tmp_path / "unit")["files"]
    (tmp_path / "unit" / "notes.txt").write_text("hallo")
    with pytest.raises(SnapshotError, match=r"notes\.txt is damaged"):
        read_snapshot(tmp_path / "unit")


def test_an_existing_snapshot_is_kept(tmp_path: Path) -> None:
    """A snapshot never changes once it is written."""
    unit = write(tmp_path)
    before = (unit / "manifest.json").read_bytes()
    with pytest.raises(StateError, match="already exists"):
        write(tmp_path, support=0)
    assert (unit / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("damage", [Path.unlink, overwrite, cut_in_half])
@pytest.mark.parametrize("name", [*(f"{name}.parquet" for name in TABLES), "manifest.json"])
def test_damaged_snapshot(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    """Whichever file is damaged, both ways to read tell it in one line."""
    unit = write(tmp_path)
    damage(unit / name)
    for read in (read_snapshot, read_tables):
        with pytest.raises(SnapshotError, match=name.replace(".", r"\.")) as caught:
            read(unit)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", TABLES)
def test_changed_bit_is_found(tmp_path: Path, name: str) -> None:
    """A file that is still Parquet, but not the one that was written, is refused."""
    path = write(tmp_path) / f"{name}.parquet"
    pq.write_table(pq.read_table(path)[:0], path)
    with pytest.raises(SnapshotError, match=rf"{name}\.parquet is damaged: its checksum"):
        read_snapshot(path.parent)


def test_no_snapshot(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    for read in (read_snapshot, read_tables):
        with pytest.raises(SnapshotError, match="nothing"):
            read(tmp_path / "nothing")
