"""Messages without a sample: late labels, and tombstones."""

from collections.abc import Mapping
from typing import Any

from echo_stream.connectors.codecs.fields import id_of, label_in, listed
from echo_stream.connectors.codecs.messages import DecodeError, Named
from echo_stream.connectors.files.inputs import LABELS
from echo_stream.samples.changes import Forget, LateLabel

_LATE_LABEL = "label"
"""What a header or a JSON field `change` says of a late label."""


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
        msg = "the tombstone has no UTF-8 key, so no sample can be forgotten"
        raise DecodeError(msg)
    return Forget(id)


def is_late_label(named: Named, fields: Mapping[str, Any]) -> bool:
    """Return whether a message says, in a header or a field `change`, that it is a late label."""
    return named.get("change") == _LATE_LABEL.encode() or fields.get("change") == _LATE_LABEL


def late_label(key: bytes | None, named: Named, fields: Mapping[str, Any]) -> LateLabel:
    """Return the label that a message without x brings, from its headers or its JSON fields.

    Raises
    ------
    DecodeError
        It has no label, no id, or something else.

    Examples
    --------
    >>> late_label(None, {}, {"change": "label", "id": 7, "label": "cat"})
    LateLabel(id='7', label='cat', place=0, origin=None)
    """
    if others := sorted(fields.keys() - {"change", "id", *LABELS}):
        msg = f"the label message has {listed(others)}; send only the id and the label"
        raise DecodeError(msg)
    label = label_in(named, fields)
    if label is None:
        msg = "the label message has no label; send one that is not null, as header or field label"
        raise DecodeError(msg)
    id = id_of(key, named, fields)
    if id is None:
        msg = "the label message has no id or key"
        raise DecodeError(msg)
    return LateLabel(id, label)


def no_sample(fields: Mapping[str, Any], vector_field: str) -> DecodeError:
    """Return the error for an object that is neither a sample nor a late label."""
    found = f"fields {listed(sorted(fields))}" if fields else "no fields"
    return DecodeError(
        f"JSON with {found}; expected {vector_field}, with id and label if there are any, "
        f'or "change": "{_LATE_LABEL}" with id and label for a late label'
    )
