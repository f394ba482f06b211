"""What is said of brokers and topics that are not there."""

import logging
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient
from kafka.errors import CorruptRecordError, TopicAuthorizationFailedError

from echo_stream.connectors.kafka.client import errors_for_people, unknown_topic
from echo_stream.errors import SourceError
from tests.support.kafka.ports import free_ports


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "connection refused; is the broker up?"),
        ("nowhere.invalid", "a name that cannot be resolved; check the servers"),
    ],
)
def test_the_cause_is_told_and_not_what_follows_from_it(host: str, words: str) -> None:
    """The client's error says no more than that it could not begin."""
    (port,) = free_ports(1)
    server = f"{host}:{port}"
    with (
        pytest.raises(SourceError, match=words.replace("?", r"\?")),
        errors_for_people(server, "connect"),
    ):
        KafkaAdminClient(bootstrap_servers=server, bootstrap_timeout_ms=1_000)


class HangsUp(socketserver.BaseRequestHandler):
    """Closes at once."""


class Resets(socketserver.BaseRequestHandler):
    """Closes as the kernel does where a process dies with data unread."""

    def handle(self) -> None:
        """Read a byte, and linger for no time."""
        self.request.recv(1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("handler", [HangsUp, Resets])
def test_a_broker_that_hangs_up_may_want_another_protocol(
    handler: type[socketserver.BaseRequestHandler],
) -> None:
    """As one does that expects TLS."""
    with listening(handler) as server:
        words = r"closed the connection; is it up, and is the security protocol right\?"
        with pytest.raises(SourceError, match=words), errors_for_people(server, "connect"):
            KafkaAdminClient(bootstrap_servers=server, bootstrap_timeout_ms=1_000)


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """Answer connections to the address that is yielded."""
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()


def test_a_broker_that_answers_is_up() -> None:
    """What it says is told, whatever connection was lost before."""
    topic = "t"
    with pytest.raises(SourceError) as caught, errors_for_people("host:1", "read topic t"):
        logging.getLogger("kafka.net").warning("KafkaConnectionError: socket disconnected")
        raise TopicAuthorizationFailedError(topic)
    assert "TopicAuthorizationFailedError: t" in str(caught.value)
    assert "connection" not in str(caught.value)


@pytest.mark.parametrize(
    ("known", "end"),
    [
        ([], "topics there: none"),
        (["b", "a"], "topics there: a, b"),
        (["events-2", "a"], "did you mean events-2?"),
        ([f"t{n:02d}" for n in range(30)], "t06, t07 and 22 more"),
    ],
)
def test_an_unknown_topic_names_the_nearest_or_a_few(known: list[str], end: str) -> None:
    """A cluster may have thousands."""
    line = str(unknown_topic("events", "kafka:9092", known))
    assert line.startswith("topic events does not exist at kafka:9092; ")
    assert line.endswith(end)


@pytest.mark.parametrize("said", [(), ("the batch at offset 5 is corrupt",)])
def test_a_corrupt_batch_is_no_broker_that_is_away(said: tuple[str, ...]) -> None:
    """Whether the client has found it or the broker says so, in which case it says no more."""
    with (
        pytest.raises(SourceError, match=r"corrupt; start again") as caught,
        errors_for_people("host:1", "read"),
    ):
        raise CorruptRecordError(*said)
    assert "is the broker up" not in str(caught.value)
