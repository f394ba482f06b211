"""Kinds of option values that click does not have: intervals, starts and shapes."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from echo_stream.connectors.kafka_start import Start as KafkaStart
    from echo_stream.schedule import Every


class Interval(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """An interval such as 20000 or 30s; "never" is None."""

    name = "interval"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Every | None":
        """Read an interval, or refuse the text as a wrong parameter."""
        from echo_stream.errors import ConfigError  # noqa: PLC0415
        from echo_stream.schedule import Every  # noqa: PLC0415

        if value == "never" or isinstance(value, Every):
            return None if value == "never" else value
        try:
            return Every.parse(str(value))
        except ConfigError as err:
            self.fail(str(err), param, ctx)


class Start(click.ParamType):  # type: ignore[type-arg]  # as above
    """Where a new state begins: earliest, latest, a time, or offsets."""

    name = "start"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "KafkaStart":
        """Read a start position, or refuse the text as a wrong parameter."""
        from echo_stream.connectors.kafka_start import parse_start  # noqa: PLC0415
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
