"""Payloads: what a sample arrived as, where it is measured by a vector that an encoder made.

A payload is text, or bytes such as those of a picture. It is stored as it came; nothing is
computed from it once its vector is there.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from echo_stream._common.typing import Array

Payload: TypeAlias = str | bytes | None
"""Text (a JSON record too), or opaque bytes; None: the sample is its vector."""

_NONE, _TEXT, _BYTES = range(3)
_NAMES = ("payload_bytes", "payload_ends", "payload_kinds")


def payload_size(payload: Payload) -> int:
    """Return the bytes of a payload; text as UTF-8.

    Examples
    --------
    >>> payload_size("\u00e4"), payload_size(b"abc"), payload_size(None)
    (2, 3, 0)
    """
    return len(_encoded(payload))


def pack_payloads(payloads: Sequence[Payload]) -> dict[str, Array]:
    r"""Return payloads as named arrays; O(bytes).

    Returns
    -------
    dict of str to ndarray
        Nothing where no sample has a payload. Else `payload_bytes` of shape (sum of sizes,),
        uint8; `payload_ends` of shape (n,), int64; `payload_kinds` of shape (n,), uint8.

    Examples
    --------
    >>> pack_payloads([None, None])
    {}
    >>> unpack_payloads(pack_payloads(["text", None, b"\x00"])).tolist()
    ['text', None, b'\x00']
    """
    if all(payload is None for payload in payloads):
        return {}
    encoded = [_encoded(payload) for payload in payloads]
    kinds = [
        _NONE if payload is None else _TEXT if isinstance(payload, str) else _BYTES
        for payload in payloads
    ]
    arrays = (
        np.frombuffer(b"".join(encoded), np.uint8),
        np.cumsum([len(one) for one in encoded], dtype=np.int64),
        np.array(kinds, np.uint8),
    )
    return dict(zip(_NAMES, arrays, strict=True))


def unpack_payloads(arrays: dict[str, Array]) -> Array | None:
    """Return what `pack_payloads` packed, of shape (n,), object; None where there was nothing."""
    if _NAMES[0] not in arrays:
        return None
    content, ends, kinds = (arrays[name] for name in _NAMES)
    whole, start = content.tobytes(), 0
    found = np.empty(len(ends), dtype=object)
    for row, (end, kind) in enumerate(zip(ends.tolist(), kinds.tolist(), strict=True)):
        part = whole[start:end]
        found[row] = None if kind == _NONE else part.decode() if kind == _TEXT else part
        start = end
    return found


def _encoded(payload: Payload) -> bytes:
    """Return the bytes of a payload."""
    if payload is None:
        return b""
    return payload.encode() if isinstance(payload, str) else payload
