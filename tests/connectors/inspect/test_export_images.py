"""A snapshot as a folder of images: classes, names that lead nowhere, and no half of one."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.inspect.export import export_snapshot
from echo_stream.errors import ConfigError, DataError

N = 24


def snapshot_of(x: Array, labels: Any = None, ids: Any = None, **settings: Any) -> Snapshot:
    """Return a snapshot that holds every sample."""
    engine = EchoCoreset(len(x), warmup=len(x), device="cpu", **settings)
    return engine.fit(x, labels, ids).snapshot()


def pixels(*shape: int) -> Array:
    """Return random images, uint8."""
    return np.random.default_rng(0).integers(0, 256, (N, *shape), dtype=np.uint8)


def metadata(folder: Path) -> list[dict[str, str]]:
    """Return the lines of metadata.csv."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_images_are_read_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Our own reader finds the pixels, and the folder's name is the label."""
    x = pixels(*shape)
    snapshot = snapshot_of(x, ["cat", "dog"] * (N // 2), [f"s{row}" for row in range(N)])
    folder = export_snapshot(snapshot, tmp_path / "images")
    read = read_file(folder)
    assert len(read) == N
    assert read.labels is not None
    lines = {line["file_name"]: line for line in metadata(folder)}
    for name, label, image in zip(read.ids, read.labels, read.x, strict=True):
        row = int(lines[name]["id"].removeprefix("s"))
        np.testing.assert_array_equal(image, x[row])
        assert label == lines[name]["label"] == ("cat", "dog")[row % 2]
    assert sum(float(line["weight"]) for line in lines.values()) == pytest.approx(N)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (4, 5, 1), (4, 5, 4)])
def test_channels_first_or_last(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Models' layouts are images too."""
    x = pixels(*shape)
    folder = export_snapshot(snapshot_of(x), tmp_path / "images")
    assert {line["label"] for line in metadata(folder)} == {""}
    for line in metadata(folder):
        assert line["file_name"].startswith("_unknown/")
        with Image.open(folder / line["file_name"]) as image:
            sample = x[int(line["id"])]
            expected = np.moveaxis(sample, 0, 2) if shape[0] in (1, 3) else sample
            np.testing.assert_array_equal(np.asarray(image), np.squeeze(expected))


def test_vectors_of_a_shape(tmp_path: Path) -> None:
    """A flat sample is an image if its shape is given; floats from 0 to 1 are grey."""
    x = pixels(20)
    snapshot = snapshot_of((x / 255).astype(np.float32))
    folder = export_snapshot(snapshot, tmp_path / "images", image_shape=(4, 5))
    for line in metadata(folder):
        with Image.open(folder / line["file_name"]) as image:
            np.testing.assert_array_equal(np.asarray(image), x[int(line["id"])].reshape(4, 5))


NASTY = [
    "../../up", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "con", "-rf", "_unknown", ".hidden",
    "ä ö\n", "%2F", "~", "x" * 300, "x" * 299 + "y", "nul\0", "*?", "C:\\", "a" * 99 + "/",
    "_", "plain", "Plain", " ",
]  # fmt: skip


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Whatever labels and ids say: one level of folders, and no two classes become one."""
    assert len(NASTY) == N
    ids = [f"{name}/{name}" if len(name) < 150 else name for name in NASTY]  # 300 bytes at most
    snapshot = snapshot_of(pixels(4, 5), NASTY, ids)
    inside = tmp_path / "inside"
    inside.mkdir()
    folder = export_snapshot(snapshot, inside / "images")
    assert list(tmp_path.iterdir()) == [inside]
    assert list(inside.iterdir()) == [folder]
    classes = [path for path in folder.iterdir() if path.is_dir()]
    assert len(classes) == N
    assert len(list(folder.rglob("*.png"))) == N
    for path in folder.rglob("*"):
        assert len(path.relative_to(folder).parts) <= 2
        assert not path.name.startswith(".")
        assert not path.is_symlink()
    assert sorted(line["label"] for line in metadata(folder)) == sorted(NASTY)


def test_core_and_support_are_one_image(tmp_path: Path) -> None:
    """A sample of two roles has two lines, as the snapshot has two rows."""
    x = np.random.default_rng(0).random((N, 4, 5)).astype(np.float32)
    engine = EchoCoreset(N, preset="paper", support=2, epochs=0, warmup=N, device="cpu")
    snapshot = engine.fit(x).snapshot()
    folder = export_snapshot(snapshot, tmp_path / "images")
    lines = metadata(folder)
    assert [line["id"] for line in lines] == snapshot.rows.samples.ids.tolist()
    assert len(lines) > len(list(folder.rglob("*.png"))) == N


@pytest.mark.parametrize(
    ("x", "shape", "error", "words"),
    [
        (pixels(20), None, ConfigError, "image_shape must be height,width"),
        (pixels(20), (4, 6), ConfigError, "must have 20 values, .*; got 4,6"),
        (pixels(4, 5).astype(np.float32), None, DataError, "uint8, or floats from 0 to 1"),
        (pixels(4, 5).astype(np.int64), None, DataError, "uint8, or floats from 0 to 1"),
        (pixels(2, 4, 5, 3), None, ConfigError, "image_shape must be"),
    ],
)
def test_no_images(
    tmp_path: Path, x: Array, shape: tuple[int, ...] | None, error: type[Exception], words: str
) -> None:
    """It is told in one line, and nothing is left behind."""
    snapshot = snapshot_of(x)
    with pytest.raises(error, match=words):
        export_snapshot(snapshot, tmp_path / "images", image_shape=shape)
    assert list(tmp_path.iterdir()) == []


def test_destination_in_the_way(tmp_path: Path) -> None:
    """Nobody's folder is written into, and one that is not there is not made."""
    (tmp_path / "mine").mkdir()
    snapshot = snapshot_of(pixels(4, 5))
    with pytest.raises(ConfigError, match="mine already exists"):
        export_snapshot(snapshot, tmp_path / "mine")
    with pytest.raises(ConfigError, match="there is no folder"):
        export_snapshot(snapshot, tmp_path / "nothing" / "images")
    with pytest.raises(ConfigError, match=r"not a \.npz or \.parquet file"):
        export_snapshot(snapshot, tmp_path / "images.zip")
    assert list((tmp_path / "mine").iterdir()) == []
