"""Image folders: order, labels, ids, colours, and what is refused."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echo_stream.connectors.files import image_folders as image_reader
from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.errors import DataError, ShapeError, SourceError
from tests.support.data_files import write_images

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOURS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def test_class_folders_are_labels(tmp_path: Path) -> None:
    """The first folder is the label, the path the id, and paths are the order."""
    names = ["dog/1.png", "cat/b.png", "cat/2020/a.png", "cat/a.png"]
    samples = read_file(write_images(tmp_path, {name: GREY + i for i, name in enumerate(names)}))
    assert samples.ids.tolist() == ["cat/2020/a.png", "cat/a.png", "cat/b.png", "dog/1.png"]
    assert samples.labels is not None
    assert samples.labels.tolist() == ["cat", "cat", "cat", "dog"]
    assert samples.x[:, 0, 0].tolist() == [2, 3, 1, 0]


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    """Beside class folders, an image without one has a label that is not known."""
    write_images(tmp_path, {"a.png": GREY, "b.png": GREY})
    assert read_file(tmp_path).labels is None
    labels = read_file(write_images(tmp_path, {"cat/c.png": GREY})).labels
    assert labels is not None
    assert labels.tolist() == [None, None, "cat"]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.PNG"])
@pytest.mark.parametrize("image", [GREY, COLOURS])
def test_pixels_are_kept(
    tmp_path: Path, name: str, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    """Grey is (height, width), colour (height, width, 3), uint8 both."""
    x = read_file(write_images(tmp_path, {name: image})).x
    np.testing.assert_array_equal(x[0], image)
    assert x.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_formats_come_close(tmp_path: Path, suffix: str) -> None:
    """JPEG and WebP are read as what they look like."""
    grey = np.full((8, 8, 3), 100, np.uint8)
    x = read_file(write_images(tmp_path, {f"a.{suffix}": grey})).x
    np.testing.assert_allclose(x[0].astype(int), 100, atol=3)  # a flat area loses next to nothing


def test_first_image_decides_the_mode(tmp_path: Path) -> None:
    """Colour becomes grey after a grey image, and grey colour after one in colour."""
    write_images(tmp_path / "grey", {"a.png": GREY, "b.png": COLOURS})
    write_images(tmp_path / "colour", {"a.png": COLOURS, "b.png": GREY})
    assert read_file(tmp_path / "grey").x.shape == (2, 3, 4)
    x = read_file(tmp_path / "colour").x
    assert x.shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(x[1], np.repeat(GREY[..., np.newaxis], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("1", (3, 4)), ("LA", (3, 4)), ("P", (3, 4, 3)), ("RGBA", (3, 4, 3))],
)
def test_other_modes_become_grey_or_colour(
    tmp_path: Path, mode: str, shape: tuple[int, ...]
) -> None:
    """Bits, palettes and transparency are converted."""
    Image.fromarray(COLOURS).convert(mode).save(tmp_path / "a.png")
    assert read_file(tmp_path).x.shape == (1, *shape)


def test_palette_with_transparency(tmp_path: Path) -> None:
    """A palette whose entries are see-through is read without a warning."""
    image = Image.fromarray(COLOURS).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert read_file(tmp_path).x.shape == (1, 3, 4, 3)


def test_deep_greys_are_refused(tmp_path: Path) -> None:
    """16 bits would be cut to 8, so the image is refused."""
    Image.fromarray(GREY.astype(np.uint16) * 5_000).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: has more than 8 bits a value"):
        read_file(tmp_path)


def test_one_size(tmp_path: Path) -> None:
    """The message names the image, both sizes, and what to do."""
    write_images(tmp_path, {"cat/a.png": GREY, "cat/b.png": GREY[:, :2]})
    words = r"cat/b\.png: has 2 × 3 pixels where cat/a\.png has 4 × 3; resize all images"
    source = file_source(tmp_path)
    with pytest.raises(ShapeError, match=words):
        source.next_batch(2)


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    """Other files, hidden files and hidden folders are no samples."""
    write_images(tmp_path, {"cat/a.png": GREY, "cat/._a.png": GREY, ".cache/b.png": GREY})
    (tmp_path / "cat" / "labels.csv").write_text("a,b")
    assert read_file(tmp_path).ids.tolist() == ["cat/a.png"]


def test_links_that_leave_the_folder(tmp_path: Path) -> None:
    """A link to elsewhere, image or folder, is not followed; one within is."""
    write_images(tmp_path / "outside", {"secret.png": GREY})
    inside = write_images(tmp_path / "inside", {"cat/a.png": GREY})
    (inside / "cat" / "linked.png").symlink_to(tmp_path / "outside" / "secret.png")
    (inside / "folder").symlink_to(tmp_path / "outside")
    (inside / "cat" / "same.png").symlink_to(inside / "cat" / "a.png")
    assert read_file(inside).ids.tolist() == ["cat/a.png", "cat/same.png"]


def test_damaged_image_is_named(tmp_path: Path) -> None:
    """The message names folder and image; a picture of another format is read as what it is."""
    write_images(tmp_path, {"a.png": GREY, "b.png": GREY})
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    source = file_source(tmp_path)
    with pytest.raises(DataError, match=rf"{tmp_path.name}: b\.png: damaged"):
        source.next_batch(2)
    Image.fromarray(GREY).save(tmp_path / "b.png", "BMP")
    assert len(read_file(tmp_path)) == 2
    Image.fromarray(GREY).save(tmp_path / "b.png", "TIFF")
    with pytest.raises(DataError, match=r"b\.png: damaged, or not what its suffix says"):
        read_file(tmp_path)


def test_image_that_has_gone(tmp_path: Path) -> None:
    """An image that goes between two passes is a matter of the source."""
    source = file_source(write_images(tmp_path, {"a.png": GREY, "b.png": GREY}))
    (tmp_path / "b.png").unlink()
    with pytest.raises(SourceError, match=r"b\.png: no such file"):
        source.next_batch(2)


def test_memory_holds_a_chunk(tmp_path: Path) -> None:
    """A pass over 6 MB of pixels, ten images at a time, takes a fraction of it."""
    image = np.zeros((100, 100, 3), np.uint8)
    write_images(tmp_path, {f"{row}.png": image for row in range(200)})
    source = file_source(tmp_path, chunk_rows=10)
    tracemalloc.start()
    for _ in source.batches():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 10 * image.nbytes


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limit on pixels holds, for what it would only warn of as well."""
    write_images(tmp_path, {"a.png": GREY})
    for limit in (11, 5):  # 12 pixels: a warning above the limit, an error above its double
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"a\.png: .*decompression bomb"):
            read_file(tmp_path)


def test_large_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """80 million pixels take 2 MB as a file, and would take 240 once decoded."""
    Image.new("RGB", (8_000, 10_000)).save(tmp_path / "a.png")
    tracemalloc.start()
    words = r"a\.png: image has 80000000 pixels, more than the limit of 16777216; make images small"
    with pytest.raises(DataError, match=words):
        file_source(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    Image.new("RGB", (4_000, 3_000)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: x has 36000000 elements"):
        file_source(tmp_path)


def test_circular_link_is_named(tmp_path: Path) -> None:
    """Links that lead to each other are told by name."""
    write_images(tmp_path, {"cat/a.png": GREY})
    (tmp_path / "cat" / "b.png").symlink_to("c.png")
    (tmp_path / "cat" / "c.png").symlink_to("b.png")
    source = file_source(tmp_path)
    words = rf"{tmp_path.name}: cat/b\.png: a link that leads back to itself; remove it"
    with pytest.raises(SourceError, match=words):
        source.next_batch(3)


def test_circular_folders_are_not_entered(tmp_path: Path) -> None:
    """A link to a folder above is passed over."""
    write_images(tmp_path, {"cat/a.png": GREY})
    (tmp_path / "cat" / "up").symlink_to("..")
    assert read_file(tmp_path).ids.tolist() == ["cat/a.png"]


def test_deep_folders_are_refused(tmp_path: Path) -> None:
    """The walk ends somewhere, and says where."""
    deep = "/".join("d" * 33)
    write_images(tmp_path, {f"{deep}/a.png": GREY})
    with pytest.raises(DataError, match=f"{tmp_path.name}: {deep}: lies more than 32 folders deep"):
        file_source(tmp_path)


def test_number_of_images_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more names are read than are allowed."""
    monkeypatch.setattr(image_reader, "MAX_IMAGES", 2)
    write_images(tmp_path, {"a.png": GREY, "b.png": GREY})
    assert len(read_file(tmp_path)) == 2
    write_images(tmp_path, {"c.png": GREY})
    with pytest.raises(DataError, match="has more than 2 images; build from some of them"):
        file_source(tmp_path)
