"""Settings from a TOML file: what it says goes before defaults, after flags and environment.

A key at the top of the file is the name of an option, in snake_case, and holds for every
command that has the option; a table named after a command holds for that command alone.
The file becomes click's default map; click tells us where each value came from.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from echo_stream.cli.options.parameters import Parsed
from echo_stream.errors import ConfigError

_FILE = "echo_stream.config"  # key of the context's shared store: the file that was read


class Setting(click.Option):
    """An option that may also come from the settings file.

    Attributes
    ----------
    section : str or None
        Title in the command's help under which it stands; None: among the first options.
    field : str
        What errors call the setting, where that is not the name of the parameter.
    """

    section: str | None = None

    def __init__(self, *arguments: Any, field: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.field = field or str(self.name)

    @property
    def key(self) -> str:
        """Name of the option in the file."""
        return self.opts[0].removeprefix("--").replace("-", "_")

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert a value; one of the file must have the right type, and errors name it."""
        if ctx.get_parameter_source(self.name or "") is not ParameterSource.DEFAULT_MAP:
            return super().process_value(ctx, value)
        where = f"setting {self.key!r} in {settings_file(ctx)}"
        types, needed = _needed(self)
        values = value if self.multiple and isinstance(value, list) else [value]
        if not all(type(one) in types for one in values):
            msg = f"{where} must be {needed} for {ctx.command_path}; got {value!r}"
            raise ConfigError(msg)
        try:
            return super().process_value(ctx, values if self.multiple else value)
        except click.BadParameter as err:
            msg = f"{where}: {err.message.rstrip('.')}"
            raise ConfigError(msg) from err

    def as_written(self, ctx: click.Context) -> str:
        """Return what to call the option where its value came from: flag, variable or file."""
        source = ctx.get_parameter_source(self.name or "")
        if source is ParameterSource.ENVIRONMENT:
            return str(self.envvar)
        if source is ParameterSource.DEFAULT_MAP:
            return f"{self.key} in {settings_file(ctx)}"
        return self.opts[0]


def is_flag(name: str) -> bool:
    """Return whether a parameter of the running command was given on the command line."""
    ctx = click.get_current_context()
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def settings_of(command: click.Command) -> dict[str, Setting]:
    """Return the options of a command that the file may set, by key."""
    return {option.key: option for option in command.params if isinstance(option, Setting)}


def all_below(command: click.Command) -> Iterator[click.Command]:
    """Yield a command and, of a group, all commands in it."""
    yield command
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        yield from all_below(child)


def settings_file(ctx: click.Context) -> Path | None:
    """Return the file whose settings are in use."""
    path: Path | None = ctx.meta.get(_FILE)
    return path


def use_settings(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Let a file give what neither flags nor the environment do; click's callback.

    Raises
    ------
    ConfigError
        If the file is not valid TOML, or has an unknown setting.
    """
    source = ctx.get_parameter_source("config")
    # The group has heard the variable, and its flag goes before that.
    if path is None or (ctx.parent is not None and source is not ParameterSource.COMMANDLINE):
        return
    root = ctx.find_root()
    found = _default_map(root.command, _parsed(path), {}, path=path, table="")
    ctx.meta[_FILE] = path
    root.default_map = found
    while ctx.parent is not None:
        ctx.default_map = _at(found, ctx)
        ctx = ctx.parent


def _at(found: Mapping[str, Any], ctx: click.Context) -> dict[str, Any]:
    """Return the part of the default map that is a command's."""
    if ctx.parent is None:
        return dict(found)
    return dict(_at(found, ctx.parent)[ctx.info_name or ""])


def _parsed(path: Path) -> dict[str, Any]:
    """Return what a file holds."""
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        msg = f"cannot read settings from {path}: {err}"
        raise ConfigError(msg) from err


def _default_map(
    command: click.Command,
    content: Mapping[str, Any],
    inherited: Mapping[str, Any],
    *,
    path: Path,
    table: str,
) -> dict[str, Any]:
    """Return the default map of a command, and of those below it.

    Parameters
    ----------
    command : click.Command
    content : mapping
        The command's table.
    inherited : mapping
        Settings of the tables above it.
    path : Path
    table : str
        Name of the command's table, for errors; empty at the top.
    """
    below = command.commands if isinstance(command, click.Group) else {}
    keys = {key for each in all_below(command) for key in settings_of(each)}
    _check_names(content, {*keys, *below}, path=path, table=table)
    given = {**inherited, **{key: content[key] for key in content if key not in below}}
    found: dict[str, Any] = {
        str(option.name): given[key] for key, option in settings_of(command).items() if key in given
    }
    for name, child in below.items():
        inner = content.get(name, {})
        if not isinstance(inner, dict):
            msg = f"[{name}] in {path} must be a table of settings; got {inner!r}"
            raise ConfigError(msg)
        inner_table = f"{table}.{name}" if table else name
        found[name] = _default_map(child, inner, given, path=path, table=inner_table)
    return found


def _check_names(content: Iterable[str], known: set[str], *, path: Path, table: str) -> None:
    """Refuse a name that means nothing, with the one that may have been meant."""
    for name in content:
        if name in known:
            continue
        import difflib

        close = difflib.get_close_matches(name.replace("-", "_").lower(), sorted(known), n=1)
        where = f"[{table}] of {path}" if table else str(path)
        hint = f"did you mean {close[0]!r}?" if close else "`echo-stream config show` lists all"
        msg = f"unknown setting {name!r} in {where}; {hint}"
        raise ConfigError(msg)


def _needed(option: Setting) -> tuple[tuple[type, ...], str]:
    """Return the types that a value of the file may have, and how to say it."""
    if isinstance(option.type, click.types.BoolParamType):
        return (bool,), "true or false"
    if isinstance(option.type, click.types.IntParamType):
        return (int,), "a whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return (int, float), "a number"
    if isinstance(option.type, Parsed):
        return option.type.types, option.type.needed
    words = "text, or a list of texts" if option.multiple else "text"
    if isinstance(option.type, click.Choice):
        words += f" ({', '.join(map(str, option.type.choices))})"
    return (str,), words
