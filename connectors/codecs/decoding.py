"""From the bytes of a message to its samples: which format it is, and what is wrong with it."""

from typing import Any

from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.fields import id_of, label_in
from echo_stream.connectors.codecs.formats import format_of
from echo_stream.connectors.codecs.json import read_json
from echo_stream.connectors.codecs.layouts import raw_layout
from echo_stream.connectors.codecs.messages import Decoded, DecodeError, Headers, Named
from echo_stream.connectors.codecs.npy import read_npy
from echo_stream.connectors.codecs.raw import read_raw
from echo_stream.errors import DataError, ShapeError
from echo_stream.typing import Array
from echo_stream.validation import is_finite


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
    format = format_of(value, named, config)
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
