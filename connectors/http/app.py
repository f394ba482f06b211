"""The HTTP app, and its answers to errors."""

from collections.abc import Iterable
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse

from echo_stream._common.version import __version__
from echo_stream.connectors.http.api import api_router
from echo_stream.connectors.http.events import MAX_LISTENERS, events_router
from echo_stream.connectors.http.guard import Guard
from echo_stream.connectors.http.health import health_router, state_status_router
from echo_stream.connectors.http.metrics import metrics_router
from echo_stream.connectors.http.page import PAGE_PATH, page_router
from echo_stream.connectors.http.payloads import payload_router
from echo_stream.connectors.http.snapshot_views import SnapshotViews
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.errors import (
    ConfigError,
    DataError,
    EchoStreamError,
    InfrastructureError,
    SnapshotError,
    SourceError,
)


def create_app(routers: Iterable[APIRouter], *, token: str | None = None) -> FastAPI:
    """Return the app that serves some routers.

    Parameters
    ----------
    routers : iterable of APIRouter
        `run_routers` or `state_routers`, or some of theirs.
    token : str or None
        Asked of every request, but for health checks and the page, which tell nothing of the
        state; None: requests must name this machine's loopback as their host.

    Examples
    --------
    >>> from echo_stream.connectors.http import health_router
    >>> from echo_stream.connectors.runner.monitor import RunMonitor
    >>> app = create_app([health_router(RunMonitor())])
    >>> sorted(app.openapi()["paths"])
    ['/healthz', '/readyz', '/status']
    """
    # The pages that FastAPI makes of the description load scripts from elsewhere.
    app = FastAPI(title="echo-stream", version=__version__, docs_url=None, redoc_url=None)
    app.state.is_ending = False  # endless answers look at it
    app.state.max_listeners = MAX_LISTENERS  # as many of them there may be
    _answer_errors(app)
    for router in routers:
        app.include_router(router)
    app.add_middleware(Guard, token=token, open_paths=frozenset({PAGE_PATH}))
    return app


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


_CODES: tuple[tuple[type[EchoStreamError], int], ...] = (
    (SnapshotError, 404),
    (ConfigError, 422),
    (DataError, 422),
    (InfrastructureError, 503),
    (SourceError, 503),
    (EchoStreamError, 409),  # the state warms up, or cannot be read
)


def _answer_errors(app: FastAPI) -> None:
    """Let an app answer what we raise on purpose with a code and a line."""

    @app.exception_handler(EchoStreamError)
    def refused(_: Request, err: EchoStreamError) -> JSONResponse:
        code = next(code for kind, code in _CODES if isinstance(err, kind))
        return JSONResponse({"detail": str(err)}, code)
