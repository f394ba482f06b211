"""Apps that listen on a free port, also one over a state, and requests as a program makes them."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from echo_stream.connectors.http import (
    HttpConfig,
    HttpServer,
    create_app,
    health_router,
    metrics_router,
    state_routers,
)
from echo_stream.connectors.http.limits import Limits
from echo_stream.connectors.runner.monitor import RunMonitor
from tests.support.commands import TINY, answer, write_data

LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered."""

    code: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def ask(url: str, headers: Mapping[str, str] = {}) -> Answer:
    """Ask for a URL; an error is an answer too."""
    try:
        with urlopen(Request(url, headers=dict(headers)), timeout=LIMIT_S) as response:
            return Answer(response.status, response.headers, response.read())
    except HTTPError as err:
        with err:
            return Answer(err.code, err.headers, err.read())


def connect(url: str) -> socket.socket:
    """Return a connection to a server."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), LIMIT_S)


def until_closed(client: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection, in order or not."""
    found = b""
    try:
        while piece := client.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass  # so it is where we had sent more than was read
    return found


@contextmanager
def served(
    monitor: RunMonitor, token: str | None = None, limits: Limits | None = None
) -> Iterator[str]:
    """Serve a monitor's app on loopback; yields the URL."""
    app = create_app([health_router(monitor), metrics_router(monitor)], token=token)
    config = HttpConfig("127.0.0.1", 0, token)
    with HttpServer(app, config, monitor.http, limits) as server:
        yield f"http://{server.address}"


def make_state(folder: Path, *, snapshots: int = 3) -> Path:
    """Return a state with some snapshots, of samples of 4 values and three classes."""
    data = write_data(folder / "data.npz", n=100 + 50 * snapshots)
    words = ["--warmup", 100, "--snapshot-every", 50, *TINY]
    answer("run", data, "--state", folder / "state", *words)
    return folder / "state"


@contextmanager
def served_state(state: Path, token: str | None = None) -> Iterator[str]:
    """Serve a state's app on loopback; yields the URL."""
    app = create_app(state_routers(state), token=token)
    with HttpServer(app, HttpConfig("127.0.0.1", 0, token)) as server:
        yield f"http://{server.address}"
