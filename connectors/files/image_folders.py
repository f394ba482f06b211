"""Image folders: one file a sample, the sub-folder its class."""

import os
from collections.abc import Generator
from itertools import islice
from pathlib import Path

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.files.errors import naming
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.files.pixels import read_pixels
from echo_stream.connectors.files.source import Chunk
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.samples import as_objects
from echo_stream.samples.validation import SampleSchema

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Files of a folder that are images; others are skipped."""

MAX_IMAGES = 10_000_000
"""In a folder: their names are held in memory."""

_MAX_DEPTH = 32
"""Folders within folders."""

# Only these decoders are tried, whatever a file turns out to be.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")


class ImageReader:
    """Decode the images of a folder in the order of their paths.

    Parameters
    ----------
    folder : Path
        Images, or sub-folders of images, whose names are the labels. Hidden files and
        links that lead out of the folder are skipped; linked folders are not entered.

    Attributes
    ----------
    names : tuple of str
        Paths relative to the folder, with slashes. They are the ids.

    Raises
    ------
    DataError
        There are no images, or the first cannot be used.

    Notes
    -----
    The first image decides: x is uint8 of shape (height, width) where it is grey, else of
    shape (height, width, 3), and the others are converted likewise.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = _names_in(folder)
        if not self.names:
            msg = f"no images ({', '.join(SUFFIXES)}) and no .parquet files in it"
            raise DataError(msg)
        self.num_samples = len(self.names)
        self._has_classes = any("/" in name for name in self.names)
        self._is_grey: bool | None = None
        first = self._decode(self.names[0])
        self._is_grey = first.ndim == 2
        self.schema = SampleSchema(first.shape, first.dtype.name)

    @property
    def inputs(self) -> Inputs:
        """Return that folders are labels, if there are any, and paths ids."""
        return Inputs("images", "the first folder" if self._has_classes else None, "the path")

    @property
    def mapped(self) -> None:
        """Return None: x is read when it is asked for."""

    def chunks(self, start: int, max_rows: int) -> Generator[Chunk, None, None]:
        """Yield all images from start on, at most max_rows at a time."""
        for row in range(start, self.num_samples, max_rows):
            names = self.names[row : row + max_rows]
            x = np.empty((len(names), *self.schema.shape), np.uint8)
            for place, name in enumerate(names):
                x[place] = self._image(name)
            yield Chunk(x, self._labels(names), as_objects(names))

    def _image(self, name: str) -> Array:
        """Return an image that has the size of the first."""
        image = self._decode(name)
        if image.shape != self.schema.shape:
            expected, given = (f"{s[1]} × {s[0]}" for s in (self.schema.shape, image.shape))
            msg = (
                f"{name}: has {given} pixels where {self.names[0]} has {expected}; "
                "resize all images to one size"
            )
            raise ShapeError(msg)
        return image

    def _decode(self, name: str) -> Array:
        """Return an ndarray of shape (height, width) or (height, width, 3), uint8."""
        with naming(name):
            return read_pixels(self._folder / name, _FORMATS, is_grey=self._is_grey)

    def _labels(self, names: tuple[str, ...]) -> Array | None:
        """Return the first folder of each name; None beside the class folders."""
        if not self._has_classes:
            return None
        return as_objects([name.split("/")[0] if "/" in name else None for name in names])


def _names_in(folder: Path) -> tuple[str, ...]:
    """Return the images in a folder and below, relative to it, in order."""
    names = tuple(sorted(islice(_image_names(folder), MAX_IMAGES + 1)))
    if len(names) > MAX_IMAGES:
        msg = f"has more than {MAX_IMAGES} images; build from some of them, or save x as .npy"
        raise DataError(msg)
    return names


def _image_names(folder: Path) -> Generator[str, None, None]:
    """Yield the images in a folder and below, relative to it, in any order."""
    root = os.path.realpath(folder)
    for where, subfolders, files in os.walk(folder, onerror=_raise):
        inside = Path(where).relative_to(folder)
        if len(inside.parts) > _MAX_DEPTH:
            msg = f"{inside}: lies more than {_MAX_DEPTH} folders deep; move its images up"
            raise DataError(msg)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            path = Path(where, name)
            is_image = path.suffix.lower() in SUFFIXES and not name.startswith(".")
            # A link that leads back to itself stays, to be an error that names it.
            if is_image and (
                not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(root)
            ):
                yield path.relative_to(folder).as_posix()


def _raise(err: OSError) -> None:
    """Raise for a folder that may not be listed, which `os.walk` would skip."""
    raise err
