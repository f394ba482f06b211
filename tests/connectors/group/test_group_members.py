"""Members of a group on a real broker: who trains, who takes snapshots, how all end together."""

import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.dead_letters.files import read_dead_letters
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples
from echo_stream.connectors.storage.engine_files import write_generation
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.samples.samples import Samples, as_objects
from tests.support.clusters import clustered
from tests.support.commands import run_command
from tests.support.commands import send as send_values
from tests.support.crashes.disks import full, resize, small_disk
from tests.support.crashes.lives import Nursery, wait_for
from tests.support.kafka.broker import Broker
from tests.support.kafka.group_stage import CONFIG, PARTITIONS, Stage
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_as_the_batch

pytestmark = pytest.mark.real_kafka

N = 6_000
EACH_SECOND = ("--checkpoint-every", "1s")


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Return labelled points in fifty clusters, each with its id."""
    return clustered(N)


def send(stage: Stage, samples: Samples) -> None:
    """Send samples to the topic of a stage."""
    produce_samples([samples], ProduceConfig(stage.topic, stage.broker.bootstrap, "raw"))


def test_a_member_without_partitions_takes_the_snapshot_that_it_is_asked_for(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Of what the others have counted."""
    stage = Stage(make_topic(partitions=1), tmp_path / "state", broker, nursery)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    options = (*EACH_SECOND, "--generation", generation, "--snapshot-every", "never")
    send(stage, samples[:3_000])
    with ExitStack() as stack:
        both = [stack.enter_context(stage.member(name, *options)) for name in ("a", "b")]
        wait_for(lambda: len(list((stage.state / "members").glob("*.lock"))) == len(both), *both)
        wait_for(lambda: stage.num_durable() == 3_000 and any(stage.owners()), *both)
        (idle,) = [member for member in both if member.pid not in stage.owners()]
        idle.signal(signal.SIGUSR1)
        wait_for(lambda: any((stage.state / "snapshots").glob("0*")), *both)
        assert read_snapshot(find_snapshot(stage.state, None)).n == 3_000


def test_a_member_that_died_is_told_of_until_another_begins(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """A supervisor that starts it again has made the group well."""
    stage = Stage(make_topic(partitions=PARTITIONS), tmp_path / "state", broker, nursery)
    send(stage, samples)
    check = ("status", "--check", "--state", stage.state)

    def lives() -> list[str]:
        return sorted(member["liveness"] for member in stage.status().get("members", []))

    with ExitStack() as stack:
        options = (*EACH_SECOND, "--warmup", 500)
        kept, dying = [stack.enter_context(stage.member(name, *options)) for name in ("a", "b")]
        wait_for(lambda: stage.state.exists() and lives() == ["alive", "alive"], kept, dying)
        dying.kill()
        assert lives() == ["alive", "died"]
        assert run_command(*check).exit_code == 1
        again = stack.enter_context(stage.member("b2", *options))
        wait_for(lambda: lives() == ["alive", "alive"], kept, again)
        assert run_command(*check).exit_code == 0
        wait_for(lambda: stage.num_durable() == N, kept, again)


def test_one_member_trains_and_all_end_together(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Without a generation one member trains it; with --until-end all stop at the end."""
    topic = make_topic(partitions=PARTITIONS)
    stage = Stage(topic, tmp_path / "state", broker, nursery)
    send(stage, samples)
    with ExitStack() as stack:
        members = [
            stack.enter_context(stage.member(name, *EACH_SECOND, "--until-end", "--warmup", 500))
            for name in ("a", "b")
        ]
        for member in members:
            member.finish()
    snapshot = read_snapshot(find_snapshot(stage.state, None))
    assert snapshot.n == N
    assert len(list((stage.state / "generations").iterdir())) == 1
    assert set(snapshot.rows.samples.ids) <= set(as_objects(samples.ids.tolist()))


def test_a_disk_that_is_full_for_a_while(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Members wait, and go on with all samples and all dead letters when there is space."""
    topic = make_topic(partitions=PARTITIONS)
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    poison = [b"%d" % number + bytes(10_000) for number in range(10 * PARTITIONS)]
    for number, value in enumerate(poison):
        send_values(broker, topic, [value], partition=number % PARTITIONS)
    options = (*EACH_SECOND, "--generation", generation, "--until-end", "--max-bad-share", 1)
    with small_disk(tmp_path / "disk", "300k"), ExitStack() as stack:
        stage = Stage(topic, tmp_path / "disk" / "state", broker, nursery)
        send(stage, samples)
        members = [
            stack.enter_context(stage.member(name, *options, "--retry-timeout", 60))
            for name in ("a", "b")
        ]
        wait_for(lambda: all("No space left" in member.said() for member in members), *members)
        resize(tmp_path / "disk", "size=64m")
        for member in members:
            member.finish()
        dead_letters = [each.sample for each in read_dead_letters(stage.state / "dead-letters")]
        assert None not in dead_letters
        by_origin = {
            dead_letter.origin: dead_letter.value for dead_letter in dead_letters if dead_letter
        }
        assert assert_as_the_batch(stage.state, samples, batch).n == N
    assert sorted(value or b"" for value in by_origin.values()) == sorted(poison)


def test_a_member_that_takes_over_on_a_full_disk(
    samples: Samples, broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Not even a claim fits: it waits with that and with a snapshot, and goes on with both."""
    batch = EchoCoreset.from_config(CONFIG).fit_source(samples)
    generation = write_generation(batch.generation_, tmp_path / "trained")
    options = (*EACH_SECOND, "--generation", generation, "--snapshot-every", "never")
    with small_disk(tmp_path / "disk", "8m"), ExitStack() as stack:
        state, topic = tmp_path / "disk" / "state", make_topic(partitions=1)
        stage = Stage(topic, state, broker, nursery, session_timeout_ms=2_500)
        both = [
            stack.enter_context(stage.member(name, *options, "--retry-timeout", 60))
            for name in ("a", "b")
        ]
        wait_for(lambda: len(list((state / "members").glob("*.lock"))) == len(both), *both)
        send(stage, samples[: N // 2])
        wait_for(lambda: stage.num_durable() == N // 2, *both)
        idle, owner = sorted(both, key=lambda member: member.pid in stage.owners())

        def has_tried(what: str, fill: Callable[[], None]) -> bool:
            fill()
            return re.search(f"{what}.*; trying again", idle.said()) is not None

        with full(tmp_path / "disk") as fill:
            owner.kill()
            wait_for(lambda: has_tried("claims", fill), idle)
            send(stage, samples[N // 2 :])
        wait_for(lambda: stage.num_durable() == N, idle)
        with full(tmp_path / "disk") as fill:
            idle.signal(signal.SIGUSR1)
            wait_for(lambda: has_tried("snapshots", fill), idle)
        wait_for(lambda: any((state / "snapshots").glob("0*")), idle)
        idle.leave()
        assert assert_as_the_batch(state, samples, batch).n == N
