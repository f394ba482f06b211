"""Accept connections while there is room for them, and close those that take too long."""

import asyncio
import logging
import socket
from typing import Any, Literal, TypeAlias

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from echo_stream.connectors.http.limits import Limits
from echo_stream.connectors.process.clock import LOG_EVERY_S
from echo_stream.connectors.runner.monitor import DropReason, HttpStats

NO_SNIFFING = ("X-Content-Type-Options", "nosniff")

Phase: TypeAlias = Literal["header", "body", "answer", "reading"]
"""What is waited for: the rest of a header or of a body, our answer, or that it is read."""


class Connection(H11Protocol):
    """A connection that tells whether its client takes too long."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._known: tuple[Phase, object] | None = None
        self._unread_then = 0
        self.unread_bytes = 0
        self.phase: Phase = "header"
        self.since_s = self.loop.time()

    def look(self, now_s: float) -> None:
        """Look what is waited for; `phase`, `since_s` and `unread_bytes` say so."""
        self.unread_bytes = self.transport.get_write_buffer_size()
        self.phase = self._phase()
        if (self.phase, self.cycle) != self._known:
            self._known = (self.phase, self.cycle)
            self._restart(now_s)

    def overdue(self, now_s: float, limits: Limits) -> DropReason | None:
        """Return why the client takes too long, as of the last look; None if it does not."""
        waited_s = now_s - self.since_s
        if self.phase == "header" and waited_s >= limits.header_s:
            return "slow_header"
        if self.phase == "body" and waited_s >= limits.body_s:
            return "slow_body"
        if self.phase == "reading" and waited_s >= limits.reading_s:
            if self._unread_then - self.unread_bytes < limits.read_bytes:
                return "slow_reader"
            self._restart(now_s)
        return None

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to what is not HTTP, or close the connection where an answer is under way."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # or its answer would fail, with a traceback
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        headers = [("Content-Type", "text/plain; charset=utf-8"), NO_SNIFFING,
                   ("Connection", "close")]  # fmt: skip
        for event in (
            h11.Response(status_code=400, headers=headers, reason="Bad Request"),
            h11.Data(data=msg.encode("ascii")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _phase(self) -> Phase:
        """Return what is waited for now."""
        if self.unread_bytes:
            return "reading"
        if self.conn.their_state is h11.IDLE:
            return "header"
        return "body" if self.conn.their_state is h11.SEND_BODY else "answer"

    def _restart(self, now_s: float) -> None:
        """Count the time from now."""
        self.since_s, self._unread_then = now_s, self.unread_bytes


logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.25

_WORDS: dict[DropReason, str] = {
    "too_many_connections": "all %d http connections are taken; those that wait longest for a "
    "request go",
    "too_many_files": "http takes no connections: the run needs the descriptors below %d "
    "(raise the limit of open files)",
}


class Acceptor:
    """Accept connections for a server; all in the thread of its event loop.

    When all places are taken, a new connection replaces the one that has waited longest for a
    header, so that silent clients cannot block others. If all connections are being answered,
    new ones wait in the system's queue.

    Parameters
    ----------
    listening : socket
        Does not block.
    server : uvicorn.Server
        Listens to nothing by itself.
    limits : Limits
    stats : HttpStats
    """

    def __init__(
        self, listening: socket.socket, server: uvicorn.Server, limits: Limits, stats: HttpStats
    ) -> None:
        self._socket = listening
        self._server = server
        self._limits = limits
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._opening: dict[Connection, asyncio.Task[None]] = {}
        self._told_s: dict[str, float] = {}

    async def run(self) -> None:
        """Accept connections until cancelled; then drop those that are left."""
        try:
            while not self._server.should_exit:
                self._loop.add_reader(self._socket, self._accept)  # it may have been paused
                await asyncio.sleep(_LOOK_EVERY_S)
                self._drop_overdue()
            self._pause()
            await asyncio.Event().wait()
        finally:
            self._pause()
            for each in self._connections():
                each.transport.abort()
            self._stats.connections = 0

    def _accept(self) -> None:
        """Accept one connection, if there is room; the loop asks again where there are more."""
        if len({*self._connections(), *self._opening}) >= self._limits.connections:
            if not self._drop_waiting():
                self._pause()
            return
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as err:
            self._stats.failures += 1
            self._tell("accept", "http cannot accept connections: %s; it tries again", err.strerror)
            self._pause()
            return
        if accepted.fileno() >= self._limits.descriptors:
            self._stats.dropped["too_many_files"] += 1
            accepted.close()
            self._tell("too_many_files", _WORDS["too_many_files"], self._limits.descriptors)
            self._pause()
            return
        accepted.setblocking(False)
        connection = Connection(
            config=self._server.config, server_state=self._server.server_state, app_state={}
        )
        self._opening[connection] = self._loop.create_task(self._open(connection, accepted))

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        """Let a connection begin."""
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()  # its client has gone already
        finally:
            del self._opening[connection]

    def _drop_waiting(self) -> bool:
        """Drop the connection that has been waiting for a header for longest, if there is one."""
        connections, now_s = self._connections(), self._loop.time()
        for each in connections:
            each.look(now_s)
        waiting = [each for each in connections if each.phase == "header"]
        if not waiting:
            return False
        self._tell("too_many_connections", _WORDS["too_many_connections"], self._limits.connections)
        self._drop(min(waiting, key=lambda each: each.since_s), "too_many_connections")
        return True

    def _drop_overdue(self) -> None:
        """Drop connections whose client takes too long, and answers that are too much together."""
        connections, now_s = self._connections(), self._loop.time()
        self._stats.connections = len(connections)
        for each in connections:
            each.look(now_s)
            reason = each.overdue(now_s, self._limits)
            if reason is not None:
                self._drop(each, reason)
        unread_bytes = sum(each.unread_bytes for each in connections)
        for each in sorted(connections, key=lambda each: each.unread_bytes, reverse=True):
            if unread_bytes <= self._limits.unread_bytes:
                return
            unread_bytes -= each.unread_bytes
            self._drop(each, "slow_reader")

    def _drop(self, connection: Connection, reason: DropReason) -> None:
        """Close a connection at once, whatever its client has not read yet."""
        self._stats.dropped[reason] += 1
        connection.transport.abort()
        connection.unread_bytes = 0

    def _connections(self) -> list[Connection]:
        """Return the connections that are open."""
        found = self._server.server_state.connections
        return [each for each in found if isinstance(each, Connection)]

    def _pause(self) -> None:
        """Accept no more, until the next look."""
        self._loop.remove_reader(self._socket)

    def _tell(self, about: str, words: str, *arguments: object) -> None:
        """Log a problem, at most once a minute."""
        now_s = self._loop.time()
        if now_s - self._told_s.get(about, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._told_s[about] = now_s
            logger.warning(words, *arguments)
