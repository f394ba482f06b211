"""Decode the bytes of a message into samples, or say what is wrong with it."""

from typing import Any

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.codecs.changes import is_late_label, late_label, no_sample, tombstone
from echo_stream.connectors.codecs.config import CodecConfig, Format
from echo_stream.connectors.codecs.fields import id_of, label_in, payload_in, shown
from echo_stream.connectors.codecs.formats import format_of, payload_format
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

_NO_VECTOR = np.zeros(0, np.float32)  # until an encoder has made it
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
    format = (payload_format if config.is_encoded else format_of)(value, named, config)
    if format != "json" and is_late_label(named, {}):
        msg = f"a late label with {format} content; send JSON, or no content and a header label"
        raise DecodeError(msg)
    if config.is_encoded:
        return _read_payload(key, value, named, config, format)
    _check_has_fields(format, config)
    if format == "arrow":
        return read_arrow(value, config)
    if format == "json":
        return _read_json(key, value, named, config)
    return _one(key, named, config, {}, _read_array(format, value, named, config, schema), None)


def _check_has_fields(format: Format, config: CodecConfig) -> None:
    """Refuse a message without the field that is set, or that only an encoder can measure."""
    if config.payload_field is not None and format not in ("json", "arrow"):
        msg = f"{format} content has no field {shown(config.payload_field)}; send JSON or Arrow"
        raise DecodeError(msg)
    if format == "text":
        msg = "text, of which an encoder has to make a vector; set one, or send vectors"
        raise DecodeError(msg)


def _read_array(
    format: Format, value: bytes, named: Named, config: CodecConfig, schema: SampleSchema | None
) -> Array:
    """Return the array that a message of one sample is."""
    if format == "npy":
        return read_npy(value, config.max_elements)
    if format == "image":
        return read_image(value, config, schema)
    dtype, shape = named.get("dtype") or config.dtype, named.get("shape") or config.shape
    if dtype is None or shape is None:
        msg = "raw value without dtype and shape; declare both, or send them as headers"
        raise DecodeError(msg)
    return read_raw(value, raw_layout(dtype, shape), config.max_elements)


def _read_json(
    key: bytes | None, value: bytes, named: Named, config: CodecConfig
) -> Decoded | LateLabel:
    """Return what a JSON object with a vector brings."""
    fields = read_fields(value, config.max_elements)
    if is_late_label(named, fields):
        return late_label(key, named, fields)
    if config.vector_field not in fields:
        raise no_sample(fields, config.vector_field)
    dtype = named.get("dtype") or config.dtype or "float32"
    name = dtype.decode("latin-1") if isinstance(dtype, bytes) else dtype
    x = array_of(fields[config.vector_field], name, config.max_elements)
    payload = None if config.payload_field is None else payload_in(fields, config.payload_field)
    return _one(key, named, config, fields, x, payload)


def _read_payload(
    key: bytes | None, value: bytes, named: Named, config: CodecConfig, format: Format
) -> Decoded | LateLabel:
    """Return what a message brings of which an encoder is to make the vector."""
    fields: dict[str, Any] = {}
    payload: str | bytes = value
    if format == "json":
        fields = read_fields(value, config.max_elements)
        if is_late_label(named, fields):
            return late_label(key, named, fields)
        name = config.payload_field
        payload = value.decode() if name is None else payload_in(fields, name)
    elif format == "text":
        try:
            payload = value.decode()
        except UnicodeDecodeError as err:
            msg = "the text is not valid UTF-8"
            raise DecodeError(msg) from err
    return _one(key, named, config, fields, _NO_VECTOR, payload)


def _one(
    key: bytes | None,
    named: Named,
    config: CodecConfig,
    fields: dict[str, Any],
    x: Array,
    payload: str | bytes | None,
) -> Decoded:
    """Return a message of one sample x, whose fields are those of JSON."""
    own = {config.payload_field, config.id_field or "id"}
    own |= set(LABELS) if config.label_field is None else {config.label_field}
    own |= set() if config.is_encoded else {config.vector_field}
    # Of a whole object that is the payload, nothing is ignored.
    is_whole = config.is_encoded and config.payload_field is None
    return Decoded(
        x[np.newaxis],
        (id_of(key, named, fields, config.id_field),),
        (label_in(named, fields, config.label_field),),
        ignored=sorted(fields.keys() - own) if fields and not is_whole else (),
        payloads=None if payload is None else (payload,),
    )


def _check_finite(decoded: Decoded) -> None:
    """Refuse a message with a value that is not finite as float32."""
    good = finite_rows(decoded.x)
    if not good.all():
        where = f" in row {int(np.argmin(good))}" if decoded.is_batch else ""
        msg = f"x is not finite as float32{where}; remove or impute such values"
        raise DecodeError(msg, "nonfinite")
