"""`.npz` archives: what is read of them, and what is refused."""

import io
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.errors import DataError, ShapeError
from tests.support.data_files import is_mapped, write_npz

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_samples_labels_and_ids(tmp_path: Path, save: Any) -> None:
    """The arrays x, y and id are read, others are not."""
    path = tmp_path / "data.npz"
    other = np.array([object()])
    save(path, x=X, y=["a", "b", "c", "d"], id=[7, 8, 9, 10], other=other)
    samples = read_file(path)
    np.testing.assert_array_equal(samples.x, X)
    assert samples.labels is not None
    assert samples.labels.tolist() == ["a", "b", "c", "d"]
    assert samples.ids.tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize("name", ["y", "label"])
def test_either_name_of_labels(tmp_path: Path, name: str) -> None:
    """They are y or label, and told by the name that they have."""
    source = file_source(write_npz(tmp_path, x=X, **{name: np.arange(4)}))
    samples = source.next_batch(4).samples
    assert samples is not None
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2, 3]
    assert source.inputs.label == f"array {name}"


def test_two_arrays_of_labels_are_refused(tmp_path: Path) -> None:
    """Nobody knows which one is meant."""
    with pytest.raises(DataError, match="has two label arrays, label and y"):
        file_source(write_npz(tmp_path, x=X, y=np.arange(4), label=np.arange(4)))


def test_x_is_enough(tmp_path: Path) -> None:
    """Without labels and ids there are none, and row numbers."""
    samples = read_file(write_npz(tmp_path, x=X))
    assert samples.labels is None
    assert samples.ids.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("x", [np.asfortranarray(X), X.astype(">f8"), X.astype(bool)])
def test_any_order_of_elements_and_bytes(tmp_path: Path, x: Any) -> None:
    """The same numbers come out, in native byte order."""
    source = file_source(write_npz(tmp_path, x=x), chunk_rows=3)
    parts = [samples.x for samples in source.batches()]
    np.testing.assert_array_equal(np.concatenate(parts), x)
    assert source.schema.dtype == parts[0].dtype.name


def test_fortran_order_is_mapped_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read row by row is not loaded either, and leaves no file behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = write_npz(tmp_path, x=np.asfortranarray(X))
    assert is_mapped(read_file(path).x)
    assert list(tmp_path.iterdir()) == [path]


def test_labels_that_are_not_known(tmp_path: Path) -> None:
    """Where y_known is False there is no label, in any chunk."""
    known = [True, False, True, True]
    path = write_npz(tmp_path, x=X, y=[1, 2, 3, 4], y_known=known)
    labels = [
        s.labels.tolist() for s in file_source(path, chunk_rows=2).batches() if s.labels is not None
    ]
    assert labels == [[1, None], [3, 4]]
    with pytest.raises(DataError, match="give a boolean for each y"):
        file_source(write_npz(tmp_path, x=X, y=[1, 2, 3, 4], y_known=[1, 0, 1, 1]))


def test_without_x_names_what_it_has(tmp_path: Path) -> None:
    """Who called the array `images` sees what to rename."""
    with pytest.raises(DataError, match="no array x in it; it has images, labels"):
        read_file(write_npz(tmp_path, images=X, labels=np.arange(4)))


def test_names_of_several_lines_are_told_in_one(tmp_path: Path) -> None:
    """A name in a damaged archive can hold anything."""
    arrays: dict[str, Any] = {"image\ns": X}
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=r"no array x in it; it has image\\ns"):
        read_file(tmp_path / "data.npz")


def test_empty_archive(tmp_path: Path) -> None:
    """An archive without arrays is an archive without x."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(DataError, match="no array x in it; it has none"):
        read_file(path)


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    """A pickle is refused from its header, in x and y alike."""
    objects = np.array([{}, {}, {}, {}], dtype=object)
    with pytest.raises(DataError, match="x holds Python objects, which are never loaded"):
        read_file(write_npz(tmp_path, x=objects))
    with pytest.raises(DataError, match="y holds Python objects, which are never loaded"):
        read_file(write_npz(tmp_path, x=X, y=objects))


@pytest.mark.parametrize("name", ["y", "id", "y_known"])
def test_lengths_must_agree(tmp_path: Path, name: str) -> None:
    """As many labels and ids as samples; known before the first sample is used."""
    columns: dict[str, Any] = {"y": np.arange(4), name: np.arange(3)}
    with pytest.raises(ShapeError, match=rf"data\.npz: {name} has 3 values for 4 samples"):
        file_source(write_npz(tmp_path, x=X, **columns))
    columns = {"y": np.arange(4), name: np.zeros((4, 2))}
    with pytest.raises(ShapeError, match=rf"data\.npz: {name} has shape \(4, 2\) for 4 samples"):
        file_source(write_npz(tmp_path, x=X, **columns))


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (np.zeros(10_000_000), "y has 10000000 values for 4 samples"),
        (np.zeros((4, 2_500_000)), r"y has shape \(4, 2500000\) for 4 samples"),
        (np.zeros(4, "U5000000"), "y has dtype <U5000000; use text of at most 4096 characters"),
    ],
    ids=["long", "wide", "text"],
)
def test_large_columns_are_refused_before_they_are_read(
    tmp_path: Path, column: Any, error: str
) -> None:
    """A label for each sample takes a few bytes, and 80 MB that claim to be labels take none."""
    np.savez_compressed(tmp_path / "data.npz", x=X, y=column)
    tracemalloc.start()
    with pytest.raises(DataError, match=error):
        file_source(tmp_path / "data.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_bad_label_in_the_last_row(tmp_path: Path) -> None:
    """Labels are checked whole when the file is opened."""
    with pytest.raises(DataError, match="y holds an infinite label"):
        file_source(write_npz(tmp_path, x=X, y=[0.0, 1.0, 2.0, np.inf]))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:0], "x holds no samples"),
        (X[:, :0], "a sample needs at least one element"),
        (X[:, 0, 0], "at least two axes"),
        (np.array(3.0), "at least two axes"),
        (np.array([["a"], ["b"]]), "x has dtype <U1"),
    ],
)
def test_what_cannot_be_samples(tmp_path: Path, x: Any, words: str) -> None:
    """The header is enough to say so."""
    with pytest.raises(DataError, match=words):
        file_source(write_npz(tmp_path, x=x))


def test_forged_column(tmp_path: Path) -> None:
    """Labels of which fewer are there than their header claims are damaged."""
    path = write_npz(tmp_path, x=X)
    header = io.BytesIO()
    fields = {"descr": "<U4096", "fortran_order": False, "shape": (4,)}
    np.lib.format.write_array_header_1_0(header, fields)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.npy", header.getvalue())
    with pytest.raises(DataError, match="y is damaged: its values take 65536 bytes and 0 are"):
        file_source(path)


@pytest.mark.parametrize("shape", [(2**40, 4), (3, 4), (5, 4), (-4, -4)])
def test_forged_size_needs_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A header that claims other than what is there is refused before anything is read."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(DataError, match=r"data\.npz: x (is damaged|has the impossible shape)"):
        file_source(tmp_path / "data.npz")


def test_damage_in_the_last_chunk_is_found(tmp_path: Path) -> None:
    """The archive's own checksum is looked at when x has been read to its end."""
    path = write_npz(tmp_path, x=np.full((4, 10_000), 7, np.uint8))
    stored = bytearray(path.read_bytes())
    stored[39_000] ^= 1
    path.write_bytes(stored)
    source = file_source(path, chunk_rows=1)
    for _ in range(3):
        source.next_batch(1)
    with pytest.raises(DataError, match=r"damaged.*CRC"):
        source.next_batch(1)
