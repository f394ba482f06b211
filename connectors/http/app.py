"""The app, and who may ask it."""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI

from echo_stream._common.version import __version__
from echo_stream.connectors.http.errors import answer_errors
from echo_stream.connectors.http.events import MAX_LISTENERS
from echo_stream.connectors.http.guard import Guard
from echo_stream.connectors.http.page import PAGE_PATH


def create_app(
    routers: Iterable[APIRouter],
    *,
    token: str | None = None,
    open_paths: Iterable[str] = (PAGE_PATH,),
) -> FastAPI:
    """Return the app that serves some routers.

    Parameters
    ----------
    routers : iterable of APIRouter
        `run_routers` or `state_routers`, or some of theirs.
    token : str or None
        Asked of every request, but for health checks and `open_paths`; None: requests must
        name this machine's loopback as their host.
    open_paths : iterable of str
        Paths that need no token, since they tell nothing of the state, as the page.

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
    answer_errors(app)
    for router in routers:
        app.include_router(router)
    app.add_middleware(Guard, token=token, open_paths=frozenset(open_paths))
    return app
