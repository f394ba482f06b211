"""Which format a message is: declared, configured, or by its first bytes."""

import re

from echo_stream.connectors.codecs.config import CONTENT_TYPES, CodecConfig, Format
from echo_stream.connectors.codecs.fields import shown
from echo_stream.connectors.codecs.messages import DecodeError, Named
from echo_stream.connectors.codecs.readers.arrays import NPY_MAGIC
from echo_stream.connectors.codecs.readers.arrow import FILE_MAGIC, STREAM_MAGIC
from echo_stream.connectors.codecs.readers.image import JPEG_MAGIC, PNG_MAGIC
from echo_stream.connectors.files.layouts import raw_layout

_JSON_START = re.compile(rb'\s*\{\s*"')

_MAGIC: dict[bytes, Format] = {NPY_MAGIC: "npy", PNG_MAGIC: "image", FILE_MAGIC: "arrow"}
_WEAK_MAGIC: dict[bytes, Format] = {JPEG_MAGIC: "image", STREAM_MAGIC: "arrow"}

MAGIC_STARTS = frozenset(
    {*(magic[:1] for magic in _MAGIC), *(bytes([byte]) for byte in b"{ \t\n\r\v\f")}
)
"""First bytes of values that can be another format though their size is that of a raw one."""


def declared_format(named: Named, config: CodecConfig) -> Format | None:
    """Return the format of the content-type header, else of the configuration, if it is set.

    Raises
    ------
    DecodeError
        The header names another format than ours; parameters and capitals do not matter.
    """
    content_type = named.get("content-type")
    if content_type is None:
        return None if config.message_format == "auto" else config.message_format
    format = CONTENT_TYPES.get(content_type)
    if format is None:
        format = CONTENT_TYPES.get(content_type.split(b";")[0].strip().lower())
    if format is None:
        names = b", ".join(CONTENT_TYPES).decode()
        msg = f"content type {shown(content_type)} is not supported; use {names}"
        raise DecodeError(msg)
    return format


def format_of(value: bytes, named: Named, config: CodecConfig) -> Format:
    """Return the declared format, else what the value looks like.

    Raises
    ------
    DecodeError
        It looks like nothing that is known.
    """
    format = declared_format(named, config) or likely_format(value, named, config)
    if format is None:
        msg = "unknown format; declare dtype and shape of raw values, or send a content-type header"
        raise DecodeError(msg)
    return format


def payload_format(value: bytes, named: Named, config: CodecConfig) -> Format:
    """Return the format of a message that an encoder makes a vector of: json, image or text.

    Raises
    ------
    DecodeError
        It is declared to be another format.
    """
    format = declared_format(named, config)
    if format is None:
        is_object = _JSON_START.match(value) and value.rstrip().endswith(b"}")
        if config.payload_field is not None or is_object:
            return "json"
        return "image" if value.startswith((PNG_MAGIC, JPEG_MAGIC)) else "text"
    if format not in ("json", "image", "text"):
        msg = f"{format} content, where the encoder takes JSON, an image or text"
        raise DecodeError(msg)
    return format


def likely_format(value: bytes, named: Named, config: CodecConfig) -> Format | None:
    """Return the format that the first bytes, and the last, belong to; None for no format.

    What is as large as a raw value that is declared can begin as anything: only what is
    rare among numbers is not raw then.

    Raises
    ------
    DataError
        A layout of raw values is declared, and invalid.
    """
    for magic, format in _MAGIC.items():
        if value.startswith(magic):
            return format
    # One raw value in 256 begins with a brace: where its layout is known, only what
    # begins and ends as an object does is taken for JSON.
    if _JSON_START.match(value) and value.rstrip().endswith(b"}"):
        return "json"
    dtype, shape = named.get("dtype") or config.dtype, named.get("shape") or config.shape
    is_raw = dtype is not None and shape is not None
    if is_raw and raw_layout(dtype, shape).size == len(value):
        return "raw"
    for magic, format in _WEAK_MAGIC.items():
        if value.startswith(magic):
            return format
    if is_raw:
        return "raw"
    return "json" if value.lstrip().startswith(b"{") else None
