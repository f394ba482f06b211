"""Images as arrays, the same from a folder and from a message."""

import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from echo_stream._common.typing import Array
from echo_stream.errors import DataError

MAX_PIXELS = _MAX_VALUES = 4_096 * 4_096
"""Of an image, unless another limit is set; values are three to a pixel where it has colours."""

_GREY_MODES = ("1", "L", "LA")


def read_pixels(
    file: Path | IO[bytes],
    formats: tuple[str, ...],
    *,
    is_grey: bool | None,
    max_pixels: int = MAX_PIXELS,
    max_values: int = _MAX_VALUES,
) -> Array:
    """Return the pixels of an image.

    Parameters
    ----------
    file : Path or binary file
    formats : tuple of str
        Decoders of Pillow's that are tried, whatever the file turns out to be.
    is_grey : bool or None
        What the image is converted to; None: grey if it has no colours.
    max_pixels, max_values : int
        Looked at before the image is decoded.

    Returns
    -------
    ndarray of shape (height, width) if grey, else (height, width, 3), uint8

    Raises
    ------
    DataError
        The image is over a limit, or has more than 8 bits a value.
    Exception
        What Pillow raises of a damaged file or of over 89 million pixels.
    """
    with warnings.catch_warnings():
        # Pillow warns from its limit on, and refuses at twice that.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=formats) as image:
            mode = _mode_of(image, is_grey)
            pixels = image.height * image.width
            _check_size("image", "pixels", pixels, max_pixels)
            _check_size("x", "elements", pixels * (1 if mode == "L" else 3), max_values)
            if image.mode == "P" and "transparency" in image.info:
                return np.asarray(image.convert("RGBA").convert(mode))  # Pillow warns otherwise
            return np.asarray(image.convert(mode))


def _check_size(what: str, unit: str, size: int, limit: int) -> None:
    """Refuse an image that is over a limit."""
    if size > limit:
        msg = f"{what} has {size} {unit}, more than the limit of {limit}; make images smaller"
        raise DataError(msg)


def _mode_of(image: Image.Image, is_grey: bool | None) -> str:
    """Return what an image is converted to."""
    if image.mode.startswith(("I", "F")):
        msg = f"has more than 8 bits a value (mode {image.mode}); save it with 8, or x as .npy"
        raise DataError(msg)
    if is_grey is None:
        is_grey = image.mode in _GREY_MODES
    return "L" if is_grey else "RGB"
