"""Data files: `.npz` and `.npy`, read whole or as a stream.

Nothing in a file is trusted: no pickle is ever loaded, and whatever is wrong with
it ends in one line that names the file.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from echo_stream.errors import DataError, EchoStreamError, SourceError
from echo_stream.samples import Samples
from echo_stream.source import ArraySource
from echo_stream.typing import Array
from echo_stream.validation import as_samples, first_line

SUFFIXES = (".npz", ".npy")
"""Kinds of data files that `read_file` knows."""

_COLUMNS = ("x", "y", "id", "y_known")


def read_file(path: str | Path) -> Samples:
    """Read and check all samples of a data file.

    Parameters
    ----------
    path : str or Path
        `.npz` with the array ``x`` of shape (n, ...) and, if there, ``y`` and ``id`` of
        shape (n,); or `.npy`, whose array is x. Where ``y_known`` is False a label is
        unknown, as in an exported snapshot.

    Returns
    -------
    Samples
        At least one. Ids are row numbers where the file has none. x of a `.npy` is
        mapped from the file, read-only, unless its byte order is foreign.

    Raises
    ------
    SourceError
        The file is not there or may not be read.
    DataError
        It is damaged, of another kind, or holds what `as_samples` refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "data.npz"), x=np.eye(3), y=["a", "b", "c"])
    ...     samples = read_file(Path(folder, "data.npz"))
    >>> samples.x.shape, samples.labels.tolist()
    ((3, 3), ['a', 'b', 'c'])
    """
    path = Path(path)
    with _naming(path):
        _check_path(path)
        columns = _read_npy(path) if path.suffix.lower() == ".npy" else _read_npz(path)
        samples = as_samples(columns["x"], _labels(columns), columns.get("id"))
        if len(samples) == 0:
            msg = "x holds no samples; give a file with at least one"
            raise DataError(msg)
        return samples


def _labels(columns: dict[str, Array]) -> Array | None:
    """Return y, with None where y_known says that a label is unknown."""
    y, known = columns.get("y"), columns.get("y_known")
    if y is None or known is None:
        return y
    if known.dtype != bool or known.shape != y.shape:
        msg = f"y_known has shape {known.shape}, dtype {known.dtype}; give a boolean for each y"
        raise DataError(msg)
    labels = y.astype(object)
    labels[~known] = None
    return labels


def file_source(path: str | Path) -> ArraySource:
    """Return a source that reads a data file once, as a stream.

    Its description holds the SHA-256 of the file, so that another one, or the same one
    edited, can be told from the one that was counted, and a moved one cannot.
    """
    path = Path(path)
    samples = read_file(path)
    description = {
        "kind": "file",
        "path": str(path.resolve()),
        "sha256": _checksum(path),
        "n": len(samples),
    }
    return ArraySource(samples, name=str(path), description=description)


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn every failure to read into an error that names the file."""
    try:
        yield
    except EchoStreamError as err:
        msg = f"{path}: {first_line(err)}"
        raise type(err)(msg) from err
    except PermissionError as err:
        msg = f"{path}: may not be read; change its permissions"
        raise SourceError(msg) from err
    except MemoryError as err:
        msg = (
            f"{path}: does not fit into memory ({first_line(err)}); save x as .npy, which is mapped"
        )
        raise DataError(msg) from err
    # numpy, zipfile and zlib raise a dozen unrelated classes, SyntaxError and
    # NotImplementedError among them, when the bytes of a file are not what they claim.
    except Exception as err:
        msg = f"{path}: damaged, or not what its suffix says ({first_line(err)}); write it again"
        raise DataError(msg) from err


def _check_path(path: Path) -> None:
    """Refuse what can be refused before opening the file."""
    if not path.exists():
        msg = "no such file"
        raise SourceError(msg)
    if path.is_dir():
        msg = f"is a folder; name a file in it ({' or '.join(SUFFIXES)})"
        raise DataError(msg)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"unknown kind of file {path.suffix!r}; supported are {' and '.join(SUFFIXES)}"
        raise DataError(msg)
    if path.stat().st_size == 0:
        msg = "empty file (0 bytes); write it again"
        raise DataError(msg)


def _read_npy(path: Path) -> dict[str, Array]:
    """Return the array of a `.npy` as x, mapped from the file."""
    with path.open("rb") as file:
        _refuse_objects(file, "x")
    return {"x": np.lib.format.open_memmap(path, mode="r")}


def _read_npz(path: Path) -> dict[str, Array]:
    """Return the arrays x, y and id of a `.npz`; other arrays are not read."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "x" not in names:
            msg = f"no array x in it; it has {', '.join(names) or 'none'}"
            raise DataError(msg)
        return {name: _read_member(archive, name) for name in _COLUMNS if name in names}


def _read_member(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as file:
        _refuse_objects(file, name)
    with archive.open(f"{name}.npy") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _refuse_objects(file: IO[bytes], name: str) -> None:
    """Raise DataError if the header at the start of a file says that it holds pickles."""
    first = np.lib.format.read_magic(file) == (1, 0)
    # Version 3 differs from 2 in the encoding of field names only.
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    _, _, dtype = read(file)
    if dtype.hasobject:
        msg = f"{name} holds Python objects, which are never loaded; save numbers or text"
        raise DataError(msg)
