"""Which format a message is: declared, configured, or by its first bytes."""

import re

from echo_stream.connectors.codecs.config import CONTENT_TYPES, CodecConfig, Format
from echo_stream.connectors.codecs.fields import shown
from echo_stream.connectors.codecs.messages import DecodeError, Named
from echo_stream.connectors.codecs.npy import NPY_MAGIC

_FORMATS = {content_type: format for format, content_type in CONTENT_TYPES.items()}
_JSON_START = re.compile(rb'\s*\{\s*"')

MAGIC_STARTS = frozenset(byte.to_bytes() for byte in NPY_MAGIC[:1] + b"{ \t\n\r\v\f")
"""First bytes of values that are another format though their size is that of a raw one."""


def declared_format(named: Named, config: CodecConfig) -> Format | None:
    """Return the format of the content-type header, else of the configuration, if it is set.

    Raises
    ------
    DecodeError
        The header names another format than ours; parameters and capitals do not matter.
    """
    content_type = named.get("content-type")
    if content_type is None:
        return None if config.format == "auto" else config.format
    format = _FORMATS.get(content_type)
    if format is None:
        format = _FORMATS.get(content_type.split(b";")[0].strip().lower())
    if format is None:
        names = b", ".join(_FORMATS).decode()
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


def likely_format(value: bytes, named: Named, config: CodecConfig) -> Format | None:
    """Return the format that the first bytes, and the last, belong to; None for no format."""
    if value.startswith(NPY_MAGIC):
        return "npy"
    # One raw value in 256 begins with a brace: where its layout is known, only what
    # begins and ends as an object does is taken for JSON.
    if _JSON_START.match(value) and value.rstrip().endswith(b"}"):
        return "json"
    if (named.get("dtype") or config.dtype) and (named.get("shape") or config.shape):
        return "raw"
    if value.lstrip().startswith(b"{"):
        return "json"
    return None
