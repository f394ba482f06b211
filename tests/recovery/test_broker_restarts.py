"""A broker that is stopped, and killed, while a producer, a run and a group are at work."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.runner.status_reader import STATUS_FILE
from echo_stream.connectors.storage.engine_files import write_generation
from tests.support.clusters import clustered, produce_words
from tests.support.commands import newest_checkpoint, on
from tests.support.crashes.lives import Life, Nursery, wait_for
from tests.support.kafka.broker import Broker
from tests.support.kafka.group_stage import CONFIG, OPTIONS, PARTITIONS, Stage
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch

pytestmark = pytest.mark.real_kafka

N = 20_000
SECONDS = 45  # that the stream lasts; what an outage holds up comes after it at once
EACH_SECOND = ("--checkpoint-every", "1s", "--snapshot-every", "5s")


@dataclass(slots=True)
class Consumers:
    """A run by itself, and a group of two, over one topic."""

    state: Path
    alone: Life
    stage: Stage
    group: list[Life]

    @property
    def all(self) -> list[Life]:
        """Return all processes."""
        return [self.alone, *self.group]

    def have_counted(self, num_samples: int) -> bool:
        """Return whether both states hold so many samples."""
        alone = int(newest_checkpoint(self.state)["n"])
        return min(alone, self.stage.num_durable()) >= num_samples

    def wait_until_counted(self, num_samples: int) -> None:
        """Wait until both states hold so many samples."""
        wait_for(lambda: self.have_counted(num_samples), *self.all)


def begin(stack: ExitStack, stage: Stage, state: Path, *words: object) -> Consumers:
    """Start the consumers, and wait until each of them has begun."""
    where = on(stage.broker, stage.topic)
    counting = stage.nursery.life("run", *where, *words, "--state", state, name="alone")
    alone = stack.enter_context(counting)
    group = [stack.enter_context(stage.member(name, *words)) for name in ("a", "b")]
    wait_for(lambda: set(stage.owners()) == {member.pid for member in group}, *group)
    wait_for((state / STATUS_FILE).exists, alone)
    return Consumers(state, alone, stage, group)


def test_broker_that_is_stopped_and_killed_under_load(
    restartable_broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """All wait and go on by themselves; nothing is lost, counted twice or sent twice."""
    broker, samples, rng = restartable_broker, clustered(N), np.random.default_rng(0)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    topic = make_topic(partitions=PARTITIONS)
    stage = Stage(topic, tmp_path / "group", broker, nursery)
    outages: list[Callable[[], None]] = [broker.stop, broker.kill]
    with ExitStack() as stack:
        words = (*OPTIONS, *EACH_SECOND, "--generation", generation)
        consumers = begin(stack, stage, tmp_path / "alone", *words)
        send = [*produce_words(samples, on(broker, topic), tmp_path), "--rate", N / SECONDS]
        producer = stack.enter_context(nursery.life(*send, name="produce"))
        for number, end in enumerate(outages):
            consumers.wait_until_counted(N * (3 * number + 1) // 10 + int(rng.integers(N // 10)))
            end()
            broker.start()
            assert not producer.has_ended
        producer.finish()
        consumers.wait_until_counted(N)
        report, *_ = [member.leave() for member in consumers.all]
    assert (report["end_reason"], report["replayed"], report["gaps"]) == ("stopped", 0, 0)
    for state in (tmp_path / "alone", stage.state):
        assert assert_as_the_batch(state, samples, batch).n == N
