"""Samples as images."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, DataError, SettingName

_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


def as_png(x: Array, shape: Sequence[int] | None = None) -> bytes:
    """Return one sample as the bytes of a PNG.

    Parameters
    ----------
    x : ndarray
        uint8, booleans (black and white), or floats from 0 to 1.
    shape : sequence of int, optional
        Of the image, where the sample is a vector: (height, width), or with 1, 3 or 4
        channels first or last. By default that of x.

    Raises
    ------
    ConfigError
        If the sample has another number of values than shape, or none of these shapes.
    DataError
        If its values are none of these.
    """
    if shape is not None and int(np.prod(shape)) != x.size:
        words = ",".join(map(str, shape))
        needed = f" must have {x.size} values, as the samples have; got {words}"
        raise ConfigError(SettingName("image_shape"), needed)
    pixels = _pixels(x)
    content = io.BytesIO()
    _image(pixels if shape is None else pixels.reshape(shape)).save(content, format="PNG")
    return content.getvalue()


def _pixels(x: Array) -> Array:
    """Return a sample's values as uint8."""
    if x.dtype == np.uint8:
        return x
    if x.dtype == np.bool_:
        return np.asarray(x * np.uint8(255))
    if x.dtype.kind == "f" and x.min() >= 0 and x.max() <= 1:
        return np.round(x * 255).astype(np.uint8)
    msg = (
        f"samples are not images: values must be uint8, or floats from 0 to 1; got {x.dtype} "
        f"from {x.min():g} to {x.max():g}"
    )
    raise DataError(msg)


def _image(pixels: Array) -> Image.Image:
    """Return pixels as an image."""
    if pixels.ndim == 3 and pixels.shape[0] in _CHANNELS and pixels.shape[2] not in _CHANNELS:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS):
        return Image.fromarray(np.ascontiguousarray(pixels))
    words = ",".join(map(str, pixels.shape))
    needed = f" must be height,width, or that with 1, 3 or 4 channels first or last; got {words}"
    raise ConfigError(SettingName("image_shape"), needed)
