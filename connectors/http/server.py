"""Serve an app from a thread beside the run."""

import asyncio
import logging
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from echo_stream.connectors.http.acceptor import NO_SNIFFING, Acceptor
from echo_stream.connectors.http.guard import is_loopback
from echo_stream.connectors.http.limits import Limits
from echo_stream.connectors.runner.monitor import HttpStats
from echo_stream.errors import ConfigError, SettingName

logger = logging.getLogger(__name__)

_MAX_PORT = 65_535
TOKEN = r"[!-~]{16,}"
_GRACE_S = 2  # what answers under way may take when the server ends
_RESTART_S = 1.0  # between a failure of the server and its next beginning


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
        """Refuse an address open to all without a token, and a token that can be guessed."""
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                SettingName("http"),
                f" must be on a loopback address, such as 127.0.0.1:{self.port}, unless ",
                SettingName("http_token_file"),
                f" or ECHO_STREAM_HTTP_TOKEN gives a token; got {self.host}",
            )
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
        if not (host and colon and port.isdecimal() and int(port) <= _MAX_PORT):
            words = f" must be HOST:PORT, such as 127.0.0.1:8080; got {address!r}"
            raise ConfigError(SettingName("http"), words)
        return cls(host.removeprefix("[").removesuffix("]"), int(port), token)


class HttpServer:
    """Serve an app inside a `with` block. Listens from the beginning, in a thread.

    What fails in that thread is logged and counted, and the server is restarted; the run is not
    affected.

    Parameters
    ----------
    app : FastAPI
    config : HttpConfig
    stats : HttpStats, optional
        Where to count.
    limits : Limits, optional
        By default those that leave this process most of its descriptors.

    Raises
    ------
    ConfigError
        If the address is taken, or not of this machine.
    """

    def __init__(
        self,
        app: FastAPI,
        config: HttpConfig,
        stats: HttpStats | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._app = app
        self._stats = stats or HttpStats()
        self._limits = limits or Limits.of_process()
        self._stats.limit = self._limits.connections
        # Endless answers must leave places for others.
        app.state.max_listeners = min(app.state.max_listeners, self._limits.connections // 2)
        self._socket = _bound(config)
        self._ending = threading.Event()
        self._server: uvicorn.Server | None = None
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
        self._ending.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        """Serve until the end, and restart after a failure."""
        while not self._ending.is_set():
            try:
                asyncio.run(self._answer())
            except (Exception, SystemExit):  # uvicorn's way to give up
                self._stats.failures += 1
                logger.exception("http has failed, and is restarted in %g s", _RESTART_S)
                self._ending.wait(_RESTART_S)

    async def _answer(self) -> None:
        """Answer requests until the end, or until something fails."""
        asyncio.get_running_loop().set_exception_handler(self._failed)
        # Our own logging stands: uvicorn's has lines that each client can bring about. The
        # parser is h11 whatever is installed, and nothing speaks WebSocket: our limits on time
        # are those of this protocol alone.
        settings = uvicorn.Config(
            self._app, log_config=None, log_level="error", access_log=False, lifespan="off",
            ws="none", proxy_headers=False, server_header=False, headers=[NO_SNIFFING],
            timeout_keep_alive=self._limits.idle_s, timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=self._limits.header_bytes,
        )  # fmt: skip
        self._server = server = uvicorn.Server(settings)
        if self._ending.is_set():
            return
        acceptor = Acceptor(self._socket, server, self._limits, self._stats)
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(acceptor.run())
            await server.serve(sockets=[])  # connections are the acceptor's
            accepting.cancel()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what has failed in a connection, and log it."""
        self._stats.failures += 1
        loop.default_exception_handler(context)


def _bound(config: HttpConfig) -> socket.socket:
    """Return a socket that listens."""
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        server = socket.create_server((config.host, config.port), family=family)
    except OSError as err:
        msg = f"cannot listen on {config.host}:{config.port}: {err.strerror}; give another "
        raise ConfigError(msg, SettingName("http")) from err
    # Connections inherit it: else head and body of an answer wait 40 ms for each other.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.setblocking(False)
    return server
