"""Kinds of option values that click does not have: intervals, starts, shapes, client options."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from echo_stream.connectors.kafka.config import Start
    from echo_stream.run.schedule import Every

_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A kind of value that a function parses.

    Parameters
    ----------
    name : str
    parse : callable
        Takes what the user wrote, or what it has returned before; raises ConfigError.
    types : tuple of type, optional
        What may stand in a settings file.
    needed : str, optional
        How to say that.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[Any], object],
        types: tuple[type, ...] = (str,),
        needed: str = "text",
    ) -> None:
        self.name = name
        self.types = types
        self.needed = needed
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a value, or refuse it as a wrong parameter."""
        try:
            return self._parse(value)
        except ConfigError as err:
            self.fail(str(err), param, ctx)


def _interval(value: Any) -> "Every | None":
    """Return an interval such as 20000 or 30s; "never" is None."""
    from echo_stream.run.schedule import Every

    if value == "never":
        return None
    return value if isinstance(value, Every) else Every.parse(str(value))


def _duration(value: Any) -> float | None:
    """Return the seconds of a time such as 30s or 5m; "never" is None."""
    if isinstance(value, float):
        return value
    every = _interval(value)
    if every is not None and every.seconds is None:
        msg = f"a time is a number and a unit, such as 30s or 5m; got {value!r}"
        raise ConfigError(msg)
    return None if every is None else every.seconds


def _share(value: Any) -> float:
    """Return a share such as 20% or 0.2."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})(%?)", str(value).strip())
    if not match:
        msg = f"a share is a number or a percentage, such as 0.2 or 20%; got {value!r}"
        raise ConfigError(msg)
    return float(match[1]) / (100 if match[2] else 1)


def _size(value: Any) -> int:
    """Return a number of bytes such as 2GiB, 512MiB or 1500000000."""
    match = re.fullmatch(r"(\d{1,15})(|KiB|MiB|GiB)", str(value).strip())
    size = int(match[1]) * _BYTES[match[2]] if match else 0
    if size < 1:
        msg = f"a size is bytes, or such as 512MiB or 2GiB; got {value!r}"
        raise ConfigError(msg)
    return size


def _start(value: Any) -> "Start":
    """Return where a new state begins to read."""
    from echo_stream.connectors.kafka.config import parse_start

    return parse_start(str(value)) if isinstance(value, str | int) else value


def _shape(value: Any) -> tuple[int, ...]:
    """Return a shape such as 1,28,28."""
    if isinstance(value, tuple):
        return value
    try:
        return tuple(int(length) for length in value.split(","))
    except ValueError:
        msg = f"a shape is whole numbers with commas, such as 1,28,28; got {value!r}"
        raise ConfigError(msg) from None


def _place(value: Any) -> int | str:
    """Return where a dead letter is: the number of its line, or PARTITION:OFFSET."""
    if isinstance(value, int) or re.fullmatch(r"[1-9][0-9]*", value):
        return int(value)
    if re.fullmatch(r"[0-9]+:[0-9]+", value):
        return str(value)
    msg = f"a place is the number of a line, or PARTITION:OFFSET in a topic; got {value!r}"
    raise ConfigError(msg)


def _client_options(value: Any) -> dict[str, Any]:
    """Return options of the Kafka client: NAME=VALUE with commas between, or a table of a file."""
    from echo_stream.connectors.kafka.client_config import check_options

    if isinstance(value, dict):
        options = value
    else:
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            msg = "options are NAME=VALUE, with commas between"
            raise ConfigError(msg)
        options = {name.strip(): _scalar(text.strip()) for name, _, text in pairs}
    check_options(options)
    return options


INTERVAL = Parsed("interval", _interval, (int, str), 'a number of samples, or text such as "30s"')
DURATION = Parsed("duration", _duration)
SHARE = Parsed("share", _share)
SIZE = Parsed("size", _size, (int, str), 'a number of bytes, or text such as "512MiB"')
START = Parsed("start", _start)
SHAPE = Parsed("shape", _shape)
PLACE = Parsed("place", _place)
CLIENT_OPTIONS = Parsed(
    "client options", _client_options, (dict,), "a table of the client's options"
)


def redacted(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the login of a proxy's address left out."""
    return {
        name: re.sub(r"//[^/@]*@", "//***@", value) if isinstance(value, str) else value
        for name, value in options.items()
    }


def _scalar(text: str) -> bool | int | float | str:
    """Return what a text means: truth, a number, or the text itself.

    Examples
    --------
    >>> _scalar("true"), _scalar("10"), _scalar("0.5"), _scalar("rack-1")
    (True, 10, 0.5, 'rack-1')
    """
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
