"""What a message holds once it is decoded, and the error of an invalid one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

from echo_stream._common.typing import Array, Label
from echo_stream.errors import DataError, EchoStreamError, first_line
from echo_stream.samples.source import RejectReason

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
"""Headers of a message; of equal names the last one counts."""

Content: TypeAlias = bytes | memoryview
"""A message's value; a view lies in the batch that the broker has sent."""

Named: TypeAlias = Mapping[str, bytes | None]
"""Headers by name."""


_MAX_CHARACTERS = 1_000


class DecodeError(DataError):
    r"""Report an invalid message.

    Its text may quote the message, and is one line of printable characters, at most a thousand.

    Attributes
    ----------
    reason : {"decode", "schema", "nonfinite"}
        Invalid, or over a limit; of an unusable shape or dtype; not finite as float32.
    exception : str
        Class of the error that was met; by default that of the cause, if there is one.

    Examples
    --------
    >>> print(DecodeError("it has the column \x1b[2Jy\n"))
    it has the column \x1b[2Jy\n
    """

    def __init__(
        self, message: str, reason: RejectReason = "decode", exception: str | None = None
    ) -> None:
        super().__init__(_printable(message[:_MAX_CHARACTERS]))
        self.reason: RejectReason = reason
        self._exception = exception

    @property
    def exception(self) -> str:
        """Return the class of the error that was met."""
        return self._exception or type(self.__cause__ or self).__name__


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
    ignored : sequence of str
        Fields or columns that mean nothing to us.
    payloads : sequence of (str or bytes), or None
        What an encoder is to make x of, which is of shape (n, 0) then, or what x was made of.
    """

    x: Array
    ids: Sequence[str | None]
    labels: Sequence[Label]
    is_batch: bool = False
    ignored: Sequence[str] = ()
    payloads: Sequence[str | bytes] | None = None


class Sample(NamedTuple):
    """A sample, as a codec of the user's returns it.

    Attributes
    ----------
    x : array-like of at least one axis
        Finite numbers, of the same shape and dtype in all samples of a stream.
    id : str, int or None
        None: topic, partition, offset and the place in the message.
    label : int, float, str or None
    """

    x: Any
    id: str | int | None = None
    label: Label = None


class Codec(Protocol):
    """What reads messages of a format of the user's."""

    def decode(self, value: bytes, headers: Headers, key: bytes | None) -> Sequence[Sample]:
        """Return the samples of a message, at least one.

        Parameters
        ----------
        value : bytes
            Not larger than the limit.
        headers : sequence of (str, bytes or None)
        key : bytes or None

        Raises
        ------
        Exception
            Any: the message is invalid then, and becomes a dead letter.
        """


def _printable(text: str) -> str:
    """Return text with escapes for what moves a cursor, ends a line or has no glyph."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@contextmanager
def decode_errors(what: str) -> Iterator[None]:
    """Turn whatever a library raises of bytes that it cannot read into a DecodeError.

    Errors of our own go through, and so does what is not an `Exception`.

    Examples
    --------
    >>> with decode_errors("Arrow"):
    ...     raise OSError("truncated")
    Traceback (most recent call last):
    echo_stream.connectors.codecs.messages.DecodeError: invalid Arrow (truncated)
    """
    try:
        yield
    except EchoStreamError:
        raise
    # Arrow and Pillow raise a dozen unrelated classes of damaged bytes, KeyError,
    # SyntaxError and NotImplementedError among them.
    except Exception as err:
        msg = f"invalid {what} ({first_line(err)})"
        raise DecodeError(msg) from err
