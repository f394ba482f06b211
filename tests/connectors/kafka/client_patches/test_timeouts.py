"""Polls that run out of time leave nothing to the collector of cycles."""

import gc
from collections.abc import Iterator
from contextlib import closing
from types import FrameType

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError

from echo_stream.connectors.kafka._client_patches.timeouts import Net
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.config import CLIENT_OPTIONS
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

POLLS = 5


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """Keep what the collector finds, and let it come only when it is called."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def test_a_poll_without_messages_leaves_no_frames(
    broker: Broker, make_topic: MakeTopic, garbage: list[object]
) -> None:
    """Frames hold the answers of brokers, and the client's own futures hold frames."""
    options = CLIENT_OPTIONS | {"auto_offset_reset": "earliest"}
    config = ClientConfig().for_client(KafkaConsumer, broker.bootstrap, **options)
    with closing(KafkaConsumer(make_topic(), **config)) as consumer:
        consumer.poll(1_000)
        gc.collect()
        garbage.clear()
        for _ in range(POLLS):
            assert consumer.poll(20) == {}
        gc.collect()
        assert not [each for each in garbage if isinstance(each, FrameType)]


def test_a_wait_that_runs_out_of_time_says_so() -> None:
    """With the client's own words, and a traceback that begins here."""
    net, told = Net(), KafkaTimeoutError("Timed out after 3 ms")

    async def wait() -> None:
        raise told

    with closing(net), pytest.raises(KafkaTimeoutError, match="Timed out after 3 ms") as caught:
        net.run(wait)
    assert caught.value is not told
    assert told.__traceback__ is None
