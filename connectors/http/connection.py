"""One connection of the server: what is waited for, and since when."""

from typing import Any, Literal, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from echo_stream.connectors.http.limits import Limits
from echo_stream.connectors.runner.http_stats import DropReason

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
