"""Options of the HTTP app, and the app while a command runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.environment import secret
from echo_stream.cli.options.shared import Decorator, gathered, option
from echo_stream.cli.output.output import say

if TYPE_CHECKING:
    from fastapi import APIRouter

    from echo_stream.connectors.http import HttpConfig
    from echo_stream.connectors.runner.monitor import HttpStats

token_file_option = option(
    "--http-token-file", type=click.Path(path_type=Path),
    help="File with the token that HTTP requests must carry. Or set ECHO_STREAM_HTTP_TOKEN.",
)  # fmt: skip


def http_options(default: str | None = None) -> Decorator[Any]:
    """Return the decorator that gives a command the configuration of its HTTP app, or None."""
    return gathered(
        "http", _http_config,
        option("--http", metavar="HOST:PORT", default=default,
               help="Serve snapshots, a web page and metrics at this address. An address beyond "
                    "loopback needs a token."),
        token_file_option,
    )  # fmt: skip


def _http_config(*, http: str | None, http_token_file: Path | None) -> "HttpConfig | None":
    """Return the configuration of the app; None where HTTP is off."""
    if http is None:
        return None
    from echo_stream.connectors.http import HttpConfig

    return HttpConfig.parse(http, secret("http_token", http_token_file))


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
    from echo_stream.connectors.http import HttpServer, create_app

    with HttpServer(create_app(routers(), token=config.token), config, stats) as server:
        say(f"http://{server.address}")
        yield
