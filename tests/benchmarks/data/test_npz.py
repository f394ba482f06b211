"""Image sets are read from an `.npz` of any writer, and verified by what is in the arrays."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import load, published
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError
from tests.support.benchmarks.toy_files import write_idx, write_npz

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package
SETS = tuple(published.PUBLISHED)
WITHOUT_DIGESTS = ("cifar100", "svhn")


def toy_arrays(name: str) -> dict[str, Array]:
    """Return twenty training and ten test images of noise, in the layout of a set, with labels."""
    rng = np.random.default_rng(0)
    shape = published.PUBLISHED[name].shape
    x = rng.integers(0, 256, (30, *shape), dtype=np.uint8)
    y = rng.permuted(np.arange(30) % 10).astype(np.uint8)
    return {"x_train": x[:20], "y_train": y[:20], "x_test": x[20:], "y_test": y[20:]}


@pytest.fixture(params=SETS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a set of which the toy arrays are what is published."""
    name: str = request.param
    arrays = toy_arrays(name)
    known = published.PUBLISHED[name]
    digests = {array: hashlib.sha256(arrays[array].tobytes()).hexdigest() for array in arrays}
    counts = {array: tuple(np.bincount(arrays[array]).tolist()) for array in ("y_train", "y_test")}
    toy = known._replace(digests=digests) if known.digests else known._replace(counts=counts)
    monkeypatch.setitem(published.PUBLISHED, name, toy)
    return name


def channels_last(x: Array) -> Array:
    """Return images (n, h, w, c)."""
    return x[..., None] if x.ndim == 3 else x.transpose(0, 2, 3, 1)


def channels_first(x: Array) -> Array:
    """Return images (n, c, h, w)."""
    return x[:, None] if x.ndim == 3 else x


@pytest.mark.parametrize("layout", [np.asarray, channels_first, channels_last])
@pytest.mark.parametrize("is_packed", [True, False])
def test_every_image_set_is_read_from_an_npz(
    tmp_path: Path, name: str, layout: Callable[[Array], Array], *, is_packed: bool
) -> None:
    """Compressed or not, and wherever the channels are; what comes out is what files give."""
    arrays = toy_arrays(name)
    x_train, x_test = layout(arrays["x_train"]), layout(arrays["x_test"])
    arrays_there = arrays | {"x_train": x_train, "x_test": x_test}
    write_npz(tmp_path / f"{name}.npz", arrays_there, is_packed=is_packed)
    data = load(name, [tmp_path])
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.x_test, arrays["x_test"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])
    assert data.x_train.dtype == np.uint8
    assert data.y_test.dtype == np.int64
    assert data.model == ("lenet" if "mnist" in name else "resnet18")
    assert not data.is_embedding


def test_numbers_may_be_of_any_type(tmp_path: Path, name: str) -> None:
    """Keras has labels (n, 1) of some sets; it is the numbers that are verified."""
    arrays = toy_arrays(name)
    other = {array: values.astype(np.float64) for array, values in arrays.items()}
    write_npz(tmp_path / f"{name}.npz", other | {"y_train": other["y_train"][:, None]})
    data = load(name, [tmp_path])
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])


@pytest.mark.parametrize("array", ["x_train", "y_train", "x_test", "y_test"])
def test_another_array_is_refused(tmp_path: Path, name: str, array: str) -> None:
    """By name: with a sample too few in any set."""
    arrays = toy_arrays(name)
    write_npz(tmp_path / f"{name}.npz", arrays | {array: arrays[array][:-1]})
    with pytest.raises(SourceError, match=rf"{name}\.npz is not the file meant: its {array}"):
        load(name, [tmp_path])


def test_other_labels_are_refused(tmp_path: Path, name: str) -> None:
    """As many as there should be, but of other classes."""
    arrays = toy_arrays(name)
    arrays["y_test"][:] = 3
    write_npz(tmp_path / f"{name}.npz", arrays)
    with pytest.raises(SourceError, match="its y_test"):
        load(name, [tmp_path])


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_one_pixel_makes_another_set(tmp_path: Path, name: str) -> None:
    """Where the arrays' checksums are known, which the message names."""
    write_npz(tmp_path / f"{name}.npz", toy_arrays(name))
    with pytest.raises(SourceError, match=published.PUBLISHED[name].digests["x_train"]):
        load(name, [tmp_path])


@pytest.mark.parametrize("name", WITHOUT_DIGESTS)
def test_the_published_sizes_are_named(tmp_path: Path, name: str) -> None:
    """Where no checksum is known, a file of other sizes is told those meant."""
    write_npz(tmp_path / f"{name}.npz", toy_arrays(name))
    rows = sum(published.PUBLISHED[name].counts["y_train"])
    with pytest.raises(SourceError, match=f"its x_train must have {rows} samples"):
        load(name, [tmp_path])


def test_what_cannot_be_verified_is_said(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once on stderr, of the sets whose checksums are not known; nothing of the others."""
    write_npz(tmp_path / f"{name}.npz", toy_arrays(name))
    load(name, [tmp_path])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("no checksum of these arrays is known") == (name in WITHOUT_DIGESTS)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((4, 3)), np.zeros(4)),
        (np.full((4, 3, 32, 32), 0.5), np.zeros(4)),
        (np.full((4, 3, 32, 32), 1e9), np.zeros(4)),
        (np.full((4, 3, 32, 32), np.nan), np.zeros(4)),
        (np.full((4, 3, 32, 32), "a"), np.zeros(4)),
        (np.zeros((4, 3, 32, 32)), np.zeros((4, 2))),
        (np.zeros((4, 3, 32, 32)), np.full(4, -1)),
        (np.zeros(()), np.zeros(())),
    ],
)
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_what_are_no_images_is_refused(
    tmp_path: Path, name: str, images: Array, labels: Array
) -> None:
    """With the layout that is meant."""
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    write_npz(tmp_path / f"{name}.npz", arrays)
    with pytest.raises(SourceError, match=r"its [xy]_train, \S+ \(.*\), is not (images|labels)"):
        load(name, [tmp_path])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_npz_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """In the words of one without the arrays, not with a traceback."""
    (tmp_path / f"{name}.npz").write_bytes(content)
    with pytest.raises(SourceError, match=r"is no npz of x_train, y_train, x_test, y_test"):
        load(name, [tmp_path])
    np.savez(tmp_path / f"{name}.npz", x=np.zeros(3))
    with pytest.raises(SourceError, match=r"is no npz of x_train, y_train, x_test, y_test"):
        load(name, [tmp_path])


@pytest.mark.parametrize("name", ["svhn"], indirect=True)
def test_ten_is_zero_in_svhn(tmp_path: Path, name: str) -> None:
    """As its authors label the digit 0."""
    arrays = toy_arrays(name)
    tens = np.where(arrays["y_train"] == 0, 10, arrays["y_train"])
    write_npz(tmp_path / f"{name}.npz", arrays | {"y_train": tens})
    np.testing.assert_array_equal(load(name, [tmp_path]).y_train, arrays["y_train"])


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
def test_an_npz_is_taken_beside_files_of_other_content(tmp_path: Path, name: str) -> None:
    """Files that had to be refused do not stand in its way."""
    arrays = toy_arrays(name)
    write_idx(tmp_path, arrays["x_train"], arrays["y_train"])
    write_npz(tmp_path / f"{name}.npz", arrays)
    np.testing.assert_array_equal(load(name, [tmp_path]).x_test, arrays["x_test"])


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_read_from_an_npz(tmp_path: Path) -> None:
    """The same images as from its files."""
    data = load("fashion-mnist", [FASHION_MNIST])
    np.savez(
        tmp_path / "fashion-mnist.npz",
        x_train=data.x_train,
        y_train=data.y_train,
        x_test=data.x_test,
        y_test=data.y_test,
    )
    again = load("fashion-mnist", [tmp_path])
    np.testing.assert_array_equal(again.x_train, data.x_train)
    np.testing.assert_array_equal(again.y_test, data.y_test)
