"""Data files: that nothing but our errors, of one line, comes out of a bad one."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from echo_stream.connectors.files.data_files import SUFFIXES, read_file
from echo_stream.errors import DataError, EchoStreamError, SourceError
from tests.support.data_files import write_npy, write_npz

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a matter of the source, not of the data."""
    with pytest.raises(SourceError, match=r"nothing\.npz: no such file"):
        read_file(tmp_path / "nothing.npz")


def test_folder_without_data(tmp_path: Path) -> None:
    """A folder that holds neither kind of data is refused, even one named like a file."""
    folder = tmp_path / "folder.npz"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"folder\.npz: no images \(\.png, .*\) and no \.parquet"):
        read_file(folder)


def test_suffix_in_capitals(tmp_path: Path) -> None:
    """The suffix may be written in any case."""
    path = write_npy(tmp_path, X).rename(tmp_path / "DATA.NPY")
    assert len(read_file(path)) == 4


def test_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    """The message says which kinds of files would do."""
    path = tmp_path / "data.xlsx"
    path.write_text("1,2\n")
    with pytest.raises(DataError, match=r"'\.xlsx'; supported are \.npz, \.npy, \.parquet, \.csv"):
        read_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\x00", "damaged"),
        (b"hello, world", "damaged"),
        (b"\x80\x04K\x01.", "damaged"),
        (b"PK\x03\x04", "damaged"),
        (b"\x93NUMPY\x01\x00", "damaged"),
        (b"PAR1\x00\x00\x00\x00PAR1", "damaged"),
    ],
)
def test_no_data_file(tmp_path: Path, suffix: str, content: bytes, words: str) -> None:
    """Other content than the suffix says is told in one line."""
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_each_kind_under_the_others_name(tmp_path: Path) -> None:
    """A `.npz` named `.npy` is not silently read as something else, nor the reverse."""
    archive, array = write_npz(tmp_path, x=X).read_bytes(), write_npy(tmp_path, X).read_bytes()
    for suffix, other in ((".npy", archive), (".npz", array), (".parquet", archive)):
        (tmp_path / f"data{suffix}").write_bytes(other)
        with pytest.raises(DataError, match="not what its suffix says"):
            read_file(tmp_path / f"data{suffix}")


def good_file(name: str) -> bytes:
    """Return the bytes of a good file of some kind."""
    buffer = io.BytesIO()
    if name == "data.npy":
        np.save(buffer, X)
    elif name == "data.parquet":
        table = pa.table({"x": X.reshape(4, 6).tolist(), "y": list("abcd"), "id": range(4)})
        pq.write_table(table, buffer, row_group_size=3, write_page_checksum=True)
    elif name.endswith(".npz"):
        save = np.savez_compressed if name == "packed.npz" else np.savez
        x = np.asfortranarray(X) if name == "fortran.npz" else X
        save(buffer, x=x, y=np.array(["a", "b", "c", "d"]), id=np.arange(4))
    else:
        Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(buffer, name[-3:])
    return buffer.getvalue()


GOOD = {
    name: good_file(name)
    for name in ("data.npy", "plain.npz", "packed.npz", "fortran.npz", "data.parquet", "a/a.png")
}


def place(folder: Path, name: str, content: bytes) -> Path:
    """Write a file, and return the data that it is or is in."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return folder / name.split("/", maxsplit=1)[0]


@pytest.mark.parametrize("name", [name for name in GOOD if not name.endswith(".png")])
def test_truncated_file_is_damaged(tmp_path: Path, name: str) -> None:
    """Cut anywhere, a file is refused with one line."""
    for size in range(len(GOOD[name])):
        with pytest.raises(DataError) as caught:
            read_file(place(tmp_path, name, GOOD[name][:size]))
        assert len(str(caught.value).splitlines()) == 1


def test_truncated_image_is_damaged(tmp_path: Path) -> None:
    """Cut before its last pixel, an image is refused; what follows that is no pixels."""
    good = GOOD["a/a.png"]
    pixels = read_file(place(tmp_path, "a/a.png", good)).x
    for size in range(len(good)):
        path = place(tmp_path, "a/a.png", good[:size])
        try:
            np.testing.assert_array_equal(read_file(path).x, pixels)
            assert size > len(good) - 24  # checksums and the end mark
        except DataError as err:
            assert str(err).startswith(f"{path}: a.png: damaged")


@pytest.mark.slow
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
    path = place(tmp_path, name, bytes(content))
    try:
        read_file(path)
    except EchoStreamError as err:
        assert len(str(err).splitlines()) == 1
        assert str(err).startswith(f"{path}: ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*SUFFIXES, ".png"]), st.binary(min_size=1, max_size=200))
@example(".npy", b"\x93NUMPY\x01\x00\x04\x00(((\n")
def test_random_bytes_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    """Noise is no data file."""
    name = "a/a.png" if suffix == ".png" else f"data{suffix}"
    with pytest.raises(DataError):
        read_file(place(tmp_path, name, content))
