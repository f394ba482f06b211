"""What a message holds once it is decoded, and the error of one that holds nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from echo_stream.errors import DataError
from echo_stream.source import RejectReason
from echo_stream.typing import Array, Label

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""Headers of a message; of equal names the last one counts."""

Named: TypeAlias = Mapping[str, bytes | None]
"""Headers by name."""


class DecodeError(DataError):
    """Report a message that holds nothing that can be used.

    Attributes
    ----------
    reason : {"decode", "schema", "nonfinite"}
        Illegible or over a limit; of an unusable shape or dtype; not finite as float32.
    """

    def __init__(self, message: str, reason: RejectReason = "decode") -> None:
        super().__init__(message)
        self.reason: RejectReason = reason


class Decoded(NamedTuple):
    """The samples of a message, side by side.

    Attributes
    ----------
    x : ndarray of shape (n, ...)
        n ≥ 1. Finite, in native byte order; may be a read-only view of the message.
    ids : sequence of (str or None)
        None where a sample has no id of its own.
    labels : sequence of (int, float, str or None)
    is_batch : bool
        Whether the format holds several samples: those without an id are then called by
        their place in the message too, even if there is only one.
    """

    x: Array
    ids: Sequence[str | None]
    labels: Sequence[Label]
    is_batch: bool = False
