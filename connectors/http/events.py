"""Server-sent events: a line for each snapshot, as soon as it is durable."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from echo_stream.connectors.http.api import PREFIX
from echo_stream.connectors.http.snapshot_views import SnapshotViews
from echo_stream.connectors.snapshots import describe

LOOK_EVERY_S = 0.25
BEAT_EVERY_S = 15.0  # proxies cut connections that say nothing
MAX_LISTENERS = 32
"""Listeners at a time; each one looks at the folder four times a second."""


def events_router(views: SnapshotViews) -> APIRouter:
    """Return `/events`, which tells of the newest snapshot, then of each new one."""
    router = APIRouter(prefix=PREFIX, tags=["snapshots"])
    places = threading.BoundedSemaphore(MAX_LISTENERS)

    @router.get(
        "/events", summary="Server-sent events: `snapshot`, for the newest and each new one",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}},
                   429: {"description": "Too many listen already."}},
    )  # fmt: skip
    async def events(
        request: Request, last_event_id: Annotated[str | None, Header(max_length=200)] = None
    ) -> StreamingResponse:
        if not places.acquire(blocking=False):
            raise HTTPException(429, f"{MAX_LISTENERS} clients listen already")
        told = _told(request, views, last_event_id, places)
        return StreamingResponse(
            told, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return router


async def _told(
    request: Request, views: SnapshotViews, last: str | None, places: threading.BoundedSemaphore
) -> AsyncIterator[str]:
    """Yield events until the client leaves, or the server ends."""
    known = last
    silent_s = 0.0
    try:
        while not (request.app.state.is_ending or await request.is_disconnected()):
            found = await run_in_threadpool(views.manifests)
            names = list(found)
            new = names[names.index(known) + 1 :] if known in found else names[-1:]
            for name in new:
                data = json.dumps(describe(views.unit(name), found[name]))
                yield f"id: {name}\nevent: snapshot\ndata: {data}\n\n"
                known, silent_s = name, 0.0
            if silent_s >= BEAT_EVERY_S:
                yield ": still here\n\n"
                silent_s = 0.0
            await asyncio.sleep(LOOK_EVERY_S)
            silent_s += LOOK_EVERY_S
    finally:
        places.release()
