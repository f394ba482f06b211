"""A state with snapshots, and an app over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echo_stream.connectors.http import HttpConfig, HttpServer, create_app, state_routers
from tests.support.commands import TINY, answer, write_data


def make_state(folder: Path, *, snapshots: int = 3) -> Path:
    """Return a state with some snapshots, of samples of 4 values and three classes."""
    data = write_data(folder / "data.npz", n=100 + 50 * snapshots)
    words = ["--warmup", 100, "--snapshot-every", 50, *TINY]
    answer("run", data, "--state", folder / "state", *words)
    return folder / "state"


@contextmanager
def served_state(state: Path, token: str | None = None) -> Iterator[str]:
    """Serve a state's app on loopback; yields the URL."""
    app = create_app(state_routers(state), token=token)
    with HttpServer(app, HttpConfig("127.0.0.1", 0, token)) as server:
        yield f"http://{server.address}"
