"""A run over partitions that dies before any operation of a cycle, dead letters in a topic."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.client_config import ClientConfig
from echo_stream.connectors.dead_letter_topic import read_topic
from echo_stream.connectors.dead_letters import read_dead_letters
from echo_stream.connectors.engine_files import write_generation
from echo_stream.connectors.kafka_sink import ProduceConfig, produce_samples
from echo_stream.validation import as_samples
from tests.broker import Broker
from tests.cli.commands import newest_checkpoint, on, send
from tests.conftest import MakeTopic
from tests.lives import Nursery
from tests.same_coreset import assert_as_the_batch, outcome

pytestmark = pytest.mark.kafka

N = 1_600
PARTITIONS = 4
CYCLE = 400
POISON = tuple(b"poison %d" % number for number in range(2 * PARTITIONS))
CONFIG = EngineConfig(budget=60, preset="paper", epochs=0)
LIMIT = 200  # operations, by far more than a cycle has
MANY = 20


def die_again_and_again(nursery: Nursery, disk: Path, words: list[object]) -> None:
    """Let runs die, each one operation later than the one before, until one outlives a cycle."""
    disk.mkdir()
    num_deaths, counted = 0, [0]
    while num_deaths < LIMIT and nursery.die(
        *words, "--max-samples", CYCLE, folder=disk, before=num_deaths, has_power=num_deaths % 2 > 0
    ):
        num_deaths += 1
        counted.append(newest_checkpoint(disk / "state")["n"])
    assert MANY < num_deaths < LIMIT
    assert counted == sorted(counted)
    assert len(set(counted)) > 3  # deaths before, between and after checkpoints


def test_deaths_over_one_partition(
    broker: Broker, make_topic: MakeTopic, nursery: Nursery, tmp_path: Path
) -> None:
    """Dead letters in the state, and a warm-up: checkpoint and snapshot are the same bits."""
    rng = np.random.default_rng(5)
    samples = as_samples(rng.normal(size=(N, 8)).astype(np.float32))
    topic, disk, undisturbed = make_topic(partitions=1), tmp_path / "disk", tmp_path / "undisturbed"
    for half in (samples[: N // 2], samples[N // 2 :]):
        send(broker, topic, list(POISON))  # before: a last snapshot has what follows it, or not
        produce_samples([half], ProduceConfig(topic, broker.bootstrap, "raw"))
    words = [
        "run", *on(broker, topic), "--until-end", "--preset", "paper", "--budget", 60,
        "--epochs", 0, "--warmup", 150, "--checkpoint-every", 100, "--snapshot-every", 200,
        "--max-bad-share", 1, "--state",
    ]  # fmt: skip
    die_again_and_again(nursery, disk, [*words, disk / "state"])
    nursery.succeed(*words, disk / "state")
    nursery.succeed(*words, undisturbed)
    assert outcome(disk / "state") == outcome(undisturbed)
    letters = read_dead_letters(disk / "state" / "dead-letters")
    by_origin = {each.sample.origin: each.sample.value for each in letters if each.sample}
    assert Counter(by_origin.values()) == Counter(POISON * 2)


def test_deaths_one_after_the_other(
    broker: Broker, make_topic: MakeTopic, nursery: Nursery, tmp_path: Path
) -> None:
    """Each life dies one operation later than the one before: the same sums and certificates."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20, 8))[rng.integers(0, 20, N)] + rng.normal(0, 0.3, (N, 8))
    samples = as_samples(x.astype(np.float32), None, [f"id-{row}" for row in range(N)])
    batch = EchoCoreset.from_config(CONFIG).fit_samples(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    topic, letters = make_topic(partitions=PARTITIONS), make_topic()
    for half in (samples[: N // 2], samples[N // 2 :]):
        produce_samples([half], ProduceConfig(topic, broker.bootstrap, "raw"))
        for number, value in enumerate(POISON):
            send(broker, topic, [value], partition=number % PARTITIONS)
    disk = tmp_path / "disk"
    words = [
        "run", *on(broker, topic), "--state", disk / "state", "--until-end", "--preset", "paper",
        "--budget", 60, "--epochs", 0, "--generation", generation, "--dead-letter-topic", letters,
        "--checkpoint-every", 100, "--snapshot-every", 200, "--max-bad-share", 1,
    ]  # fmt: skip
    die_again_and_again(nursery, disk, words)
    nursery.succeed(*words)
    kept = [each.sample for each in read_topic(letters, broker.bootstrap, ClientConfig())]
    by_origin = {each.origin and each.origin[:3]: each.value for each in kept if each}
    # One that had arrived when its sender died is there twice, with the same origin.
    assert Counter(by_origin.values()) == Counter(POISON * 2)
    assert len(kept) > len(by_origin)
    undisturbed, state = tmp_path / "undisturbed", words.index(disk / "state")
    nursery.succeed(*words[:state], undisturbed, *words[state + 1 :])
    for counted in (disk / "state", undisturbed):
        assert assert_as_the_batch(counted, samples, batch).n == N
