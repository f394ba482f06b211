"""Serve an app from a thread beside the run."""

import logging
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

import uvicorn
from fastapi import FastAPI

from echo_stream.connectors.http.guard import is_loopback
from echo_stream.errors import ConfigError

logger = logging.getLogger(__name__)

MAX_PORT = 65_535
TOKEN = r"[!-~]{16,}"
GRACE_S = 2  # what answers under way may take when the server ends


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where to listen, and the token to ask for.

    Attributes
    ----------
    host : str
        Name or address; only a loopback one without a token.
    port : int
        0: any that is free.
    token : str or None
        At least 16 characters of ASCII, without blanks.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse to be open to all, or to whoever guesses."""
        if self.token is None and not is_loopback(self.host):
            msg = (
                f"http must be on a loopback address, such as 127.0.0.1:{self.port}, unless "
                f"http_token_file or ECHO_STREAM_HTTP_TOKEN gives a token; got {self.host}"
            )
            raise ConfigError(msg)
        if self.token is not None and not re.fullmatch(TOKEN, self.token):
            msg = "http_token must be 16 or more characters of ASCII, without blanks"
            raise ConfigError(msg)

    @classmethod
    def parse(cls, address: str, token: str | None = None) -> Self:
        """Return the configuration of "HOST:PORT".

        Raises
        ------
        ConfigError
            If that is none, or needs a token.
        """
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) <= MAX_PORT):
            msg = f"http must be HOST:PORT, such as 127.0.0.1:8080; got {address!r}"
            raise ConfigError(msg)
        return cls(host.removeprefix("[").removesuffix("]"), int(port), token)


class HttpServer:
    """Serve an app inside a `with` block. Listens from the beginning, in a thread.

    Parameters
    ----------
    app : FastAPI
    config : HttpConfig

    Raises
    ------
    ConfigError
        If the address is taken, or not of this machine.
    """

    def __init__(self, app: FastAPI, config: HttpConfig) -> None:
        self._app = app
        self._socket = _bound(config)
        # Our own logging stands: uvicorn's would print every request.
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off",
            timeout_graceful_shutdown=GRACE_S, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT that it listens on."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __enter__(self) -> Self:
        """Begin to serve; connections are taken from now on."""
        self._thread.start()
        logger.info("http listens on %s", self.address)
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what is being answered, for at most two seconds, and end the thread."""
        self._app.state.is_ending = True
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        """Serve until told to end."""
        self._server.run(sockets=[self._socket])


def _bound(config: HttpConfig) -> socket.socket:
    """Return a socket that listens."""
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        server = socket.create_server((config.host, config.port), family=family)
    except OSError as err:
        msg = f"cannot listen on {config.host}:{config.port}: {err.strerror}; give another --http"
        raise ConfigError(msg) from err
    # Connections inherit it: else head and body of an answer wait 40 ms for each other.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server
