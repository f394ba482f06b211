"""Ids and labels, out of headers, JSON and keys."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any

import numpy as np

from echo_stream._common.typing import Label
from echo_stream.connectors.codecs.messages import DecodeError, Named
from echo_stream.connectors.files.inputs import LABELS

TEXT_LABEL = ("label-type", b"text")
"""The header of a label that is text and looks like a number."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")
_SHORT = 64  # bytes of a label that is worth remembering
_MAX_LISTED = 10  # names in a message
_INT64 = np.iinfo(np.int64)


def id_of(
    key: bytes | None, named: Named, fields: Mapping[str, Any], name: str | None = None
) -> str | None:
    """Return the id of the header, else of the JSON field, else the key if it is text.

    The field is called id unless it has another name.

    Raises
    ------
    DecodeError
        The header or the field is neither valid text nor an integer.
    """
    header = named.get("id")
    if header is not None:
        return _text(header, "id")
    id = fields.get(name or "id")
    if isinstance(id, str):
        return _text(id, name or "id")
    if id is not None:
        if type(id) is int:
            return str(id)
        msg = f"{name or 'id'} is of type {type(id).__name__}; use text or an integer"
        raise DecodeError(msg)
    return _id_in_key(key)


def _id_in_key(key: bytes | None) -> str | None:
    """Return the id of a message that has none elsewhere: its key, if that is text."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def ids_in_keys(keys: Sequence[bytes | None]) -> list[str | None]:
    """Return what `_id_in_key` returns for each of some keys."""
    try:
        return [None if key is None else key.decode() for key in keys]
    except UnicodeDecodeError:
        return list(map(_id_in_key, keys))


def label_in(named: Named, fields: Mapping[str, Any], name: str | None = None) -> Label:
    """Return the label of the header, else of the JSON field: label or y unless it has a name."""
    header = named.get("label")
    if header is not None:
        if named.get(TEXT_LABEL[0]) == TEXT_LABEL[1]:
            return _text(header, "label")
        return (
            _short_label(header)
            if len(header) <= _SHORT
            else number_or_text(_text(header, "label"))
        )
    name = name or _label_field(fields)
    label = fields.get(name)
    if isinstance(label, str):
        return _text(label, name)
    if isinstance(label, int) and _INT64.min <= label <= _INT64.max:
        return int(label)  # true and false are 1 and 0
    if isinstance(label, float) and not math.isfinite(label):
        msg = f"{name} is {label}; use a finite number, text or null"
        raise DecodeError(msg, "nonfinite")
    if isinstance(label, (float, NoneType)):
        return label
    msg = f"{name} is neither a 64-bit integer, a float, text nor null"
    raise DecodeError(msg)


def payload_in(fields: Mapping[str, Any], name: str) -> str:
    """Return the payload of a JSON object.

    Raises
    ------
    DecodeError
        The field is not there, or is no text.
    """
    if name not in fields:
        found = f"fields {listed(sorted(fields))}" if fields else "no fields"
        msg = f"JSON with {found}; expected {shown(name)} with the payload"
        raise DecodeError(msg)
    payload = fields[name]
    if not isinstance(payload, str):
        msg = f"the payload {shown(name)} is of type {type(payload).__name__}; send text"
        raise DecodeError(msg)
    return _text(payload, name)


def number_or_text(text: str) -> Label:
    """Return a number where the text is how `encode` writes one, so that labels survive.

    Examples
    --------
    >>> number_or_text("7"), number_or_text("0.5"), number_or_text("007")
    (7, 0.5, '007')
    """
    if _INTEGER.fullmatch(text) and _INT64.min <= int(text) <= _INT64.max:
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


@lru_cache(maxsize=1_024)
def _short_label(header: bytes) -> Label:
    """Return the label of a header; there are few labels, and many messages."""
    return number_or_text(_text(header, "label"))


def _label_field(fields: Mapping[str, Any]) -> str:
    """Return which field is the label; where both are there they must be equal."""
    first, second = LABELS
    if first in fields and second in fields and fields[first] != fields[second]:
        msg = f"fields {first} and {second} are different labels; send one of them"
        raise DecodeError(msg)
    return first if first in fields else second


def listed(names: Sequence[str]) -> str:
    """Return the first of some untrusted names as they fit into a one-line message."""
    words = [shown(name) for name in names[:_MAX_LISTED]]
    return ", ".join(words + [f"{len(names) - _MAX_LISTED} more"] * (len(names) > _MAX_LISTED))


def shown(text: bytes | str) -> str:
    """Return untrusted text as it fits into a one-line message."""
    return ascii(text[:80])


def _text(text: bytes | str, name: str) -> str:
    """Return text that UTF-8 can hold; JSON may bring half a surrogate pair."""
    try:
        return text.decode() if isinstance(text, bytes) else text.encode().decode()
    except UnicodeError as err:
        msg = f"{name} {shown(text)} is not valid UTF-8"
        raise DecodeError(msg) from err
