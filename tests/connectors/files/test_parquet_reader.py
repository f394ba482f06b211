"""Parquet: which columns are samples, labels and ids, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream import EchoCoreset
from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.connectors.storage.snapshot_files import write_snapshot
from echo_stream.errors import DataError, ShapeError
from tests.support.data_files import write_parquet

X = np.arange(24, dtype=np.float32).reshape(4, 6)
SHAPED = X.reshape(4, 3, 2)
TYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
TYPES += ["float16", "float32", "float64"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that is not there yet."""
    return tmp_path / "data.parquet"


def nested(x: Any) -> pa.Array:
    """Return lists of lists of float32."""
    return pa.array(x.tolist(), pa.list_(pa.list_(pa.float32())))


def columns_of_x() -> dict[str, Any]:
    """Return a column for each way to write SHAPED or X."""
    flat = pa.array(X.reshape(-1))
    tensor = pa.fixed_shape_tensor(pa.float32(), (3, 2))
    fixed = pa.FixedSizeListArray.from_arrays(flat, 6)
    return {
        "lists": (pa.array(X.tolist(), pa.list_(pa.float32())), X),
        "large lists": (pa.array(X.tolist(), pa.large_list(pa.float32())), X),
        "lists of fixed size": (fixed, X),
        "lists of lists": (nested(SHAPED), SHAPED),
        "lists of fixed size of lists": (
            pa.array(SHAPED.tolist(), pa.list_(pa.list_(pa.float32()), 3)), SHAPED,
        ),
        "tensors": (pa.ExtensionArray.from_storage(tensor, fixed), SHAPED),
    }  # fmt: skip


@pytest.mark.parametrize("kind", columns_of_x())
def test_column_x(path: Path, kind: str) -> None:
    """Lists of numbers are samples, lists of lists are samples of more axes."""
    column, x = columns_of_x()[kind]
    source = file_source(write_parquet(path, 3, x=column, other=list("abcd")), chunk_rows=2)
    parts = [samples.x for samples in source.batches()]
    np.testing.assert_array_equal(np.concatenate(parts), x)
    assert (source.schema.shape, source.schema.dtype) == (x.shape[1:], "float32")


@given(dtype=st.sampled_from(TYPES), n=st.integers(1, 9), dim=st.integers(1, 4), data=st.data())
def test_every_type_of_number_is_kept(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, n: int, dim: int, data: st.DataObject
) -> None:
    """Lists and columns bring back the dtype and the numbers that were written."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(0, 2, (n, dim)).astype(dtype)
    path = tmp_path_factory.mktemp("types") / "data.parquet"
    lists = pa.array(list(x), pa.list_(pa.from_numpy_dtype(x.dtype)))
    for columns in ({"x": lists}, {f"f{i}": x[:, i] for i in range(dim)}):
        read = read_file(write_parquet(path, data.draw(st.integers(1, 4)), **columns)).x
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, x)


def test_binary_x_needs_dtype_and_shape(path: Path) -> None:
    """The file's metadata say what the bytes are."""
    column = pa.array([row.tobytes() for row in X], pa.binary())
    metadata = {"x_dtype": "float32", "x_shape": "3,2"}
    np.testing.assert_array_equal(read_file(write_parquet(path, 3, metadata, x=column)).x, SHAPED)
    with pytest.raises(DataError, match="column x is binary; give x_dtype and x_shape"):
        read_file(write_parquet(path, x=column))
    with pytest.raises(DataError, match="dtype 'object' is not supported"):
        read_file(write_parquet(path, None, metadata | {"x_dtype": "object"}, x=column))
    cut = pa.array([b"123456789012345678901234"] * 3 + [b"1"], pa.binary())
    with pytest.raises(ShapeError, match=r"column x has 1 bytes in row 3; .* has 24"):
        read_file(write_parquet(path, 2, metadata, x=cut))


def test_coreset_of_a_snapshot_is_a_data_set(tmp_path: Path) -> None:
    """Our own coreset.parquet is read back, with ids and labels."""
    x = np.random.default_rng(0).normal(size=(200, 3, 2)).astype(np.float32)
    snapshot = EchoCoreset(budget=20).fit(x, np.arange(200) % 3).snapshot()
    write_snapshot(snapshot, tmp_path / "unit", time="now", offsets={"row": 200})
    read, rows = read_file(tmp_path / "unit" / "coreset.parquet"), snapshot.rows.samples
    np.testing.assert_array_equal(read.x, rows.x)
    assert read.ids.tolist() == [str(name) for name in rows.ids]
    assert read.labels is not None
    assert rows.labels is not None
    assert read.labels.tolist() == rows.labels.tolist()


def test_columns_of_numbers_are_features(path: Path) -> None:
    """Without x, in the order of the file; text is passed over, label and id are no feature."""
    write_parquet(path, b=[1, 2], id=[5, 6], name=["u", "v"], a=[0.5, 1.5], label=[0, 1])
    samples = read_file(path)
    assert samples.x.tolist() == [[1.0, 0.5], [2.0, 1.5]]
    assert samples.x.dtype == np.float64
    assert samples.ids.tolist() == [5, 6]
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1]


def test_index_of_pandas_is_no_feature(path: Path) -> None:
    """What pandas writes beside the columns is known from its metadata."""
    pandas = json.dumps({"index_columns": ["__index_level_0__"], "columns": []})
    columns = {"a": [1.0, 2.0], "__index_level_0__": [7, 9]}
    samples = read_file(write_parquet(path, None, {"pandas": pandas}, **columns))
    assert samples.x.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["u", None], ["u", None]),
        ([3, None], [3, None]),
        (pa.array(["u", "v"]).dictionary_encode(), ["u", "v"]),
        ([True, False], [True, False]),
    ],
)
def test_labels(path: Path, column: Any, expected: list[object]) -> None:
    """Text, categories and numbers are labels; a null is a label that is not known."""
    labels = read_file(write_parquet(path, x=X[:2].tolist(), y=column)).labels
    assert labels is not None
    assert labels.tolist() == expected


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "null sample": ({"x": [[1.0], [2.0], None]}, "column x has a null in row 2"),
    "null number": ({"x": [[1.0, 2.0], [3.0, 4.0], [5.0, None]]}, "column x has a null in row 2"),
    "null list": ({"x": [[[1.0]], [[2.0]], [None]]}, "column x has a null in row 2"),
    "null feature": ({"a": [1, 2, 3], "b": [1, 2, None]}, "column b has a null in row 2"),
    "null id": ({"x": [[1], [2], [3]], "id": ["u", "v", None]}, "column id has a null in row 2"),
    "ragged": ({"x": [[1, 2], [3, 4], [5]]}, "a list of 1 in row 2, where others have 2"),
    "ragged within": (
        {"x": [[[1, 2], [3, 4]], [[1, 2], [3, 4]], [[5, 6], [7]]]},
        "a list of 1 in row 2, where others have 2",
    ),
    "empty list": ({"x": pa.array([[], []], pa.list_(pa.int64()))}, "empty list in row 0"),
    "text": ({"x": ["u", "v"]}, "column x is of type string"),
    "lists of text": ({"x": [["u"], ["v"]]}, r"column x is of type list<\w+: string>"),
    "one number": ({"x": [1.0, 2.0], "y": [1, 2]}, "column x is of type double; give lists"),
    "two labels": ({"a": [1.0], "y": [1], "label": [1]}, "two label columns, label and y; r"),
    "no numbers": ({"name": ["u"], "label": [1]}, "no column x and .*; it has name, label"),
    "NaN": ({"x": [[1.0], [2.0], [np.nan]]}, "x has NaN in row 2"),
    "NaN feature": ({"a": np.array([1.0, 2.0, np.nan])}, "x has NaN in row 2"),
    "dates as labels": ({"a": [1], "y": pa.array([3], pa.date32())}, "a value of type date"),
    "floats as ids": ({"a": [1], "id": [1.0]}, "ids have dtype float64"),
    "no rows": ({"x": pa.array([], pa.list_(pa.int64()))}, "x holds no samples"),
}  # fmt: skip


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused(path: Path, kind: str, chunk_rows: int) -> None:
    """The message names file, column and row, wherever row groups and chunks end."""
    columns, words = BAD[kind]
    write_parquet(path, 2, **columns)
    with pytest.raises(DataError, match=rf"data\.parquet: .*{words}"):
        file_source(path, chunk_rows=chunk_rows).check()


def test_name_that_occurs_twice(path: Path) -> None:
    """Which of two columns is meant is not guessed."""
    table = pa.table([[1.0], [2.0]], names=["a", "a"])
    pa.parquet.write_table(table, path)
    with pytest.raises(DataError, match="has several columns a; rename all but one"):
        read_file(path)


def test_parts_in_order_of_name(tmp_path: Path) -> None:
    """A folder is one data set; what Spark writes beside the parts is passed over."""
    for name, value in (("part-1", 2.0), ("part-0", 1.0), ("part-2", 3.0), ("_common", 9.0)):
        write_parquet(tmp_path / f"{name}.parquet", x=[[value], [value]], label=[name, name])
    (tmp_path / "_SUCCESS").touch()
    samples = read_file(tmp_path)
    assert samples.x.tolist() == [[1.0], [1.0], [2.0], [2.0], [3.0], [3.0]]
    assert samples.ids.tolist() == list(range(6))


def test_parts_must_agree(tmp_path: Path) -> None:
    """The message names the part, and what it and the first have."""
    write_parquet(tmp_path / "a.parquet", x=[[1.0]])
    write_parquet(tmp_path / "b.parquet", x=[[1]], label=[3])
    words = (
        r"b\.parquet: has x \(list<\w+: int64>\), label, but a\.parquet has x \(list<\w+: double>\)"
    )
    with pytest.raises(DataError, match=words):
        read_file(tmp_path)


def test_row_and_part_are_named(tmp_path: Path) -> None:
    """A row counts over all parts; the part that has it is named."""
    write_parquet(tmp_path / "a.parquet", x=[[1.0], [2.0]])
    write_parquet(tmp_path / "b.parquet", x=[[1.0], [2.0, 3.0]])
    with pytest.raises(ShapeError, match=r": b\.parquet: column x has a list of 2 in row 3"):
        read_file(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r": b\.parquet: damaged"):
        read_file(tmp_path)
