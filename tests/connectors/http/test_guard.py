"""Who may ask the app."""

from pathlib import Path

import pytest
from fastapi import APIRouter

from echo_stream.connectors.http import HttpConfig, HttpServer, create_app, run_routers
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.errors import ConfigError
from tests.support.http.rig import ask, connect, served, until_closed

TOKEN = "correct-horse-battery"


def failing_router() -> APIRouter:
    """Return a route that is broken."""
    router = APIRouter()

    @router.get("/fail")
    def fail() -> None:
        raise RuntimeError

    return router


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "localhost:", "127.0.0.1:80", "[::1]:80", "127.8.9.1"]
)
def test_this_machine_may_ask(host: str) -> None:
    """Without a token, requests to a loopback name are answered."""
    with served(RunMonitor()) as url:
        assert ask(f"{url}/status", {"Host": host}).code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "[::2]",
        "",
        "10.0.0.1",
        "localhost:x@evil",
        "localhost:80@evil",
        "localhost@evil",
        "evil@localhost",
        "localhost:80:80",
        "[::1]x",
        "[::1",
        "::1",
        "[localhost]",
        "localhost/",
        "localhost#",
        "localhost, evil",
        "127.1",
    ],
)
def test_a_foreign_page_may_not(host: str) -> None:
    """A site whose name was pointed at this machine sends its own name, and learns nothing."""
    with served(RunMonitor()) as url:
        for path in ("/status", "/metrics", "/openapi.json", "/nonsense"):
            answer = ask(url + path, {"Host": host})
            assert answer.code == 421
            assert b"phase" not in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xe9\xff"},
    ],
)
def test_without_the_token_nothing_is_told(headers: dict[str, str]) -> None:
    """Every path but the health checks asks for it."""
    with served(RunMonitor(), TOKEN) as url:
        for path in ("/status", "/metrics", "/openapi.json"):
            answer = ask(url + path, headers)
            assert (answer.code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ask(f"{url}/healthz", headers).code == 200


def test_no_answer_is_sniffed() -> None:
    """Whatever the code and the type, browsers take an answer as what it says it is."""
    app = create_app([*run_routers(RunMonitor(), Path("none")), failing_router()])
    with HttpServer(app, HttpConfig("127.0.0.1", 0)) as server:
        url = f"http://{server.address}"
        asked = {"/": 200, "/status": 200, "/metrics": 200, "/nonsense": 404, "/fail": 500,
                 "/api/v1/coreset": 404, "/api/v1/coreset?limit=0": 422}  # fmt: skip
        answers = [ask(url + path) for path in asked]
        assert [each.code for each in answers] == list(asked.values())
        answers += [ask(url, {"Host": "evil.example"}), ask(url, {"Host": "two words"})]
        assert [each.code for each in answers[-2:]] == [421, 421]
        answers.append(ask(url, {"Content-Length": "no number"}))
        assert answers[-1].code == 400
    for answer in answers:
        assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens(scheme: str) -> None:
    """Whoever bears it is answered, whatever name the machine was called by."""
    with served(RunMonitor(), TOKEN) as url:
        headers = {"Authorization": f"{scheme} {TOKEN}", "Host": "consumer.example"}
        assert ask(f"{url}/status", headers).json()["phase"] == "starting"


def test_a_host_is_named_once() -> None:
    """Of two, whoever stands between may have looked at the other."""
    with served(RunMonitor()) as url, connect(url) as client:
        client.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")
        assert until_closed(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", ["http://evil.example/status", "//evil.example/status"])
def test_a_target_of_another_host_is_none_of_ours(target: str) -> None:
    """Nothing is told to a request whose target names a host, whatever its `Host` says."""
    with served(RunMonitor()) as url, connect(url) as client:
        lines = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(lines.encode())
        assert until_closed(client).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "consumer.example"])
def test_other_addresses_need_a_token(host: str) -> None:
    """A metrics port that all the network can read is a choice, not a default."""
    with pytest.raises(ConfigError, match="must be on a loopback address"):
        HttpConfig(host, 8080)
    assert TOKEN not in repr(HttpConfig(host, 8080, TOKEN))


@pytest.mark.parametrize("token", ["", "short", "with a blank inside it", "ümlauts-everywhere"])
def test_weak_tokens_are_refused(token: str) -> None:
    """A token that can be guessed, or cannot be sent in a header, is none."""
    with pytest.raises(ConfigError, match="16 or more characters") as caught:
        HttpConfig("0.0.0.0", 8080, token)
    assert token == "" or token not in str(caught.value)


@pytest.mark.parametrize("address", ["8080", "localhost", ":8080", "localhost:http", "a:65536", ""])
def test_an_address_has_host_and_port(address: str) -> None:
    """What is neither is refused, with an example."""
    with pytest.raises(ConfigError, match="HOST:PORT, such as"):
        HttpConfig.parse(address)


def test_addresses_of_both_kinds_are_read() -> None:
    """Brackets are those of IPv6."""
    assert HttpConfig.parse("[::1]:80") == HttpConfig("::1", 80)
    assert HttpConfig.parse("localhost:0") == HttpConfig("localhost", 0)
