"""Sockets of brokers are read in large pieces."""

import socket
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka._client_patches import reads as kafka_reads
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.source import KafkaSource
from tests.support.commands import send
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic


def test_a_source_asks_its_socket_for_much_at_a_time(
    broker: Broker, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the client that is installed, whose parts have no promise to stay."""
    topic, dim, numbers = make_topic(), 1_000, 500
    send(broker, topic, [np.full(dim, i, np.float32).tobytes() for i in range(numbers)])
    sizes: list[int] = []
    receive = kafka_reads.LargeReads.recv

    def noted(self: Any, size: int) -> bytes:
        received = receive(self, size)
        sizes.append(len(received))
        return received

    monkeypatch.setattr(kafka_reads.LargeReads, "recv", noted)
    config = KafkaConfig((topic,), broker.bootstrap, CodecConfig("raw", "float32", (dim,)))
    found: list[float] = []
    with closing(KafkaSource(config)) as source:
        while len(found) < numbers:
            samples = source.next_batch(numbers).samples
            found += [] if samples is None else samples.x[:, -1].tolist()
    assert found == list(range(numbers))
    assert max(sizes) > 8 * 4_096


def test_the_last_words_of_a_broker_are_read() -> None:
    """Those that come right before the end of the connection, which is met after them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        reads = kafka_reads.LargeReads(ours)
        with pytest.raises(BlockingIOError):
            reads.recv(4_096)
        theirs.sendall(b"because")
        theirs.close()
        assert reads.recv(4_096) == b"because"
        with pytest.raises(BlockingIOError):
            reads.recv(4_096)
        assert reads.recv(4_096) == b"" == reads.recv(4_096)
