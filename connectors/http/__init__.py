"""One FastAPI app over a run or a state: health, metrics, snapshots, and a page."""

from echo_stream.connectors.http.app import create_app, run_routers, state_routers
from echo_stream.connectors.http.health import health_router
from echo_stream.connectors.http.metrics import metrics_router
from echo_stream.connectors.http.server import HttpConfig, HttpServer

__all__ = [
    "HttpConfig",
    "HttpServer",
    "create_app",
    "health_router",
    "metrics_router",
    "run_routers",
    "state_routers",
]
