"""`.npy` files: mapped, and what is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.files.data_files import read_file
from echo_stream.errors import DataError
from tests.support.data_files import is_mapped, write_npy

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.mark.parametrize("x", [X, np.asfortranarray(X), X.astype(">f4"), X.astype(bool)])
def test_npy_is_x(tmp_path: Path, x: Any) -> None:
    """Any order of elements and bytes is read as the same numbers."""
    samples = read_file(str(write_npy(tmp_path, x)))
    np.testing.assert_array_equal(samples.x, x)
    assert samples.x.dtype.isnative
    assert samples.labels is None
    assert samples.ids.tolist() == [0, 1, 2, 3]


def test_npy_is_mapped_read_only(tmp_path: Path) -> None:
    """A large file is not loaded, and cannot be changed by mistake."""
    x = read_file(write_npy(tmp_path, X)).x
    assert is_mapped(x)
    assert not x.flags.writeable


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    """A pickle is refused from its header."""
    objects = np.array([{}, {}, {}, {}], dtype=object)
    with pytest.raises(DataError, match="x holds Python objects, which are never loaded"):
        read_file(write_npy(tmp_path, objects))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:0], "x holds no samples"),
        (X[:, :0], "a sample needs at least one element"),
        (X[:, 0, 0], "at least two axes"),
        (np.array([["a"], ["b"]]), "x has dtype <U1"),
        (X.astype(complex), "x has dtype complex128"),
    ],
)
def test_what_cannot_be_samples(tmp_path: Path, x: Any, words: str) -> None:
    """The header is enough to say so."""
    with pytest.raises(DataError, match=words):
        read_file(write_npy(tmp_path, x))


def test_forged_size_needs_no_memory(tmp_path: Path) -> None:
    """A header that claims terabytes, or fewer than no rows, ends in one line."""
    for shape in ((2**40, 4), (-(2**40), 4), (4, -2, -3)):
        header = io.BytesIO()
        fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, fields)
        (tmp_path / "data.npy").write_bytes(header.getvalue() + b"\0" * 96)
        with pytest.raises(DataError):
            read_file(tmp_path / "data.npy")
