"""One thread polls, whatever the one that counts does."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.source import KafkaSource
from echo_stream.errors import SourceError
from echo_stream.run.report import RunStats
from tests.support.commands import send, silent_broker
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

VALUES = [np.full(2, i, np.float32).tobytes() for i in range(500)]
CODEC = CodecConfig("raw", "float32", (2,))
LIMIT_S = 30.0


def until(is_so: Callable[[], object]) -> None:
    """Wait until something has happened in another thread."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def pollers() -> list[threading.Thread]:
    """Return the polling threads that are alive."""
    return [each for each in threading.enumerate() if each.name == "echo-stream-poller"]


def test_fetching_pauses_while_the_queue_is_full_and_polling_goes_on(
    broker: Broker, make_topic: MakeTopic
) -> None:
    """The queue outgrows its bound by a batch at most, and all comes out once it is taken."""
    topic = make_topic(partitions=2)
    for partition in (0, 1):
        send(broker, topic, VALUES, partition=partition)
    stats = RunStats()
    config = KafkaConfig((topic,), broker.bootstrap, CODEC, until_end=True, queue_records=100)
    with closing(KafkaSource(config, stats)) as source:
        until(lambda: stats.paused_partitions == 2)
        polls = stats.polls
        until(lambda: stats.polls > polls + 3)
        assert 100 <= stats.queue_records <= 100 + len(VALUES)
        values: list[float] = []
        while not source.is_exhausted:
            samples = source.next_batch(7).samples
            values += [] if samples is None else samples.x[:, 0].tolist()
    assert sorted(values) == sorted(2 * list(map(float, range(500))))
    assert 100 <= stats.queue_peak_records <= 100 + len(VALUES)
    assert stats.ends == {f"{topic}/0": 500, f"{topic}/1": 500}


def test_closing_ends_the_thread(broker: Broker, make_topic: MakeTopic) -> None:
    """Once, twice, with a full queue, and when the source cannot be opened."""
    before = pollers()
    topic = make_topic()
    send(broker, topic, VALUES)
    source = KafkaSource(KafkaConfig((topic,), broker.bootstrap, CODEC, queue_records=1))
    assert len(pollers()) == len(before) + 1
    source.close()
    source.close()
    with pytest.raises(SourceError, match="does not exist"):
        KafkaSource(KafkaConfig((f"{topic}-not",), broker.bootstrap))
    assert pollers() == before


@pytest.mark.slow
def test_no_thread_is_left_where_no_broker_answers() -> None:
    """The client gives up after ten seconds."""
    before = pollers()
    with silent_broker() as (address, _), pytest.raises(SourceError, match="cannot connect"):
        KafkaSource(KafkaConfig(("topic",), address))
    assert pollers() == before
