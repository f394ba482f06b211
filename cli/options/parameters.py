"""Kinds of option values that click does not have: intervals, starts, shapes, client options."""

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from echo_stream.connectors.kafka.config import Start as KafkaStart
    from echo_stream.run.schedule import Every


_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Interval(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """An interval such as 20000 or 30s; "never" is None."""

    name = "interval"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Every | None":
        """Read an interval, or refuse the text as a wrong parameter."""
        from echo_stream.errors import ConfigError  # noqa: PLC0415
        from echo_stream.run.schedule import Every  # noqa: PLC0415

        if value == "never" or isinstance(value, Every):
            return None if value == "never" else value
        try:
            return Every.parse(str(value))
        except ConfigError as err:
            self.fail(str(err), param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]  # as above
    """A time such as 30s or 5m, in seconds; "never" is None."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Read a time, or refuse the text as a wrong parameter."""
        if isinstance(value, float):
            return value
        every = Interval().convert(value, param, ctx)
        if every is not None and every.seconds is None:
            self.fail(
                f"a time is a number and a unit, such as 30s or 5m; got {value!r}", param, ctx
            )
        return None if every is None else every.seconds


class Share(click.ParamType):  # type: ignore[type-arg]  # as above
    """A share such as 20% or 0.2."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a share above 0, at most 1, or refuse the text as a wrong parameter."""
        match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})(%?)", str(value).strip())
        share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
        if not 0 < share <= 1:
            self.fail(
                f"a share is above 0 and at most 1, such as 20% or 0.2; got {value!r}", param, ctx
            )
        return share


class Size(click.ParamType):  # type: ignore[type-arg]  # as above
    """A number of bytes such as 2GiB, 512MiB or 1500000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size, or refuse the text as a wrong parameter."""
        match = re.fullmatch(r"(\d{1,15})(|KiB|MiB|GiB)", str(value).strip())
        size = int(match[1]) * _BYTES[match[2]] if match else 0
        if size < 1:
            self.fail(f"a size is bytes, or such as 512MiB or 2GiB; got {value!r}", param, ctx)
        return size


class Start(click.ParamType):  # type: ignore[type-arg]  # as above
    """Where a new state begins: earliest, latest, a time, or offsets."""

    name = "start"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "KafkaStart":
        """Read a start position, or refuse the text as a wrong parameter."""
        from echo_stream.connectors.kafka.config import parse_start  # noqa: PLC0415
        from echo_stream.errors import ConfigError  # noqa: PLC0415

        if not isinstance(value, (str, int)):
            return value  # type: ignore[no-any-return]  # it has been read already
        try:
            return parse_start(str(value))
        except ConfigError as err:
            self.fail(str(err), param, ctx)


class Shape(click.ParamType):  # type: ignore[type-arg]  # as above
    """A shape such as 1,28,28."""

    name = "shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read a shape, or refuse the text as a wrong parameter."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(length) for length in value.split(","))
        except ValueError:
            words = f"a shape is whole numbers with commas, such as 1,28,28; got {value!r}"
            self.fail(words, param, ctx)


class Place(click.ParamType):  # type: ignore[type-arg]  # as above
    """Where a dead letter is: the number of its line, or PARTITION:OFFSET."""

    name = "place"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read a place, or refuse the text as a wrong parameter."""
        if isinstance(value, int):
            return value
        if re.fullmatch(r"[1-9][0-9]*", value):
            return int(value)
        if re.fullmatch(r"[0-9]+:[0-9]+", value):
            return str(value)
        words = f"a place is the number of a line, or PARTITION:OFFSET in a topic; got {value!r}"
        self.fail(words, param, ctx)


class ClientOptions(click.ParamType):  # type: ignore[type-arg]  # as above
    """Options of the Kafka client, as NAME=VALUE with commas between, or a table of a file."""

    name = "client options"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Read options and check them against the client's own."""
        from echo_stream.connectors.kafka.client_config import check_options  # noqa: PLC0415
        from echo_stream.errors import ConfigError  # noqa: PLC0415

        if isinstance(value, dict):
            options = value
        else:
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            if not all(equals for _, equals, _ in pairs):
                self.fail("options are NAME=VALUE, with commas between", param, ctx)
            options = {name.strip(): _scalar(text.strip()) for name, _, text in pairs}
        try:
            check_options(options)
        except ConfigError as err:
            self.fail(str(err), param, ctx)
        return options


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
