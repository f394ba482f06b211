"""Options of the HTTP app, and the app while a command runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echo_stream.cli.options.environment import secret
from echo_stream.cli.options.shared import gathered, option
from echo_stream.cli.output.output import say

if TYPE_CHECKING:
    from fastapi import APIRouter

    from echo_stream.connectors.http import HttpConfig
    from echo_stream.connectors.runner.monitor import HttpStats

token_file_option = option(
    "--http-token-file", type=click.Path(path_type=Path),
    help="File with the token that HTTP requests must carry. Or set ECHO_STREAM_HTTP_TOKEN.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """Where the HTTP app listens, and for whom."""

    http: str | None
    http_token_file: Path | None

    def config(self, default: str | None = None) -> "HttpConfig | None":
        """Return the configuration of the app; None where HTTP is off."""
        address = self.http or default
        if address is None:
            return None
        from echo_stream.connectors.http import HttpConfig

        return HttpConfig.parse(address, secret("http_token", self.http_token_file))


http_options = gathered(
    "http", HttpOptions,
    option("--http", metavar="HOST:PORT",
           help="Serve snapshots, a web page and metrics at this address. An address beyond "
                "loopback needs a token."),
    token_file_option,
)  # fmt: skip


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
