"""PNG and JPEG out of untrusted bytes."""

import io

from PIL import UnidentifiedImageError

from echo_stream._common.typing import Array
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.messages import DecodeError, decode_errors
from echo_stream.connectors.files.pixels import read_pixels
from echo_stream.samples.validation import SampleSchema

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
        It is damaged, or of another format.
    DataError
        It is over a limit, or has more than 8 bits a value.
    """
    is_grey = None if schema is None else len(schema.shape) == 2
    try:
        with decode_errors("image"):
            return read_pixels(
                io.BytesIO(value),
                ("PNG", "JPEG"),
                is_grey=is_grey,
                max_pixels=config.max_pixels,
                max_values=config.max_elements,
            )
    except DecodeError as err:
        if isinstance(err.__cause__, UnidentifiedImageError):  # Pillow's words are an address
            msg = "invalid image: neither PNG nor JPEG, or damaged where it begins"
            raise DecodeError(msg) from err
        raise
