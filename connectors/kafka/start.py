"""Where a consumer begins in partitions that it has not read before."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from echo_stream.errors import ConfigError

Start: TypeAlias = Literal["earliest", "latest"] | int | Mapping[tuple[str, int], int]
"""The first offset, the next one, the first since a time (epoch ms), or one by partition."""

FORMS = "earliest, latest, a time (ISO 8601 or epoch milliseconds) or TOPIC:PARTITION:OFFSET,..."


def parse_start(text: str) -> Start:
    """Read a start position as people write it.

    Parameters
    ----------
    text : str
        `earliest`, `latest`, a time in ISO 8601 (UTC unless it names an offset) or as
        milliseconds since 1970, or `TOPIC:PARTITION:OFFSET` with commas between.

    Raises
    ------
    ConfigError
        It is none of these, or names a partition twice.

    Examples
    --------
    >>> parse_start("latest"), parse_start("1970-01-02"), parse_start("1970-01-02T01:00+01:00")
    ('latest', 86400000, 86400000)
    >>> parse_start("86400000"), parse_start("events:0:7,events:1:9")
    (86400000, {('events', 0): 7, ('events', 1): 9})
    """
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if _is_number(text):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return _offsets(text)
    return _milliseconds(time)


def _milliseconds(time: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    milliseconds = round(aware.timestamp() * 1_000)
    if milliseconds < 0:
        msg = f"a stream begins in 1970 at the earliest; got {time.isoformat()}"
        raise ConfigError(msg)
    return milliseconds


def _offsets(text: str) -> dict[tuple[str, int], int]:
    """Read TOPIC:PARTITION:OFFSET,..."""
    offsets: dict[tuple[str, int], int] = {}
    for part in text.split(","):
        words = part.strip().split(":")
        if len(words) != 3 or not (words[0] and _is_number(words[1]) and _is_number(words[2])):
            msg = f"a start is {FORMS}; got {text!r}"
            raise ConfigError(msg)
        partition = (words[0], int(words[1]))
        if partition in offsets:
            msg = f"a start names each partition once; got {text!r}"
            raise ConfigError(msg)
        offsets[partition] = int(words[2])
    return offsets


def _is_number(text: str) -> bool:
    """Tell whether a text is digits alone; int() takes more than that."""
    return text.isascii() and text.isdecimal()


def check_start(
    offsets: Mapping[tuple[str, int], int],
    first: Mapping[tuple[str, int], int],
    last: Mapping[tuple[str, int], int],
) -> None:
    """Refuse offsets of partitions that are not read, or outside their logs.

    Raises
    ------
    ConfigError
    """
    for (topic, number), offset in offsets.items():
        if (topic, number) not in first:
            msg = f"the start names {topic}/{number}, which is not read; leave it out"
            raise ConfigError(msg)
        begin, end = first[topic, number], last[topic, number]
        if not begin <= offset <= end:
            msg = (
                f"the start of {topic}/{number} is offset {offset}, but its log begins at "
                f"{begin} and ends before {end}; give one from {begin} to {end}"
            )
            raise ConfigError(msg)
