"""Whether a run is alive, and whether it is ready."""

import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from echo_stream.connectors.group.status import read_state_status
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.runner.status import status_of

# A batch, a snapshot's selection or an epoch each take seconds; five minutes are a hang.
LOOP_LIMIT_S = 300.0
POLL_LIMIT_S = 60.0
_UNAVAILABLE = 503


def health_router(monitor: RunMonitor) -> APIRouter:
    """Return `/healthz` and `/readyz`, which answer 200 or 503 and why, and `/status`."""
    router = APIRouter(tags=["health"])

    # Not in a thread: those may all be taken by answers that take long.
    @router.get("/healthz", summary="Whether the loop and the poller are moving")
    async def healthz() -> JSONResponse:
        return _answer(_liveness(monitor))

    @router.get("/readyz", summary="Whether the run counts: opened, broker there, not stopping")
    async def readyz() -> JSONResponse:
        return _answer(_readiness(monitor))

    @router.get("/status", summary="What `echo-stream status` prints")
    def status() -> dict[str, Any]:
        return status_of(monitor)

    return router


def _liveness(monitor: RunMonitor) -> dict[str, bool]:
    """Return the checks of liveness, and whether they pass."""
    return {
        "loop": monitor.beat_age_s() < LOOP_LIMIT_S,
        "poller": _age_s(monitor.stats.last_poll) < POLL_LIMIT_S,
    }


def _readiness(monitor: RunMonitor) -> dict[str, bool]:
    """Return the checks of readiness, and whether they pass."""
    return {
        "state_loaded": bool(monitor.source_name),
        "assigned": bool(monitor.reading.offsets),
        "broker": not monitor.is_broker_silent,
        "not_draining": monitor.current_phase not in {"stopping", "stopped"},
    }


def _age_s(moment: float) -> float:
    """Return the seconds since a moment of the monotonic clock; 0 where there is no poller."""
    return time.monotonic() - moment if moment else 0.0


def _answer(checks: dict[str, bool]) -> JSONResponse:
    """Return the response to some checks."""
    is_well = all(checks.values())
    return JSONResponse({"ok": is_well, "checks": checks}, 200 if is_well else _UNAVAILABLE)


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
