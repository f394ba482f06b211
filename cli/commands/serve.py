"""`echo-stream serve`: a state's snapshots over HTTP, and a page that shows them."""

import signal
from pathlib import Path

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.http import http_config, http_options, served
from echo_stream.cli.options.shared import (
    allow_local_modules,
    features_option,
    needed_state,
    state_option,
)
from echo_stream.cli.output.logs import log_options

DEFAULT_ADDRESS = "127.0.0.1:8080"


@click.command(cls=Command)
@state_option
@http_options
@features_option
@log_options
def serve(
    *,
    state: Path | None,
    http: str | None,
    http_token_file: Path | None,
    features: str | None,
    **_: object,
) -> None:
    """Serve the snapshots of a state, and a page that shows them, at 127.0.0.1:8080 or --http.

    A consumer may be running over the state; `run --http` serves the same by itself.
    --features, as the state was begun with, lets it tell why a sample is in the coreset.
    SIGTERM and SIGINT end it.

    \b
    Example:
      echo-stream serve --state DIR --http 127.0.0.1:8080
    """
    folder = needed_state(state)
    from echo_stream.connectors.http import state_routers  # noqa: PLC0415 - imports FastAPI
    from echo_stream.connectors.storage.snapshots import check_state  # noqa: PLC0415

    check_state(folder)
    if features is not None:
        allow_local_modules()
    config = http_config(http or DEFAULT_ADDRESS, http_token_file)
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is started, so that the threads do not take them either.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        with served(config, lambda: state_routers(folder, features=features)):
            signal.sigwait(signals)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
