"""How messages are read where they do not say it themselves, and what is refused."""

from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias, get_args

from echo_stream.connectors.codecs.layouts import DTYPES, MAX_AXES
from echo_stream.errors import ConfigError

Format: TypeAlias = Literal["npy", "raw", "json"]
"""How the value of a message holds samples."""

CONTENT_TYPES: dict[Format, bytes] = {
    "npy": b"application/x-npy",
    "raw": b"application/octet-stream",
    "json": b"application/json",
}
"""What a header `content-type` says of each format."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """How to read messages that do not say it themselves, and what to refuse.

    Attributes
    ----------
    format : {"auto", "npy", "raw", "json"}
        Of messages without a content-type header. "auto" looks at the first bytes.
    dtype : str or None
        Of raw messages and JSON without a dtype header. None: float32 for JSON.
    shape : tuple of int or None
        Of raw messages without a shape header.
    max_bytes, max_elements : int
        Limits of one message, checked before it is decoded.
    """

    format: Format | Literal["auto"] = "auto"
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    max_bytes: int = 16 * 1024**2  # 16 MiB; brokers take 1 MiB unless told otherwise
    max_elements: int = 16_777_216  # 64 MiB of float32

    def __post_init__(self) -> None:
        """Refuse settings that no message could satisfy."""
        if self.format not in ("auto", *get_args(Format)):
            _refuse(f"format must be auto, {', '.join(get_args(Format))}; got {self.format!r}")
        if self.dtype is not None and self.dtype not in DTYPES:
            _refuse(f"dtype must be one such as float32 or uint8; got {self.dtype!r}")
        if self.shape is not None and not (0 < len(self.shape) <= MAX_AXES and min(self.shape) > 0):
            _refuse(f"shape must be 1 to {MAX_AXES} positive numbers; got {self.shape}")
        for name in ("max_bytes", "max_elements"):
            if getattr(self, name) < 1:
                _refuse(f"{name} must be at least 1; got {getattr(self, name)}")


def _refuse(message: str) -> NoReturn:
    raise ConfigError(message)
