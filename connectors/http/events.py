"""Server-sent events: a line for each snapshot, as soon as it is durable."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from echo_stream.connectors.http.api import PREFIX
from echo_stream.connectors.http.snapshot_views import SnapshotViews
from echo_stream.connectors.storage.snapshots import describe

_LOOK_EVERY_S = 0.25
_BEAT_EVERY_S = 15.0  # proxies cut silent connections
_MAX_TIMEOUT_S = 86_400
MAX_LISTENERS = 32
"""Listeners at a time; each one looks at the folder four times a second."""


def events_router(views: SnapshotViews) -> APIRouter:
    """Return `/events`, which reports the newest snapshot, then each new one."""
    router = APIRouter(prefix=PREFIX, tags=["snapshots"])
    listening: set[object] = set()  # only ever changed in the thread of the event loop

    @router.get(
        "/events", summary="Server-sent events: `snapshot`, for the newest and each new one",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}},
                   429: {"description": "Too many listen already."}},
    )  # fmt: skip
    async def events(
        request: Request,
        last_event_id: Annotated[str | None, Header(max_length=200)] = None,
        timeout: Annotated[
            float | None,
            Query(
                ge=0,
                le=_MAX_TIMEOUT_S,
                description="Seconds until it ends; "
                "0: after what there is. Without it, it goes on.",
            ),
        ] = None,
    ) -> StreamingResponse:
        limit = request.app.state.max_listeners
        if len(listening) >= limit:
            raise HTTPException(429, f"{limit} clients listen already")
        return _Listening(_events(request, views, last_event_id, timeout), listening)

    return router


class _Listening(StreamingResponse):
    """A response that frees its place when it ends, also if the client left before it began."""

    def __init__(self, events: AsyncIterator[str], listening: set[object]) -> None:
        headers = {"Cache-Control": "no-store"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._listening = listening
        listening.add(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listening.discard(self)


async def _events(
    request: Request, views: SnapshotViews, last: str | None, timeout_s: float | None
) -> AsyncIterator[str]:
    """Yield events until the client leaves, its time is over, or the server ends."""
    started_s = time.monotonic()
    known = last
    silent_s = 0.0
    while not (request.app.state.is_ending or await request.is_disconnected()):
        found = await run_in_threadpool(views.manifests)
        names = list(found)
        new = names[names.index(known) + 1 :] if known in found else names[-1:]
        for name in new:
            data = json.dumps(describe(views.unit(name), found[name]))
            yield f"id: {name}\nevent: snapshot\ndata: {data}\n\n"
            known, silent_s = name, 0.0
        if timeout_s is not None and time.monotonic() - started_s >= timeout_s:
            return
        if silent_s >= _BEAT_EVERY_S:
            yield ": still here\n\n"
            silent_s = 0.0
        await asyncio.sleep(_LOOK_EVERY_S)
        silent_s += _LOOK_EVERY_S
