"""`/status` and health checks of a server that has no run beside it."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter

from echo_stream.connectors.group.status import read_state_status


def state_status_router(state: Path) -> APIRouter:
    """Return `/healthz` and `/readyz`, and `/status` of whatever run there is over a state."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Whether this server answers")
    @router.get("/readyz", summary="Whether this server answers", name="readyz")
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @router.get("/status", summary="What `echo-stream status` prints")
    def status() -> dict[str, Any]:
        return read_state_status(state)

    return router
