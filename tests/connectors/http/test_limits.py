"""Clients that are silent, slow or many: each is let go in time, and others are served."""

import json
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import pytest
import uvicorn
from fastapi import APIRouter, Response

from echo_stream.connectors.http import HttpConfig, HttpServer, create_app
from echo_stream.connectors.http.acceptor import Acceptor
from echo_stream.connectors.http.limits import Limits
from echo_stream.connectors.runner.monitor import HttpStats, RunMonitor
from tests.support.http.rig import LIMIT_S, ask, connect, served, until_closed

SHORT = Limits(8, 1_000_000, header_s=0.5, body_s=0.5, idle_s=1, reading_s=0.5)
LONG = replace(SHORT, header_s=LIMIT_S, body_s=LIMIT_S, reading_s=LIMIT_S)
ANSWER_BYTES = 64 * 1024**2
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def wait_for(is_so: Callable[[], object]) -> None:
    """Wait until something that the server's thread does has happened."""
    deadline_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@contextmanager
def large_answers(limits: Limits) -> Iterator[tuple[str, HttpStats]]:
    """Serve an answer that fills all buffers between here and the client."""
    router, stats = APIRouter(), HttpStats()

    @router.get("/large")
    def large() -> Response:
        return Response(bytes(ANSWER_BYTES))

    with HttpServer(create_app([router]), HttpConfig("127.0.0.1", 0), stats, limits) as server:
        yield f"http://{server.address}", stats


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process have no descriptor left."""
    before, taken = resource.getrlimit(resource.RLIMIT_NOFILE), [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in taken:
            os.close(each)


@pytest.mark.parametrize("sent", [b"", b"G", GET])
def test_a_header_has_a_time(sent: bytes) -> None:
    """A client that says nothing, or only half of a request, is let go."""
    monitor = RunMonitor()
    with served(monitor, limits=SHORT) as url, connect(url) as client:
        client.sendall(sent)
        assert until_closed(client) == b""
        assert monitor.http.dropped["slow_header"] == 1


def test_a_header_in_drops_has_the_same_time() -> None:
    """Bytes that go on arriving do not make it longer."""
    with served(RunMonitor(), limits=SHORT) as url, connect(url) as client:
        started_s = time.monotonic()
        with pytest.raises(OSError, match=r"reset|pipe"):
            for number in range(10_000):
                client.sendall(b"GET / HTTP/1.1\r\n" if not number else b"X: y\r\n")
                time.sleep(0.01)
        assert time.monotonic() - started_s < LIMIT_S


def test_a_header_has_a_size() -> None:
    """What is longer is answered with 400, and the connection closed."""
    with served(RunMonitor(), limits=LONG) as url, connect(url) as client:
        client.sendall(GET + b"X: " + b"y" * LONG.header_bytes)
        assert until_closed(client).startswith(b"HTTP/1.1 400 ")


def test_a_body_has_a_time() -> None:
    """A request whose body never ends is let go, though it has been answered."""
    monitor = RunMonitor()
    with served(monitor, limits=SHORT) as url, connect(url) as client:
        client.sendall(GET + b"Content-Length: 1000000\r\n\r\nbeginning")
        assert until_closed(client).startswith(b"HTTP/1.1 200 ")
        assert monitor.http.dropped["slow_body"] == 1


@pytest.mark.parametrize("begun", [b"", b"GET"])
def test_an_idle_connection_is_closed(begun: bytes) -> None:
    """After an answer, another request may follow for a while; its first bytes change nothing."""
    with served(RunMonitor(), limits=SHORT) as url, connect(url) as client:
        client.sendall(GET + b"\r\n" + begun)
        assert until_closed(client).count(b"HTTP/1.1 ") == 1


def test_requests_on_one_connection_go_on() -> None:
    """A client that asks again and again is never dropped, however long its connection lives."""
    monitor = RunMonitor()
    with served(monitor, limits=SHORT) as url, connect(url) as client:
        started_s = time.monotonic()
        while time.monotonic() - started_s < 3 * SHORT.header_s:
            client.sendall(GET + b"\r\n")
            answer = b""
            while not answer.endswith(b"}}"):
                answer += client.recv(65_536)
        assert not any(monitor.http.dropped.values())


def test_an_answer_has_to_be_read() -> None:
    """A client that takes nothing of a large answer is let go, and its buffer with it."""
    with large_answers(SHORT) as (url, stats), connect(url) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: stats.dropped["slow_reader"])
        assert len(until_closed(client)) < ANSWER_BYTES


def test_an_answer_may_be_read_slowly() -> None:
    """Who goes on reading gets all of it, in several times of the limit."""
    with large_answers(SHORT) as (url, stats), connect(url) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = 0
        while found < ANSWER_BYTES:
            found += len(client.recv(2 * 1024**2))
            time.sleep(0.02)
        assert not any(stats.dropped.values())


def test_answers_that_wait_are_bounded_together() -> None:
    """The largest goes first where they are more than the server may hold."""
    limits = replace(LONG, unread_bytes=ANSWER_BYTES * 3 // 2)
    with large_answers(limits) as (url, stats), ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(connect(url))
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: stats.dropped["slow_reader"] == 2)


def test_silent_connections_keep_nobody_out() -> None:
    """With all places taken, the one that waits for longest makes way; the newest ones stay."""
    monitor = RunMonitor()
    with served(monitor, limits=LONG) as url, ExitStack() as stack:
        silent = [stack.enter_context(connect(url)) for _ in range(3 * LONG.connections)]
        for _ in range(LONG.connections):
            assert ask(f"{url}/status").code == 200
        assert until_closed(silent[0]) == b""
        newest = silent[-1]
        wait_for(lambda: monitor.http.connections <= LONG.connections)
        assert monitor.http.dropped["too_many_connections"] >= 2 * LONG.connections
        newest.settimeout(0.01)
        with pytest.raises(TimeoutError):
            newest.recv(1)


def test_a_place_is_given_to_who_waits_for_one() -> None:
    """While all are being answered a new client waits, and is served once one has ended."""
    limits = replace(LONG, connections=2)
    with large_answers(limits) as (url, stats), ExitStack() as stack:
        busy = [stack.enter_context(connect(url)) for _ in range(2)]
        for client in busy:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1)
        waiting = stack.enter_context(connect(url))
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        busy[0].close()
        waiting.settimeout(LIMIT_S)
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 404 ")
        assert not any(stats.dropped.values())


def test_event_streams_leave_places() -> None:
    """Half of the places at most are for answers without an end."""
    app = create_app([])
    with HttpServer(app, HttpConfig("127.0.0.1", 0), limits=SHORT):
        pass
    assert app.state.max_listeners == SHORT.connections // 2


def test_descriptors_are_held_back(caplog: pytest.LogCaptureFixture) -> None:
    """A connection whose descriptor is one of the run's is closed, and that is told."""
    monitor = RunMonitor()
    with served(monitor, limits=replace(LONG, descriptors=3)) as url, connect(url) as client:
        assert until_closed(client) == b""
        assert monitor.http.dropped["too_many_files"] == 1
    assert "the run needs the descriptors below 3" in caplog.text


def test_limits_follow_the_process() -> None:
    """A quarter of the descriptors is for connections, and another quarter never is."""
    for soft, connections, descriptors in ((200, 50, 150), (1_024, 128, 768), (-1, 128, 786_432)):
        with mock.patch.object(resource, "getrlimit", lambda _, soft=soft: (soft, soft)):
            limits = Limits.of_process()
        assert (limits.connections, limits.descriptors) == (connections, descriptors)


def test_it_accepts_again_after_descriptors_ran_out(caplog: pytest.LogCaptureFixture) -> None:
    """What `accept` refuses is told once and counted; later clients are served."""
    monitor = RunMonitor()
    with served(monitor, limits=LONG) as url, connect(url) as client, socket.socket() as waiting:
        wait_for(lambda: monitor.http.connections == 1)
        waiting.settimeout(LIMIT_S)
        with no_descriptors():
            waiting.connect(client.getpeername())
            wait_for(lambda: monitor.http.failures >= 2)
        waiting.sendall(GET + b"\r\n")
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 ")
    told = [each for each in caplog.messages if "Too many open files" in each]
    assert len(told) == 1


def test_it_begins_again_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """An error that ends the server is logged and counted; then it answers at the same address."""
    monitor, failing = RunMonitor(), threading.Event()
    serve = uvicorn.Server.serve

    async def fail(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        if not failing.is_set():
            failing.set()
            msg = "the server is broken"
            raise RuntimeError(msg)
        await serve(server, sockets)

    with mock.patch.object(uvicorn.Server, "serve", fail), served(monitor, limits=LONG) as url:
        assert ask(f"{url}/status").json()["http"]["failures"] == 1
    assert "http has failed, and is restarted" in caplog.text


def test_a_failing_acceptor_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong while connections are looked at ends neither the server nor silence."""
    monitor, look, calls = RunMonitor(), Acceptor._drop_overdue, iter([True])  # noqa: SLF001

    def fail(acceptor: Acceptor) -> None:
        if next(calls, False):
            raise RuntimeError
        look(acceptor)

    with (
        mock.patch.object(Acceptor, "_drop_overdue", fail),
        served(monitor, limits=LONG) as url,
    ):
        wait_for(lambda: monitor.http.failures)
        assert ask(f"{url}/status").code == 200
    assert "http has failed" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        (GET + b"\r\n") * 1_000 + b"\x00",
    ],
)
def test_nonsense_is_no_failure(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever arrives, the log stays quiet, and the next one is served."""
    monitor = RunMonitor()
    with caplog.at_level(logging.WARNING), served(monitor, limits=SHORT) as url:
        with connect(url) as client:
            client.sendall(sent)
            until_closed(client)
        assert ask(f"{url}/status").code == 200
    assert monitor.http.failures == 0
    assert caplog.messages == []


def test_closing_takes_no_longer_for_slow_clients() -> None:
    """What was not read when the server ends is dropped."""
    started_s = time.monotonic()
    with large_answers(LONG) as (url, _), connect(url) as client, connect(url) as silent:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        silent.sendall(b"GET /large HTTP/1.1\r\n")
        assert client.recv(1)
    assert time.monotonic() - started_s < LIMIT_S


def test_the_status_has_its_numbers() -> None:
    """Beside a run; where nothing is served there are none."""
    monitor = RunMonitor()
    assert json.dumps(monitor.http.to_json()) == "null"
    with served(monitor, limits=LONG) as url:
        told = ask(f"{url}/status").json()["http"]
    assert told["limit"] == LONG.connections
    assert told["dropped"].keys() == monitor.http.dropped.keys()
