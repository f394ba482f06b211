"""Images as arrays, the same from a folder and from a message."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from echo_stream.errors import DataError
from echo_stream.typing import Array

_GREY_MODES = ("1", "L", "LA")


def read_pixels(
    file: Path | IO[bytes],
    formats: tuple[str, ...],
    *,
    is_grey: bool | None,
    check: Callable[[tuple[int, ...]], None] | None = None,
) -> Array:
    """Return the pixels of an image.

    Parameters
    ----------
    file : Path or binary file
    formats : tuple of str
        Decoders of Pillow's that are tried, whatever the file turns out to be.
    is_grey : bool or None
        What the image is converted to; None: grey if it has no colours.
    check : callable, optional
        Told the shape before the image is decoded; may raise.

    Returns
    -------
    ndarray of shape (height, width) if grey, else (height, width, 3), uint8

    Raises
    ------
    DataError
        The image has more than 8 bits a value.
    Exception
        What Pillow raises of a damaged file or of over 89 million pixels.
    """
    with warnings.catch_warnings():
        # Pillow warns from its limit on, and refuses at twice that.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=formats) as image:
            mode = _mode_of(image, is_grey)
            if check is not None:
                check((image.height, image.width, 3)[: 2 if mode == "L" else 3])
            if image.mode == "P" and "transparency" in image.info:
                return np.asarray(image.convert("RGBA").convert(mode))  # Pillow warns otherwise
            return np.asarray(image.convert(mode))


def _mode_of(image: Image.Image, is_grey: bool | None) -> str:
    """Return what an image is converted to."""
    if image.mode.startswith(("I", "F")):
        msg = f"has more than 8 bits a value (mode {image.mode}); save it with 8, or x as .npy"
        raise DataError(msg)
    if is_grey is None:
        is_grey = image.mode in _GREY_MODES
    return "L" if is_grey else "RGB"
