"""From the bytes of a message to its samples: which format it is, and what is wrong with it."""

import re
from typing import Any

from echo_stream.connectors.codecs.config import CONTENT_TYPES, CodecConfig, Format
from echo_stream.connectors.codecs.fields import id_of, label_in, shown
from echo_stream.connectors.codecs.json import read_json
from echo_stream.connectors.codecs.layouts import raw_layout
from echo_stream.connectors.codecs.messages import Decoded, DecodeError, Headers, Named
from echo_stream.connectors.codecs.npy import NPY_MAGIC, read_npy
from echo_stream.connectors.codecs.raw import read_raw
from echo_stream.errors import DataError, ShapeError
from echo_stream.typing import Array
from echo_stream.validation import is_finite

_FORMATS = {content_type: format for format, content_type in CONTENT_TYPES.items()}
_JSON_START = re.compile(rb'\s*\{\s*"')


def decode(
    key: bytes | None, value: bytes | None, headers: Headers, config: CodecConfig
) -> Decoded:
    """Return the samples that a message holds.

    Parameters
    ----------
    key : bytes or None
        The id, when neither the headers nor JSON have one and the key is UTF-8.
    value : bytes or None
    headers : sequence of (str, bytes or None)
        ``content-type``, ``dtype`` and ``shape`` describe the value; ``id`` and ``label``
        go before those inside it. A label written as a number is one.
    config : CodecConfig

    Raises
    ------
    DecodeError
        The message holds nothing that can be used. No other exception comes out of one.

    Notes
    -----
    The format is that of the content-type header, else of the configuration, else what
    the first bytes look like. O(size); `.npy` and raw are not copied unless their byte
    order is foreign.

    Examples
    --------
    >>> decode(b"7", b'{"x": [1, 2.5], "y": "cat"}', [], CodecConfig())
    Decoded(x=array([[1. , 2.5]], dtype=float32), ids=('7',), labels=('cat',), is_batch=False)
    """
    if value is None:
        msg = "no value (tombstone)"
        raise DecodeError(msg)
    if len(value) > config.max_bytes:
        msg = f"value has {len(value)} bytes, more than the limit of {config.max_bytes}"
        raise DecodeError(msg)
    named = dict(headers)
    try:
        x, fields = _parse(value, named, config)
        sample = Decoded(x[None], (id_of(key, named, fields),), (label_in(named, fields),))
    except DecodeError:
        raise
    except ShapeError as err:
        raise DecodeError(str(err), "schema") from err
    except DataError as err:
        raise DecodeError(str(err)) from err
    if not is_finite(x):
        msg = "x is not finite as float32; remove or impute such values"
        raise DecodeError(msg, "nonfinite")
    return sample


def _parse(value: bytes, named: Named, config: CodecConfig) -> tuple[Array, dict[str, Any]]:
    """Return x, and the fields of JSON."""
    format = _format_of(value, named, config)
    if format == "npy":
        return read_npy(value, config.max_elements), {}
    dtype, shape = named.get("dtype") or config.dtype, named.get("shape") or config.shape
    if format == "json":
        name = dtype.decode("latin-1") if isinstance(dtype, bytes) else dtype
        return read_json(value, name or "float32", config.max_elements)
    if dtype is None or shape is None:
        msg = "raw value without dtype and shape; declare both, or send them as headers"
        raise DecodeError(msg)
    return read_raw(value, raw_layout(dtype, shape), config.max_elements), {}


def _format_of(value: bytes, named: Named, config: CodecConfig) -> Format:
    """Return the declared format, else what the value looks like."""
    content_type = named.get("content-type")
    if content_type is not None:
        return _FORMATS.get(content_type) or _declared_format(content_type)
    if config.format != "auto":
        return config.format
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
    msg = "unknown format; declare dtype and shape for raw values, or send a content-type header"
    raise DecodeError(msg)


def _declared_format(content_type: bytes) -> Format:
    """Return the format of a content type with parameters or capitals."""
    format = _FORMATS.get(content_type.split(b";")[0].strip().lower())
    if format is None:
        names = b", ".join(_FORMATS).decode()
        msg = f"content type {shown(content_type)} is not supported; use {names}"
        raise DecodeError(msg)
    return format
