"""What an app answers: beside a run, and over a state alone."""

from pathlib import Path

from fastapi import APIRouter

from echo_stream.connectors.http.api import api_router
from echo_stream.connectors.http.events import events_router
from echo_stream.connectors.http.health import health_router
from echo_stream.connectors.http.metrics import metrics_router
from echo_stream.connectors.http.page import page_router
from echo_stream.connectors.http.payloads import payload_router
from echo_stream.connectors.http.snapshot_views import SnapshotViews
from echo_stream.connectors.http.state_status import state_status_router
from echo_stream.connectors.run_monitor import RunMonitor


def run_routers(monitor: RunMonitor, state: Path) -> list[APIRouter]:
    """Return the routers of a run and its state, which may not exist yet."""
    return [health_router(monitor), metrics_router(monitor), *_snapshot_routers(state)]


def state_routers(state: Path) -> list[APIRouter]:
    """Return the routers of a state; a run may go on over it elsewhere."""
    return [state_status_router(state), *_snapshot_routers(state)]


def _snapshot_routers(state: Path) -> list[APIRouter]:
    """Return the routers of a state's snapshots, and the page that shows them."""
    views = SnapshotViews(state)
    return [api_router(views), payload_router(views), events_router(views), page_router()]
