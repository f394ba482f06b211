"""Decode the bytes of a message into samples, or say what is wrong with it."""

from typing import Any

import numpy as np

from echo_stream.connectors.codecs.changes import is_late_label, late_label, no_sample, tombstone
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.fields import id_of, label_in
from echo_stream.connectors.codecs.formats import format_of
from echo_stream.connectors.codecs.messages import Decoded, DecodeError, Headers, Named
from echo_stream.connectors.codecs.readers.arrays import read_npy, read_raw
from echo_stream.connectors.codecs.readers.arrow import read_arrow
from echo_stream.connectors.codecs.readers.custom import read_custom
from echo_stream.connectors.codecs.readers.image import read_image
from echo_stream.connectors.codecs.readers.json import array_of, read_fields
from echo_stream.connectors.files.inputs import LABELS
from echo_stream.connectors.files.layouts import raw_layout
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.changes import Change, LateLabel
from echo_stream.samples.validation import SampleSchema, finite_rows

_FIELDS = {"x", "id", *LABELS}
_EMPTY = 'a value of no bytes; a late label says so in a header "change": "label"'


def read_message(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    config: CodecConfig,
    schema: SampleSchema | None = None,
) -> Decoded | Change:
    """Return what a message brings: samples, a late label, or an id to forget.

    Parameters
    ----------
    key : bytes or None
        The id of a single sample, when neither the headers nor JSON have one and the key
        is UTF-8.
    value : bytes or None
    headers : sequence of (str, bytes or None)
        ``content-type``, ``dtype`` and ``shape`` describe the value; ``id`` and ``label``
        go before those inside JSON. A label written as a number is one. Arrow has columns
        for these.
    config : CodecConfig
    schema : SampleSchema, optional
        What samples are to be: tells whether images are grey. Otherwise it is the caller's
        to check.

    Raises
    ------
    DecodeError
        The message is invalid, or one sample of many is. No other exception is raised.

    Notes
    -----
    The format is that of the content-type header, else of the configuration, else what
    the first bytes look like. O(size); `.npy` and raw are not copied unless their byte
    order is foreign.

    Examples
    --------
    >>> read_message(b"7", b'{"x": [1, 2.5], "label": "cat"}', [], CodecConfig())[1:3]
    (('7',), ('cat',))
    >>> read_message(b"7", b'{"change": "label", "label": "cat"}', [], CodecConfig())
    LateLabel(id='7', label='cat', place=0, origin=None)
    >>> read_message(b"7", None, [], CodecConfig())
    Forget(id='7', place=0, origin=None)
    """
    if value is None:
        return tombstone(key, dict(headers))
    if len(value) > config.max_message_bytes:
        msg = f"value has {len(value)} bytes, more than the limit of {config.max_message_bytes}"
        raise DecodeError(msg)
    try:
        if config.codec is None:
            found = _read(key, value, dict(headers), config, schema)
        else:
            found = read_custom(config.codec, value, headers, key, config)
    except DecodeError:
        raise
    except ShapeError as err:
        raise DecodeError(str(err), "schema") from err
    except DataError as err:
        raise DecodeError(str(err)) from err
    if isinstance(found, Decoded):
        _check_finite(found)
    return found


def decode(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    config: CodecConfig,
    schema: SampleSchema | None = None,
) -> Decoded:
    """Do what `read_message` does with messages of which only samples are expected."""
    found = read_message(key, value, headers, config, schema)
    if not isinstance(found, Decoded):
        words = "a late label" if isinstance(found, LateLabel) else "no value (tombstone)"
        msg = f"{words}, where a sample is expected"
        raise DecodeError(msg)
    return found


def _read(
    key: bytes | None,
    value: bytes,
    named: Named,
    config: CodecConfig,
    schema: SampleSchema | None,
) -> Decoded | LateLabel:
    """Return what a message of one of our formats brings."""
    if not value and is_late_label(named, {}):
        return late_label(key, named, {})
    if not value:
        raise DecodeError(_EMPTY)
    format = format_of(value, named, config)
    if format != "json" and is_late_label(named, {}):
        msg = f"a late label with {format} content; send JSON, or no content and a header label"
        raise DecodeError(msg)
    if format == "arrow":
        return read_arrow(value, config)
    fields: dict[str, Any] = {}
    dtype, shape = named.get("dtype") or config.dtype, named.get("shape") or config.shape
    if format == "npy":
        x = read_npy(value, config.max_elements)
    elif format == "image":
        x = read_image(value, config, schema)
    elif format == "json":
        name = dtype.decode("latin-1") if isinstance(dtype, bytes) else dtype
        fields = read_fields(value, config.max_elements)
        if is_late_label(named, fields):
            return late_label(key, named, fields)
        if "x" not in fields:
            raise no_sample(fields)
        x = array_of(fields["x"], name or "float32", config.max_elements)
    elif dtype is None or shape is None:
        msg = "raw value without dtype and shape; declare both, or send them as headers"
        raise DecodeError(msg)
    else:
        x = read_raw(value, raw_layout(dtype, shape), config.max_elements)
    return Decoded(
        x[np.newaxis],
        (id_of(key, named, fields),),
        (label_in(named, fields),),
        ignored=sorted(fields.keys() - _FIELDS) if fields else (),
    )


def _check_finite(decoded: Decoded) -> None:
    """Refuse a message with a value that is not finite as float32."""
    good = finite_rows(decoded.x)
    if not good.all():
        where = f" in row {int(np.argmin(good))}" if decoded.is_batch else ""
        msg = f"x is not finite as float32{where}; remove or impute such values"
        raise DecodeError(msg, "nonfinite")
