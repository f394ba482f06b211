"""How messages are read where they do not say it themselves, and what is refused."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from echo_stream._common.checks import check_choice, check_whole
from echo_stream.config import MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES
from echo_stream.connectors.codecs.messages import Codec
from echo_stream.connectors.files.layouts import DTYPES, MAX_AXES
from echo_stream.connectors.files.pixels import MAX_PIXELS
from echo_stream.errors import ConfigError, SettingName
from echo_stream.samples.validation import SampleSchema

Format: TypeAlias = Literal["npy", "raw", "json", "arrow", "image", "text"]
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
    b"text/plain": "text",
}
"""What a header `content-type` may say."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """How to read messages that do not say it themselves, and what to refuse.

    Attributes
    ----------
    message_format : {"auto", "npy", "raw", "json", "arrow", "image", "text"}
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
    max_payload_bytes : int
        Limit of a payload.
    is_encoded : bool
        Whether an encoder makes the vectors: each message has a payload then. It is the field
        below, else the whole message: text, a JSON object, or the bytes of an image.
    payload_field : str or None
        Field of JSON with the payload, which is text.
    vector_field : str
        Field of JSON with what is measured, where no encoder makes it.
    label_field, id_field : str or None
        Fields of JSON with label and id. None: label or y, and id.
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
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    is_encoded: bool = False
    payload_field: str | None = None
    vector_field: str = "x"
    label_field: str | None = None
    id_field: str | None = None
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
        for name in (
            "max_message_bytes", "max_elements", "max_pixels", "max_text_bytes",
            "max_payload_bytes",
        ):  # fmt: skip
            check_whole(name, getattr(self, name), at_least=1)
        self._check_fields()

    def _check_fields(self) -> None:
        """Refuse one field for two things, and payloads where something else reads messages."""
        names = ("payload_field", "vector_field", "label_field", "id_field")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.is_encoded:
            given.pop("vector_field")
        for name, field in given.items():
            others = [other for other in given if other != name and given[other] == field]
            if others:
                raise ConfigError(
                    SettingName(name), " and ", SettingName(others[0]), f" are both {field!r}"
                )
        if self.codec is not None and (self.is_encoded or self.payload_field is not None):
            words = " reads whole messages; leave it out, or "
            raise ConfigError(
                SettingName("codec"),
                words,
                SettingName("encoder" if self.is_encoded else "payload_field"),
            )

    @property
    def has_payloads(self) -> bool:
        """Whether samples have payloads beside what is measured."""
        return self.is_encoded or self.payload_field is not None

    @property
    def schema(self) -> SampleSchema | None:
        """Return what every sample is said to be; None where the first one decides."""
        if self.dtype is None or self.shape is None:
            return None
        return SampleSchema(self.shape, np.dtype(self.dtype).name)
