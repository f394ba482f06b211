"""How messages are read where they do not say it themselves, and what is refused."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from echo_stream._common.checks import check_choice, check_whole
from echo_stream.config import MAX_TEXT_BYTES
from echo_stream.connectors.codecs.messages import Codec
from echo_stream.connectors.files.layouts import DTYPES, MAX_AXES
from echo_stream.connectors.files.pixels import MAX_PIXELS
from echo_stream.errors import ConfigError, SettingName
from echo_stream.samples.validation import SampleSchema

Format: TypeAlias = Literal["npy", "raw", "json", "arrow", "image"]
"""How the value of a message holds samples."""

SampleFormat: TypeAlias = Literal["npy", "raw", "json"]
"""A format that is written, one sample a message."""

ARROW_STREAM = b"application/vnd.apache.arrow.stream"

CONTENT_TYPES: dict[bytes, Format] = {
    b"application/x-npy": "npy",
    b"application/octet-stream": "raw",
    b"application/json": "json",
    ARROW_STREAM: "arrow",
    b"application/vnd.apache.arrow.file": "arrow",
    b"image/png": "image",
    b"image/jpeg": "image",
}
"""What a header `content-type` may say."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """How to read messages that do not say it themselves, and what to refuse.

    Attributes
    ----------
    message_format : {"auto", "npy", "raw", "json", "arrow", "image"}
        Of messages without a content-type header. "auto" looks at the first bytes.
    dtype : str or None
        Of raw messages and JSON without a dtype header. None: float32 for JSON.
    shape : tuple of int or None
        Of raw messages without a shape header. Where both are set, samples of another
        dtype or shape are refused, in whatever format they come.
    max_message_bytes, max_elements, max_pixels : int
        Limits of one message, checked before it is decoded: its bytes, also once they are
        uncompressed; the values of all its samples; the pixels of its image, of which
        Pillow's own limit allows 89 million.
    max_text_bytes : int
        Limit of an id, or a label that is text, in UTF-8.
    codec : Codec or None
        Decodes all messages, whatever they say.
    """

    message_format: Format | Literal["auto"] = "auto"
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    max_message_bytes: int = 16 * 1024**2  # 16 MiB; brokers accept 1 MiB by default
    max_elements: int = 16_777_216  # 64 MiB of float32
    max_pixels: int = MAX_PIXELS
    max_text_bytes: int = MAX_TEXT_BYTES
    codec: Codec | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no message could satisfy."""
        check_choice("message_format", self.message_format, ("auto", *get_args(Format)))
        if self.dtype is not None and self.dtype not in DTYPES:
            words = f" must be one such as float32 or uint8; got {self.dtype!r}"
            raise ConfigError(SettingName("dtype"), words)
        if self.shape is not None and not (0 < len(self.shape) <= MAX_AXES and min(self.shape) > 0):
            words = f" must be 1 to {MAX_AXES} positive numbers; got {self.shape}"
            raise ConfigError(SettingName("shape"), words)
        for name in ("max_message_bytes", "max_elements", "max_pixels", "max_text_bytes"):
            check_whole(name, getattr(self, name), at_least=1)

    @property
    def schema(self) -> SampleSchema | None:
        """Return what every sample is said to be; None where the first one decides."""
        if self.dtype is None or self.shape is None:
            return None
        return SampleSchema(self.shape, np.dtype(self.dtype).name)
