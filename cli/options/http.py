"""Options of the HTTP app, and the app while a command runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echo_stream.cli.options.secrets import secret
from echo_stream.cli.options.shared import option, together
from echo_stream.cli.output.output import say

if TYPE_CHECKING:
    from fastapi import APIRouter

    from echo_stream.connectors.http import HttpConfig
    from echo_stream.connectors.runner.monitor import HttpStats

token_file_option = option(
    "--http-token-file", type=click.Path(path_type=Path),
    help="File with the token that HTTP requests must bear; or set ECHO_STREAM_HTTP_TOKEN.",
)  # fmt: skip
http_options = together(
    option("--http", metavar="HOST:PORT",
           help="Serve snapshots, a page and metrics there; beyond loopback only with a token."),
    token_file_option,
)  # fmt: skip


def http_config(address: str | None, token_file: Path | None) -> "HttpConfig | None":
    """Return what the options and the variable of the token say; None where HTTP is off."""
    if address is None:
        return None
    from echo_stream.connectors.http import HttpConfig  # noqa: PLC0415 - imports FastAPI

    return HttpConfig.parse(address, secret("http_token", token_file))


@contextmanager
def served(
    config: "HttpConfig | None",
    routers: "Callable[[], Sequence[APIRouter]]",
    stats: "HttpStats | None" = None,
) -> Iterator[None]:
    """Serve an app of some routers inside the block, if there is a configuration."""
    if config is None:
        yield
        return
    from echo_stream.connectors.http import HttpServer, create_app  # noqa: PLC0415

    with HttpServer(create_app(routers(), token=config.token), config, stats) as server:
        say(f"http://{server.address}")
        yield
