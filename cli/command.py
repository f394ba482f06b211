"""Commands that take a settings file, and whose errors name options as they were written."""

from pathlib import Path
from typing import Any

import click

from echo_stream.cli.options.environment import check_variables
from echo_stream.cli.options.settings import settings_of, use_settings
from echo_stream.cli.output.logs import use_logs
from echo_stream.errors import EchoStreamError, SettingName

config_option = click.Option(
    ["--config"],
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="ECHO_STREAM_CONFIG",
    show_envvar=True,
    is_eager=True,  # the other options need what it brings
    expose_value=False,
    callback=use_settings,
    help="TOML file with settings. May be given before or after the name of the command.",
)


class Command(click.Command):
    """A command that takes --config."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(config_option)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, those without one first."""
        for title, records in options_by_section(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors name options as the user wrote them."""
        if "log_level" in ctx.params:
            is_verbose = ctx.find_root().params.get("verbose", False)
            level, log_format = ctx.params.pop("log_level"), ctx.params.pop("log_format")
            use_logs(level, log_format, is_verbose=is_verbose)
        check_variables(ctx.find_root().command)
        try:
            return super().invoke(ctx)
        except EchoStreamError as err:
            name_settings(err, ctx)
            raise


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def options_by_section(
    command: click.Command, ctx: click.Context
) -> dict[str, list[tuple[str, str]]]:
    """Return what the help says of each option of a command, by the title of its section."""
    sections: dict[str, list[tuple[str, str]]] = {"Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and record[1]:
            title = getattr(param, "section", None) or "Options"
            sections.setdefault(title, []).append(record)
    return sections


def name_settings(err: EchoStreamError, ctx: click.Context) -> None:
    """Let an error name settings as the user of a command wrote them."""
    settings = settings_of(ctx.command).values()
    written = {each.field: each.as_written(ctx) for each in settings}
    err.parts = tuple(
        written.get(part, part) if isinstance(part, SettingName) else part for part in err.parts
    )
