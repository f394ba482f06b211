"""Dead letters as Kafka messages: the original, with headers that say what was wrong.

The headers are named as those of Kafka Streams and Connect. They are taken off again
when a dead letter is read, so that what arrived comes back as it was.
"""

from collections.abc import Sequence
from typing import NamedTuple

from echo_stream._common.version import __version__
from echo_stream.connectors.kafka.records import Record
from echo_stream.connectors.kafka.sink import Message
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample

PREFIX = "__echo.errors."
"""Of our headers. Of an original message they are dropped, but for the attempts."""
ATTEMPTS = f"{PREFIX}attempts"
_TRUNCATED = f"{PREFIX}truncated"
_NULLS = f"{PREFIX}nulls"
_LAST_OFFSET, _NUM_MESSAGES = f"{PREFIX}last_offset", f"{PREFIX}num_messages"
_STAGES = {"batch": "unpack", "feature": "features"}  # where it failed; others: where decoded
_MAX_MESSAGE_CHARACTERS = 500  # of what was wrong, in a message that has to be small

Headers = Sequence[tuple[str, bytes | None]]


class DeadLetter(NamedTuple):
    """A dead letter where it is kept.

    Attributes
    ----------
    place : int or str
        Number of its line in a file, from 1, or its "partition:offset" in a topic.
    sample : RejectedSample or None
        None where the line is cut, or the record is none of ours.
    is_truncated : bool
        Whether only a part of it was kept, since it was too large.
    size_bytes : int or None
        Of its value as it arrived, where only a part was kept.
    """

    place: int | str
    sample: RejectedSample | None
    is_truncated: bool = False
    size_bytes: int | None = None


def to_message(dead_letter: RejectedSample, size_bytes: int | None = None) -> Message:
    """Return a dead letter as a message: key, value and headers as they arrived, and ours.

    size_bytes is that of the whole value, where the dead letter is a part of what arrived.

    The client sends no header without a value, and no message without key and value: an
    empty one is in its place then, and the header `nulls` says where.
    """
    originals = [header for header in dead_letter.headers if not header[0].startswith(PREFIX)]
    nulls = [str(row) for row, (_, value) in enumerate(originals) if value is None]
    value = dead_letter.value
    if value is None and dead_letter.key is None:
        value, nulls = b"", ["value", *nulls]
    headers = [(name, content or b"") for name, content in originals]
    said = {**_said(dead_letter), **({_NULLS: ",".join(nulls)} if nulls else {})}
    said |= {} if size_bytes is None else {_TRUNCATED: str(size_bytes)}
    headers += [(name, text.encode()) for name, text in said.items()]
    return dead_letter.key, value, headers


def smaller(message: Message) -> Message | None:
    """Return a message that a topic refused for its size without its value, then without the rest.

    None: there is nothing more to leave out.
    """
    key, value, headers = message
    is_cut = any(name == _TRUNCATED for name, _ in headers)
    if value != b"" or not is_cut:
        size_bytes = [] if is_cut else [(_TRUNCATED, str(len(value or b"")).encode())]
        return key, b"", [*headers, *size_bytes]
    ours = [(name, text[:_MAX_MESSAGE_CHARACTERS]) for name, text in headers if _is_ours(name)]
    return None if (None, b"", ours) == message else (None, b"", ours)


def from_record(record: Record) -> DeadLetter:
    """Return the dead letter that a record of a dead-letter topic is."""
    place = f"{record.origin.partition}:{record.origin.offset}"
    said = {
        name: (value or b"").decode(errors="replace")
        for name, value in record.headers
        if _is_ours(name)
    }
    try:
        size_bytes = int(said[_TRUNCATED]) if _TRUNCATED in said else None
        return DeadLetter(place, _sample(record, said), size_bytes is not None, size_bytes)
    except (KeyError, ValueError):  # anybody may write to the topic
        return DeadLetter(place, None)


def attempts_of(headers: Headers) -> int:
    """Return how often a message has been tried: once, unless a replay says otherwise.

    Examples
    --------
    >>> attempts_of([]), attempts_of([(ATTEMPTS, b"3")]), attempts_of([(ATTEMPTS, b"often")])
    (1, 3, 1)
    """
    found = [value for name, value in headers if name == ATTEMPTS and value and value.isdigit()]
    return max(int(found[-1][:9]), 1) if found else 1


def with_attempts(headers: Headers, attempts: int) -> list[tuple[str, bytes]]:
    """Return the headers for sending a message again: its own, and how often it was tried then."""
    own = [(name, value or b"") for name, value in headers if not _is_ours(name)]
    return [*own, (ATTEMPTS, str(attempts).encode())]


def _sample(record: Record, said: dict[str, str]) -> RejectedSample:
    """Return what was rejected; KeyError or ValueError if our headers are not all there."""
    nulls = said.get(_NULLS, "").split(",")
    originals = [header for header in record.headers if not _is_ours(header[0])]
    headers = [
        (name, None if str(row) in nulls else value) for row, (name, value) in enumerate(originals)
    ]
    if int(said[ATTEMPTS]) > 1:
        headers.append((ATTEMPTS, said[ATTEMPTS].encode()))
    return RejectedSample(
        reason=said[f"{PREFIX}reason"],  # type: ignore[arg-type]  # of another version perhaps
        message=said[f"{PREFIX}message"],
        key=record.key,
        value=None if "value" in nulls else record.value,
        headers=tuple(headers),
        origin=_origin(said),
        exception=said[f"{PREFIX}exception"],
        last_offset=int(said[_LAST_OFFSET]) if _LAST_OFFSET in said else None,
        num_messages=int(said.get(_NUM_MESSAGES, 1)),
    )


def _said(dead_letter: RejectedSample) -> dict[str, str]:
    """Return what our headers say of a dead letter."""
    origin = {} if dead_letter.origin is None else dead_letter.origin._asdict()
    batch = {
        "last_offset": str(dead_letter.last_offset),
        "num_messages": str(dead_letter.num_messages),
    }
    said = {
        "reason": dead_letter.reason,
        "exception": dead_letter.exception,
        "message": dead_letter.message,
        **{name: str(value) for name, value in origin.items()},
        "stage": _STAGES.get(dead_letter.reason, "decode"),
        **(batch if dead_letter.last_offset is not None else {}),
        "attempts": str(attempts_of(dead_letter.headers)),
        "engine": f"echo-stream {__version__}",
    }
    return {f"{PREFIX}{name}": text for name, text in said.items()}


def _origin(said: dict[str, str]) -> Origin | None:
    """Return where in Kafka a dead letter came from."""
    if f"{PREFIX}topic" not in said:
        return None
    numbers = (int(said[f"{PREFIX}{name}"]) for name in ("partition", "offset", "timestamp"))
    return Origin(said[f"{PREFIX}topic"], *numbers)


def _is_ours(name: str) -> bool:
    """Return whether a header is one of ours."""
    return name.startswith(PREFIX)
