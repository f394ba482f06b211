"""Messages: from the bytes of a Kafka record to one sample, and back.

Nothing in a message is trusted: limits are checked before it is decoded, and
whatever is wrong ends in a `DecodeError` with a reason.
"""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, get_args

import numpy as np

from echo_stream.connectors._formats import (
    DTYPES,
    MAX_AXES,
    NPY_MAGIC,
    read_json,
    read_npy,
    read_raw,
)
from echo_stream.errors import ConfigError, DataError, ShapeError
from echo_stream.samples import label_of
from echo_stream.source import RejectReason
from echo_stream.typing import Array, Label
from echo_stream.validation import as_samples, is_finite

Format: TypeAlias = Literal["npy", "raw", "json"]
"""How the value of a message holds the sample."""

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""Headers of a message; of equal names the last one counts."""

_Named: TypeAlias = Mapping[str, bytes | None]
_CONTENT_TYPES: dict[Format, bytes] = {
    "npy": b"application/x-npy",
    "raw": b"application/octet-stream",
    "json": b"application/json",
}
_FORMATS = {content_type: format for format, content_type in _CONTENT_TYPES.items()}
_JSON_START = re.compile(rb'\s*\{\s*"')
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_TEXT_LABEL = ("label-type", b"text")  # of a label that is text and looks like a number
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")
_INT64 = np.iinfo(np.int64)


class DecodeError(DataError):
    """Report a message that is no sample.

    Attributes
    ----------
    reason : {"decode", "schema", "nonfinite"}
        Illegible or over a limit; of an unusable shape or dtype; not finite as float32.
    """

    def __init__(self, message: str, reason: RejectReason = "decode") -> None:
        super().__init__(message)
        self.reason: RejectReason = reason


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
    max_bytes: int = 64 * 1024**2  # 64 MiB; brokers take 1 MiB unless told otherwise
    max_elements: int = 16_777_216  # 64 MiB of float32

    def __post_init__(self) -> None:
        """Refuse settings that no message could satisfy."""
        if self.format not in ("auto", *get_args(Format)):
            _refuse(f"format must be auto, npy, raw or json; got {self.format!r}")
        if self.dtype is not None and self.dtype not in DTYPES:
            _refuse(f"dtype must be one such as float32 or uint8; got {self.dtype!r}")
        if self.shape is not None and not (0 < len(self.shape) <= MAX_AXES and min(self.shape) > 0):
            _refuse(f"shape must be 1 to {MAX_AXES} positive numbers; got {self.shape}")
        if min(self.max_bytes, self.max_elements) < 1:
            _refuse(f"limits must be positive; got {self.max_bytes} and {self.max_elements}")


class Decoded(NamedTuple):
    """A sample out of a message.

    Attributes
    ----------
    x : ndarray
        Finite, in native byte order; may be a read-only view of the message.
    id : str or None
        None when the message has none of its own.
    label : int, float, str or None
    """

    x: Array
    id: str | None
    label: Label


def decode(
    key: bytes | None, value: bytes | None, headers: Headers, config: CodecConfig
) -> Decoded:
    """Return the sample that a message holds.

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
        The message is no sample. No other exception comes out of a message.

    Notes
    -----
    The format is that of the content-type header, else of the configuration, else what
    the first bytes look like. O(size); `.npy` and raw are not copied unless their byte
    order is foreign.

    Examples
    --------
    >>> decode(b"7", b'{"x": [1, 2.5], "y": "cat"}', [], CodecConfig())
    Decoded(x=array([1. , 2.5], dtype=float32), id='7', label='cat')
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
        sample = Decoded(x, _id_of(key, named, fields), _label_of(named, fields))
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


def encode(
    x: Array, id: str | None, label: Label, format: Format
) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Return the key, value and headers of a message that holds one sample.

    Parameters
    ----------
    x : ndarray of at least one axis
    id : str or None
    label : int, float, str or None
        A header holds text: one more says so where text looks like a number. JSON, which
        has no label header, keeps types.
    format : {"npy", "raw", "json"}

    Raises
    ------
    DataError
        `decode` would refuse the message.

    Examples
    --------
    >>> key, value, headers = encode(np.array([1.0, 2.5], np.float32), "7", 3, "json")
    >>> value, headers[0]
    (b'{"x": [1.0, 2.5], "id": "7", "y": 3}', ('content-type', b'application/json'))
    >>> decode(key, value, headers, CodecConfig())
    Decoded(x=array([1. , 2.5], dtype=float32), id='7', label=3)
    """
    checked = as_samples(x[np.newaxis], [label], None if id is None else [id])
    sample, known = checked.x[0], label_of(label)
    headers = [("content-type", _CONTENT_TYPES[format])]
    if format != "npy":
        headers.append(("dtype", sample.dtype.str.encode()))
    if format == "raw":
        headers.append(("shape", ",".join(map(str, sample.shape)).encode()))
    if id is not None:
        headers.append(("id", id.encode()))
    if known is not None and format != "json":
        headers.append(("label", str(known).encode()))
        if isinstance(known, str) and _number_or_text(known) != known:
            headers.append(_TEXT_LABEL)
    return None if id is None else id.encode(), _write(sample, id, known, format), headers


def _refuse(message: str) -> NoReturn:
    raise ConfigError(message)


def _parse(value: bytes, named: _Named, config: CodecConfig) -> tuple[Array, dict[str, Any]]:
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
    return read_raw(value, dtype, shape, config.max_elements), {}


def _format_of(value: bytes, named: _Named, config: CodecConfig) -> Format:
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
        msg = f"content type {_shown(content_type)} is not supported; use {names}"
        raise DecodeError(msg)
    return format


def _id_of(key: bytes | None, named: _Named, fields: Mapping[str, Any]) -> str | None:
    """Return the id of the header, else of the JSON field, else the key if it is text."""
    header = named.get("id")
    if header is not None:
        return _text(header, "id")
    id = fields.get("id")
    if isinstance(id, str):
        return _text(id, "id")
    if id is not None:
        if type(id) is int:
            return str(id)
        msg = f"id is of type {type(id).__name__}; use text or an integer"
        raise DecodeError(msg)
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _label_of(named: _Named, fields: Mapping[str, Any]) -> Label:
    """Return the label of the header, else of the JSON field."""
    header = named.get("label")
    if header is not None:
        text = _text(header, "label")
        return text if named.get(_TEXT_LABEL[0]) == _TEXT_LABEL[1] else _number_or_text(text)
    label = fields.get("y")
    if isinstance(label, str):
        return _text(label, "y")
    if isinstance(label, int) and _INT64.min <= label <= _INT64.max:
        return int(label)  # true and false are 1 and 0
    if isinstance(label, float) and not math.isfinite(label):
        msg = f"y is {label}; use a finite number, text or null"
        raise DecodeError(msg, "nonfinite")
    if isinstance(label, (float, NoneType)):
        return label
    msg = "y is neither a 64-bit integer, a float, text nor null"
    raise DecodeError(msg)


def _number_or_text(text: str) -> Label:
    """Return a number where the text is how `encode` writes one, so that labels survive."""
    if _INTEGER.fullmatch(text) and _INT64.min <= int(text) <= _INT64.max:
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _text(text: bytes | str, name: str) -> str:
    """Return text that UTF-8 can hold; JSON may bring half a surrogate pair."""
    try:
        return text.decode() if isinstance(text, bytes) else text.encode().decode()
    except UnicodeError as err:
        msg = f"{name} {_shown(text)} is not valid UTF-8"
        raise DecodeError(msg) from err


def _shown(text: bytes | str) -> str:
    """Return untrusted text as it fits into a one-line message."""
    return ascii(text[:80])


def _write(x: Array, id: str | None, label: Label, format: Format) -> bytes:
    if format == "raw":
        return x.tobytes()
    if format == "npy":
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, x, allow_pickle=False)
        return buffer.getvalue()
    numbers = x.astype(np.uint8) if x.dtype.kind == "b" else x
    try:
        return json.dumps({"x": numbers.tolist(), "id": id, "y": label}, allow_nan=False).encode()
    except ValueError as err:
        msg = f"label is {label}; use a finite number, text or None"
        raise DataError(msg) from err
