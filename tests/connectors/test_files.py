"""Data files: what is read, and that nothing but our errors comes out of a bad one."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from echo_stream.connectors.files import file_source, read_file
from echo_stream.errors import DataError, EchoStreamError, ShapeError, SourceError
from echo_stream.validation import SampleSchema

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def write_npz(folder: Path, **arrays: Any) -> Path:
    """Return the path of a new `.npz` with the arrays."""
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def write_npy(folder: Path, x: Any) -> Path:
    """Return the path of a new `.npy` with the array."""
    path = folder / "data.npy"
    np.save(path, x)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_brings_samples_labels_and_ids(tmp_path: Path, save: Any) -> None:
    """The arrays x, y and id are read, others are not."""
    path = tmp_path / "data.npz"
    other = np.array([object()])
    save(path, x=X, y=["a", "b", "c", "d"], id=[7, 8, 9, 10], other=other)
    samples = read_file(path)
    np.testing.assert_array_equal(samples.x, X)
    assert samples.labels is not None
    assert samples.labels.tolist() == ["a", "b", "c", "d"]
    assert samples.ids.tolist() == [7, 8, 9, 10]


def test_npz_needs_only_x(tmp_path: Path) -> None:
    """Without labels and ids there are none, and row numbers."""
    samples = read_file(write_npz(tmp_path, x=X))
    assert samples.labels is None
    assert samples.ids.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("x", [X, np.asfortranarray(X), X.astype(">f4"), X.astype(bool)])
def test_npy_is_x(tmp_path: Path, x: Any) -> None:
    """Any order of elements and bytes is read as the same numbers."""
    samples = read_file(str(write_npy(tmp_path, x)))
    np.testing.assert_array_equal(samples.x, x)
    assert samples.x.dtype.isnative


def test_npy_is_mapped_read_only(tmp_path: Path) -> None:
    """A large file is not loaded, and cannot be changed by mistake."""
    x = read_file(write_npy(tmp_path, X)).x
    assert isinstance(x.base, np.memmap)
    assert not x.flags.writeable


def test_suffix_in_capitals(tmp_path: Path) -> None:
    """The suffix may be written in any case."""
    path = write_npy(tmp_path, X).rename(tmp_path / "DATA.NPY")
    assert len(read_file(path)) == 4


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a matter of the source, not of the data."""
    with pytest.raises(SourceError, match=r"nothing\.npz: no such file"):
        read_file(tmp_path / "nothing.npz")


def test_folder(tmp_path: Path) -> None:
    """A folder is refused, even one named like a file."""
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_file(tmp_path / "folder.npz")


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    """The message says which kinds of files would do."""
    path = tmp_path / "data.csv"
    path.write_text("1,2\n")
    with pytest.raises(DataError, match=r"'\.csv'; supported are \.npz and \.npy"):
        read_file(path)


@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\x00", "damaged"),
        (b"hello, world", "damaged"),
        (b"\x80\x04K\x01.", "damaged"),
        (b"PK\x03\x04", "damaged"),
        (b"\x93NUMPY\x01\x00", "damaged"),
    ],
)
def test_no_data_file(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """Other content than the suffix says is told in one line."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_each_kind_under_the_others_name(tmp_path: Path) -> None:
    """A `.npz` named `.npy` is not silently read as something else, nor the reverse."""
    archive, array = write_npz(tmp_path, x=X).read_bytes(), write_npy(tmp_path, X).read_bytes()
    (tmp_path / "data.npy").write_bytes(archive)
    (tmp_path / "data.npz").write_bytes(array)
    for name in ("data.npy", "data.npz"):
        with pytest.raises(DataError, match="not what its suffix says"):
            read_file(tmp_path / name)


def test_npz_without_x_names_what_it_has(tmp_path: Path) -> None:
    """Who called the array `images` sees what to rename."""
    with pytest.raises(DataError, match="no array x in it; it has images, labels"):
        read_file(write_npz(tmp_path, images=X, labels=np.arange(4)))


def test_empty_npz(tmp_path: Path) -> None:
    """An archive without arrays is an archive without x."""
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(DataError, match="no array x in it; it has none"):
        read_file(path)


def test_object_arrays_are_never_loaded(tmp_path: Path) -> None:
    """A pickle is refused from its header, in x, y and a `.npy` alike."""
    objects = np.array([{}, {}, {}, {}], dtype=object)
    for path, name in (
        (write_npz(tmp_path, x=objects), "x"),
        (write_npy(tmp_path, objects), "x"),
    ):
        with pytest.raises(DataError, match=f"{name} holds Python objects"):
            read_file(path)
    with pytest.raises(DataError, match="y holds Python objects, which are never loaded"):
        read_file(write_npz(tmp_path, x=X, y=objects))


def test_lengths_must_agree(tmp_path: Path) -> None:
    """As many labels as samples."""
    with pytest.raises(ShapeError, match=r"data\.npz: y has 3 values for 4 samples"):
        read_file(write_npz(tmp_path, x=X, y=np.arange(3)))


@pytest.mark.parametrize("write", [lambda f: write_npz(f, x=X[:0]), lambda f: write_npy(f, X[:0])])
def test_no_samples(tmp_path: Path, write: Any) -> None:
    """A file without samples is an error where a batch without samples is not."""
    with pytest.raises(DataError, match="x holds no samples"):
        read_file(write(tmp_path))


@pytest.mark.parametrize("write", [lambda f, x: write_npz(f, x=x), write_npy])
def test_nonfinite_row_is_named(tmp_path: Path, write: Any) -> None:
    """The message has the file and the row."""
    x = X.copy()
    x[2, 0, 1] = np.nan
    with pytest.raises(DataError, match=r"data\.np[yz]: x has NaN in row 2"):
        read_file(write(tmp_path, x))


def test_forged_size_needs_no_memory(tmp_path: Path) -> None:
    """A header that claims terabytes ends in one line."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4)}
    np.lib.format.write_array_header_1_0(header, fields)
    (tmp_path / "data.npy").write_bytes(header.getvalue() + b"\0" * 64)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 64)
    for name in ("data.npy", "data.npz"):
        with pytest.raises(DataError):
            read_file(tmp_path / name)


def good_file(name: str) -> bytes:
    """Return the bytes of a good file of some kind."""
    buffer = io.BytesIO()
    if name == "data.npy":
        np.save(buffer, X)
    else:
        save = np.savez_compressed if name == "packed.npz" else np.savez
        save(buffer, x=X, y=np.array(["a", "b", "c", "d"]), id=np.arange(4))
    return buffer.getvalue()


GOOD = {name: good_file(name) for name in ("data.npy", "plain.npz", "packed.npz")}


@pytest.mark.parametrize("name", GOOD)
def test_truncated_file_is_damaged(tmp_path: Path, name: str) -> None:
    """Cut anywhere, a file is refused with one line."""
    for size in range(len(GOOD[name])):
        (tmp_path / name).write_bytes(GOOD[name][:size])
        with pytest.raises(DataError) as caught:
            read_file(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_never_raise_anything_else(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """With bytes changed anywhere, a file is read or refused; no other exception comes out."""
    content = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    try:
        read_file(tmp_path / name)
    except EchoStreamError as err:
        assert len(str(err).splitlines()) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["data.npy", "data.npz"]), st.binary(min_size=1, max_size=200))
@example("data.npy", b"\x93NUMPY\x01\x00\x04\x00(((\n")
def test_random_bytes_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """Noise is no data file."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        read_file(tmp_path / name)


def test_file_is_a_source(tmp_path: Path) -> None:
    """A file is read once, as a stream, and resumes after the last sample."""
    path = write_npz(tmp_path, x=X)
    source = file_source(path)
    source.next_batch(3)
    resumed = file_source(str(path))
    resumed.seek(json.loads(json.dumps(source.position())))
    batch = resumed.next_batch(10).samples
    assert batch is not None
    assert batch.ids.tolist() == [3]
    assert resumed.is_exhausted


def test_source_describes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, size and number of samples identify a file, wherever it was opened from."""
    path = write_npy(tmp_path, X)
    monkeypatch.chdir(tmp_path)
    source = file_source("data.npy")
    assert source.name == "data.npy"
    assert json.loads(json.dumps(source.describe())) == {
        "kind": "file",
        "path": str(path.resolve()),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "n": 4,
    }


def test_source_refuses_another_schema(tmp_path: Path) -> None:
    """A file of other samples than those counted is refused before it is read."""
    with pytest.raises(ShapeError, match="expected samples of shape"):
        file_source(write_npy(tmp_path, X)).expect(SampleSchema((28, 28), "uint8"))
