"""CIFAR-100's unpacked binary files are read, and verified by their labels."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import load, published
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError

GROUPED = np.stack([np.arange(10) // 5, np.arange(10)], axis=1)  # a coarse and a fine label each
LABELS = ("y_train", "y_test")


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one image of each of ten classes be what is published of CIFAR-100."""
    toy = published.PUBLISHED["cifar100"]._replace(counts=dict.fromkeys(LABELS, (1,) * 10))
    monkeypatch.setitem(published.PUBLISHED, "cifar100", toy)


def as_cifar100_binaries(folder: Path, labels: Array, test_labels: Array) -> tuple[Array, Array]:
    """Write train.bin and test.bin of noise with labels (n, 2), and return the images."""
    rng = np.random.default_rng(1)
    found = []
    folder.mkdir(exist_ok=True)
    for file, rows in (("train.bin", labels), ("test.bin", test_labels)):
        x = rng.integers(0, 256, (len(rows), 3, 32, 32), dtype=np.uint8)
        flat = np.concatenate([rows.astype(np.uint8), x.reshape(len(x), 3_072)], axis=1)
        (folder / file).write_bytes(flat.tobytes())
        found.append(x)
    return found[0], found[1]


@pytest.mark.parametrize("folder", ["cifar-100-binary", ""])
@pytest.mark.usefixtures("few_images")
def test_cifar100_is_read_unpacked(
    tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fine classes; stderr says that no checksum of these files is known."""
    x_train, x_test = as_cifar100_binaries(tmp_path / folder, GROUPED, GROUPED[::-1])
    data = load("cifar100", [tmp_path])
    np.testing.assert_array_equal(data.x_train, x_train)
    np.testing.assert_array_equal(data.x_test, x_test)
    assert data.y_train.tolist() == list(range(10))
    assert data.y_test.tolist() == list(range(10))[::-1]
    assert data.y_train.dtype == np.int64
    assert capsys.readouterr().err.count("no checksum of this file is known") == 2


@pytest.mark.parametrize(
    "labels",
    [
        GROUPED[:-1],  # a record too few
        GROUPED[:, ::-1],  # the fine label first
        np.stack([np.zeros(10, int), np.arange(10)], axis=1),  # one coarse class
        np.stack([np.arange(10) // 5 + 7, np.arange(10)], axis=1),  # coarse ones that are none
        np.stack([np.arange(10) % 2, np.arange(10) // 2], axis=1),  # two of each class
        np.zeros((0, 2), int),
        np.zeros((10, 1), int),  # one label, as CIFAR-10 has
    ],
)
@pytest.mark.usefixtures("few_images")
def test_other_records_than_those_published_are_refused(tmp_path: Path, labels: Array) -> None:
    """By their number, by the classes, or by how these go together."""
    as_cifar100_binaries(tmp_path, labels, GROUPED)
    with pytest.raises(SourceError, match=r"train\.bin is not the file meant"):
        load("cifar100", [tmp_path])


@pytest.mark.usefixtures("few_images")
def test_half_of_the_unpacked_files_is_not_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The set is missing, and nothing is said of the file that is there."""
    as_cifar100_binaries(tmp_path, GROUPED, GROUPED)
    (tmp_path / "test.bin").unlink()
    with pytest.raises(SourceError, match="there is no cifar100"):
        load("cifar100", [tmp_path])
    assert capsys.readouterr().err == ""
