"""`echo-stream config`: each setting, and where it came from."""

from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

from echo_stream.cli.command import Group
from echo_stream.cli.options.parameters import CLIENT_OPTIONS, DURATION, INTERVAL, SHAPE, redacted
from echo_stream.cli.options.settings import Setting, settings_file, settings_of
from echo_stream.cli.options.shared import format_option
from echo_stream.cli.output.output import emit_rows


@click.group(cls=Group)
def config() -> None:
    """Show settings and where they come from.

    \b
    Example:
      echo-stream config show run --config echo.toml
    """


@config.command()
@click.argument("command", nargs=-1)
@format_option
def show(*, command: tuple[str, ...], output_format: str) -> None:
    """Show the settings that COMMAND, or every command, has without flags.

    The origin of a value is an environment variable, the settings file, or default.

    \b
    Example:
      echo-stream config show run --config echo.toml --format table
    """
    root = click.get_current_context().find_root()
    emit_rows(list(_rows(root.command, root, command)), output_format)


def _rows(
    command: click.Command, ctx: click.Context, words: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield the settings of the command that the words call, or of all below it.

    Parameters
    ----------
    command : click.Command
    ctx : click.Context
        The command's.
    words : tuple of str
        What follows the command's name; none: all.
    """
    below = command.commands if isinstance(command, click.Group) else {}
    if words and words[0] not in below:
        msg = f"there is no command {words[0]!r} here; `echo-stream config show` lists all"
        raise click.BadParameter(msg, param_hint="COMMAND")
    for key, option in settings_of(ctx.command).items():
        yield {
            "command": ctx.command_path.removeprefix(f"{ctx.find_root().command_path} "),
            "setting": key,
            "value": _value(option, ctx),
            "origin": _origin(option, ctx),
        }
    for name in words[:1] or below:
        yield from _rows(below[name], _called(below[name], ctx, name), words[1:])


def _called(command: click.Command, parent: click.Context, name: str) -> click.Context:
    """Return the context of a call without flags, nor the arguments that it may require."""
    settings: list[click.Parameter] = [*settings_of(command).values()]
    return click.Command(name, params=settings).make_context(name, [], parent=parent)


def _value(option: Setting, ctx: click.Context) -> Any:
    """Return a value as its command gets it, but as it was written where that is not JSON."""
    written, _ = option.consume_value(ctx, {})
    has_words = option.type in (DURATION, INTERVAL, SHAPE)
    is_text = has_words and isinstance(written, str | int)
    value = written if is_text else ctx.params[str(option.name)]
    return redacted(value) if option.type is CLIENT_OPTIONS and value else value


def _origin(option: Setting, ctx: click.Context) -> str:
    """Return where a value came from."""
    source = ctx.get_parameter_source(str(option.name))
    if source is ParameterSource.ENVIRONMENT:
        return str(option.envvar)
    return str(settings_file(ctx)) if source is ParameterSource.DEFAULT_MAP else "default"
