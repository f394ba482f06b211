"""Messages without a sample: late labels, and tombstones."""

from collections.abc import Mapping
from typing import Any

from echo_stream.changes import Forget, LateLabel
from echo_stream.connectors.codecs.fields import id_of, label_in
from echo_stream.connectors.codecs.messages import DecodeError, Named


def tombstone(key: bytes | None, named: Named) -> Forget:
    """Return which samples a message without a value takes out: those of its id, or key.

    Raises
    ------
    DecodeError
        It has neither, in UTF-8.

    Examples
    --------
    >>> tombstone(b"7", {})
    Forget(id='7', place=0, origin=None)
    """
    id = id_of(key, named, {})
    if id is None:
        msg = "no value (tombstone), and no key in UTF-8 to say which sample is to be forgotten"
        raise DecodeError(msg)
    return Forget(id)


def late_label(key: bytes | None, named: Named, fields: Mapping[str, Any]) -> LateLabel:
    """Return the label that a message without x brings, from its headers or its JSON fields.

    Raises
    ------
    DecodeError
        It has no label, or no id.

    Examples
    --------
    >>> late_label(None, {}, {"id": 7, "y": "cat"})
    LateLabel(id='7', label='cat', place=0, origin=None)
    """
    label = label_in(named, fields)
    if label is None:
        msg = "JSON is no object with a field x, or y for a late label"
        raise DecodeError(msg)
    id = id_of(key, named, fields)
    if id is None:
        msg = "a label without x, and no id or key to say whose it is"
        raise DecodeError(msg)
    return LateLabel(id, label)
