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
from echo_stream.connectors.runner.monitor import RunMonitor


def run_routers(
    monitor: RunMonitor, state: Path, *, features: str | None = None
) -> list[APIRouter]:
    """Return the routers of a run and its state, which may not exist yet.

    Parameters
    ----------
    monitor : RunMonitor
    state : Path
    features : str, optional
        Those of the run.
    """
    routers = _snapshot_routers(state, features)
    return [health_router(monitor), metrics_router(monitor), *routers]


def state_routers(state: Path, *, features: str | None = None) -> list[APIRouter]:
    """Return the routers of a state, begun with features; a run may go on over it elsewhere."""
    return [state_status_router(state), *_snapshot_routers(state, features)]


def _snapshot_routers(state: Path, features: str | None) -> list[APIRouter]:
    """Return the routers of a state's snapshots, and the page that shows them."""
    views = SnapshotViews(state)
    return [
        api_router(views, features=features),
        payload_router(views),
        events_router(views),
        page_router(),
    ]
