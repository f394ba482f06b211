"""PNG and JPEG out of untrusted bytes."""

import io
import math

from PIL import UnidentifiedImageError

from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.messages import DecodeError, legible
from echo_stream.connectors.pixels import read_pixels
from echo_stream.typing import Array
from echo_stream.validation import SampleSchema

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
"""How a PNG begins."""

JPEG_MAGIC = b"\xff\xd8\xff"
"""How a JPEG begins, and other values as well."""


def read_image(value: bytes, config: CodecConfig, schema: SampleSchema | None) -> Array:
    """Return the pixels of a PNG or JPEG.

    Parameters
    ----------
    value : bytes
    config : CodecConfig
    schema : SampleSchema or None
        Of the stream: tells whether its images are grey. None: as this one is.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), uint8

    Raises
    ------
    DecodeError
        It is damaged, over a limit, or of another format.
    DataError
        It has more than 8 bits a value.
    """

    def check(shape: tuple[int, ...]) -> None:
        """Refuse images over a limit before they are decoded."""
        pixels, values = shape[0] * shape[1], math.prod(shape)
        if pixels > config.max_pixels:
            msg = f"image has {pixels} pixels, more than the limit of {config.max_pixels}"
            raise DecodeError(msg)
        if values > config.max_elements:
            msg = f"x has {values} elements, more than the limit of {config.max_elements}"
            raise DecodeError(msg)

    is_grey = None if schema is None else len(schema.shape) == 2
    try:
        with legible("image"):
            return read_pixels(io.BytesIO(value), ("PNG", "JPEG"), is_grey=is_grey, check=check)
    except DecodeError as err:
        if isinstance(err.__cause__, UnidentifiedImageError):  # Pillow's words are an address
            msg = "illegible image: neither PNG nor JPEG, or damaged where it begins"
            raise DecodeError(msg) from err
        raise
