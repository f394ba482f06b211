"""A run over partitions that dies before any operation on its files, or on a topic.

Each life is a real process that kills itself, or loses power, and begins with the same state;
the one after it goes on from what it left, to the end of the topic.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.dead_letters.files import read_dead_letters
from echo_stream.connectors.dead_letters.message import DeadLetter
from echo_stream.connectors.dead_letters.topic import read_topic
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples
from echo_stream.connectors.storage.engine_files import write_generation
from echo_stream.connectors.storage.snapshots import newest_manifest
from echo_stream.samples.samples import Samples
from tests.support.clusters import clustered
from tests.support.commands import newest_checkpoint, on, send
from tests.support.crashes.lives import Nursery
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch, outcome

ROUND = 100  # samples of a run before
ROUNDS = 3
N = 500
PARTITIONS = 4
POISON = tuple(b"\xff\xff\xff\xff poison %d" % number for number in range(PARTITIONS))
"""Begin as Arrow does: that they are decoded is noted in the state."""
CONFIG = EngineConfig(budget=60, preset="paper", epochs=0)
LIMIT = 300  # operations, by far more than a run has
MANY = 20

Words = Callable[[Path], list[object]]


class Stream:
    """A topic, and a state of which the next run is to die.

    Attributes
    ----------
    topic : str
    begun : Path
        Has a state of some rounds, with as many checkpoints and snapshots as are kept.
        Samples and poison have come to the topic since.
    """

    def __init__(
        self, broker: Broker, make_topic: MakeTopic, partitions: int, folder: Path
    ) -> None:
        self.topic, self.begun = make_topic(partitions=partitions), folder / "begun"
        self._broker, self._disk, self._num_partitions = broker, folder / "disk", partitions
        self.begun.mkdir()

    def words(self, *more: object) -> list[object]:
        """Return a run to the end of the topic, without its state."""
        return [
            "run", *on(self._broker, self.topic), "--until-end", "--preset", "paper",
            "--budget", 60, "--epochs", 0, "--checkpoint-every", "never", "--keep-snapshots", 2,
            "--max-bad-share", 1, *more,
        ]  # fmt: skip

    def begin(self, nursery: Nursery, samples: Samples, words: Words) -> None:
        """Count some rounds, one run each; then send the rest, with poison in the midst."""
        for begin in range(0, ROUNDS * ROUND, ROUND):
            self._produce(samples[begin : begin + ROUND])
            nursery.succeed(*words(self.begun / "state"))
        middle = (ROUNDS * ROUND + N) // 2
        self._produce(samples[ROUNDS * ROUND : middle])
        for number, value in enumerate(POISON):
            where = {"partition": number % self._num_partitions}
            send(self._broker, self.topic, [value], **where)
        self._produce(samples[middle:])

    def deaths(self, nursery: Nursery, words: Words) -> Iterator[Path]:
        """Yield the state that each death leaves: before the first operation, the second..."""
        for before in range(LIMIT):
            shutil.rmtree(self._disk, ignore_errors=True)
            shutil.copytree(self.begun, self._disk)
            command = words(self._disk / "state")
            has_power = before % 2 > 0
            if not nursery.die(*command, folder=self._disk, before=before, has_power=has_power):
                assert before > MANY
                return
            yield self._disk / "state"
        pytest.fail(f"it did not end within {LIMIT} operations")

    def _produce(self, samples: Samples) -> None:
        """Send samples."""
        produce_samples([samples], ProduceConfig(self.topic, self._broker.bootstrap, "raw"))


def counts(state: Path) -> tuple[int, int]:
    """Return what the newest checkpoint has counted, and the newest snapshot."""
    return newest_checkpoint(state)["n"], newest_manifest(state)["n"]


def assert_steps(found: Sequence[tuple[int, int]]) -> None:
    """Check that runs died before a checkpoint, between it and a snapshot, and after both."""
    before = ROUNDS * ROUND
    assert set(found) == {(before, before), (N, before), (N, N)}


def num_twice(dead_letters: Sequence[DeadLetter]) -> int:
    """Return how many dead letters are there twice; each poison is there."""
    kept = [dead_letter.sample for dead_letter in dead_letters if dead_letter.sample]
    by_origin = {
        dead_letter.origin and dead_letter.origin[:3]: dead_letter.value for dead_letter in kept
    }
    assert Counter(by_origin.values()) == Counter(POISON)
    return len(kept) - len(by_origin)


def test_deaths_over_one_partition(
    broker: Broker, make_topic: MakeTopic, nursery: Nursery, tmp_path: Path
) -> None:
    """Dead letters in the state: checkpoint and snapshot are the same bits."""
    samples = clustered(N)
    stream = Stream(broker, make_topic, 1, tmp_path)

    def words(state: Path) -> list[object]:
        return stream.words("--warmup", 150, "--state", state)

    stream.begin(nursery, samples, words)
    undisturbed = shutil.copytree(stream.begun, tmp_path / "undisturbed") / "state"
    nursery.succeed(*words(undisturbed))
    expected, found, twice = outcome(undisturbed), [], set()
    for state in stream.deaths(nursery, words):
        found.append(counts(state))
        nursery.succeed(*words(state))
        assert outcome(state) == expected, f"death {len(found)}"
        twice.add(num_twice(list(read_dead_letters(state / "dead-letters"))))
    assert_steps(found)
    assert {0, len(POISON)} <= twice


def test_deaths_over_four_partitions(
    broker: Broker, make_topic: MakeTopic, nursery: Nursery, tmp_path: Path
) -> None:
    """Dead letters in a topic: the same sums, certificates, and coreset after repair."""
    samples = clustered(N)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    stream, dead_letters = Stream(broker, make_topic, PARTITIONS, tmp_path), make_topic()

    def words(state: Path) -> list[object]:
        more = ["--generation", generation, "--dead-letter-topic", dead_letters, "--state", state]
        return stream.words(*more)

    stream.begin(nursery, samples, words)
    found, twice = [], set()
    for state in stream.deaths(nursery, words):
        found.append(counts(state))
        nursery.succeed(*words(state))
        assert assert_as_the_batch(state, samples, batch).n == N, f"death {len(found)}"
        twice.add(num_twice(list(read_topic(dead_letters, broker.bootstrap, ClientConfig()))))
        dead_letters = make_topic()
    assert_steps(found)
    # As many as had arrived when their sender died: none, the first, the first two...
    assert twice == set(range(len(POISON) + 1))
