"""`echo-stream serve`: a state's snapshots over HTTP, and a page that shows them."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.http import http_options, served
from echo_stream.cli.options.shared import (
    features_option,
    needed_state,
    section,
    state_option,
)
from echo_stream.cli.output.logs import log_options

if TYPE_CHECKING:
    from echo_stream.connectors.http import HttpConfig


@click.command(cls=Command)
@state_option
@section("HTTP", http_options("127.0.0.1:8080"))
@features_option
@section("Log", log_options)
def serve(
    *,
    state: Path | None,
    http: "HttpConfig",
    features: str | None,
) -> None:
    """Serve the snapshots of a state over HTTP, with a web page that shows them.

    The state may be in use by a run; `run --http` serves the same pages itself. If the state was
    created with --features, pass the same --features to get explanations of why a sample is in the
    coreset. SIGTERM and SIGINT stop the server.

    \b
    Example:
      echo-stream serve --state DIR --http 127.0.0.1:8080
    """
    folder = needed_state(state)
    from echo_stream.connectors.http import state_routers
    from echo_stream.connectors.storage.snapshots import check_state

    check_state(folder)
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is started, so that the threads do not take them either.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        with served(http, lambda: state_routers(folder, features=features)):
            signal.sigwait(signals)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
