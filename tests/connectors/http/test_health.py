"""`/healthz` and `/readyz`: 200 while a run lives and counts, 503 with the reason otherwise."""

import time
from typing import Any

import pytest

from echo_stream.connectors.http import HttpConfig, HttpServer, create_app
from echo_stream.connectors.http.health import LOOP_LIMIT_S, POLL_LIMIT_S
from echo_stream.connectors.runner.monitor import BROKER_LIMIT_S, Reading, RunMonitor
from echo_stream.errors import ConfigError
from tests.support.http.rig import ask, served


@pytest.fixture
def monitor() -> RunMonitor:
    """Return the monitor of a run that counts."""
    found = RunMonitor()
    found.reading = Reading({"events/0": 5})
    found._source_name = "topic events"  # noqa: SLF001 - there is no source here
    found.stats.last_poll = found.stats.last_answer = time.monotonic()
    found.phase("running")
    return found


def failing(monitor: RunMonitor, path: str) -> list[str]:
    """Return the checks that fail; the code has to agree with them."""
    with served(monitor) as url:
        answer = ask(url + path)
    found: dict[str, Any] = answer.json()
    failed = [name for name, is_well in found["checks"].items() if not is_well]
    assert (answer.code, found["ok"]) == ((503, False) if failed else (200, True))
    return failed


def test_a_run_that_counts_is_well(monitor: RunMonitor) -> None:
    """Both checks say so."""
    assert failing(monitor, "/healthz") == failing(monitor, "/readyz") == []


def test_a_run_that_starts_lives_but_is_not_ready() -> None:
    """Before the source is opened it must get no traffic, and must not be killed."""
    assert failing(RunMonitor(), "/healthz") == []
    assert failing(RunMonitor(), "/readyz") == ["state_loaded", "assigned"]


def test_a_loop_that_hangs_is_noticed(monitor: RunMonitor) -> None:
    """No batch, epoch or phase for minutes is a hang."""
    monitor._beat_s -= LOOP_LIMIT_S + 1  # noqa: SLF001 - instead of minutes
    assert failing(monitor, "/healthz") == ["loop"]


def test_a_poller_that_hangs_is_noticed(monitor: RunMonitor) -> None:
    """A thread that died would leave the loop waiting for ever."""
    monitor.stats.last_poll -= POLL_LIMIT_S + 1
    assert failing(monitor, "/healthz") == ["poller"]


def test_a_broker_that_is_silent_is_noticed(monitor: RunMonitor) -> None:
    """The process lives, and waits: a restart would not help."""
    monitor.stats.last_answer -= BROKER_LIMIT_S + 1
    assert monitor.current_phase == "waiting for broker"
    assert failing(monitor, "/readyz") == ["broker"]
    assert failing(monitor, "/healthz") == []


@pytest.mark.parametrize("phase", ["stopping", "stopped"])
def test_a_run_that_ends_is_not_ready(monitor: RunMonitor, phase: Any) -> None:
    """So that nobody waits for it."""
    monitor.phase(phase)
    assert failing(monitor, "/readyz") == ["not_draining"]


def test_a_port_in_use_is_refused(monitor: RunMonitor) -> None:
    """The line names the address."""
    with served(monitor) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address"):
            HttpServer(create_app([]), HttpConfig("127.0.0.1", port))


def test_the_server_ends_with_its_block(monitor: RunMonitor) -> None:
    """The port is free again at once, and no thread is left."""
    import threading  # noqa: PLC0415 - only here

    with served(monitor) as url:
        config = HttpConfig.parse(url.removeprefix("http://"))
    assert "http" not in {thread.name for thread in threading.enumerate()}
    with HttpServer(create_app([]), config):
        assert ask(f"{url}/nonsense").code == 404
