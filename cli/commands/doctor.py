"""`echo-stream doctor`: what would hinder a run here, and what to do about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.http import token_file_option
from echo_stream.cli.options.shared import (
    device_option,
    format_option,
    option,
    servers_option,
    state_option,
)
from echo_stream.cli.output.output import emit_rows

if TYPE_CHECKING:
    from echo_stream.connectors.inspect.doctor import Finding
    from echo_stream.connectors.kafka.client_config import ClientConfig


@click.command(cls=Command)
@option("--topic", "topics", multiple=True, help="Topic to check. May be given several times.")
@servers_option
@client_options
@state_option
@token_file_option
@device_option
@format_option
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    *,
    topics: tuple[str, ...],
    bootstrap_servers: str | None,
    client: "ClientConfig",
    state: Path | None,
    http_token_file: Path | None,
    device: str,
    output_format: str,
) -> None:
    """Check packages, device, broker, topics and state before a run.

    Each check ends in ok, warn or fail, and says what to do. Only what is named is checked.
    Nothing is changed, and a run may be active meanwhile. The exit code is 1 if a check fails.

    \b
    Example:
      echo-stream doctor --bootstrap-servers localhost:9092 --topic events --state DIR
    """
    if topics and bootstrap_servers is None:
        msg = "--topic needs --bootstrap-servers HOST:PORT"
        raise click.UsageError(msg)
    from echo_stream.connectors.inspect.doctor import check_secret_files

    findings = list(_findings(topics, bootstrap_servers, client, state, device))
    passwords = ctx.params["ssl_key_password_file"], ctx.params["sasl_password_file"]
    files = (http_token_file, *passwords, client.ssl_keyfile)
    findings += check_secret_files(file for file in files if file is not None)
    emit_rows([each._asdict() for each in findings], output_format)
    if any(each.verdict == "fail" for each in findings):
        ctx.exit(1)


def _findings(
    topics: tuple[str, ...],
    servers: str | None,
    client: "ClientConfig",
    state: Path | None,
    device: str,
) -> "Iterator[Finding]":
    """Yield what each check finds; names that could be none of a broker are refused first."""
    from echo_stream.connectors.inspect import doctor as checks

    yield from checks.check_packages()
    yield from checks.check_device(device)
    if state is not None:
        yield from checks.check_state_folder(state)
    if servers is not None:
        yield from checks.check_broker(servers, topics, client, state)
