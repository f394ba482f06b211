"""`echo-stream run` on topics that are not what they were when the state was written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from echo_stream.connectors.storage.engine_files import stored_config
from echo_stream.connectors.storage.state_store import Checkpoint, StateStore
from echo_stream.samples.source import Skipped
from tests.support.commands import (
    RAW,
    TINY,
    VALUES,
    answer,
    command_process,
    content,
    finish,
    newest_checkpoint,
    on,
    refusal,
    run_command,
    send,
    units,
    wait_until,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """Return a topic of one partition that keeps messages of whatever time."""
    return make_topic(configs={"retention.ms": "-1"})


@pytest.fixture
def words(broker: Broker, topic: str, tmp_path: Path) -> list[object]:
    """Return the command that reads the topic to its end."""
    return ["run", *on(broker, topic), *RAW, "--until-end", "--state", tmp_path / "state", *TINY]


@pytest.fixture
def state(words: list[object], broker: Broker, topic: str, tmp_path: Path) -> Path:
    """Return a state that has counted ten messages of the topic."""
    send(broker, topic, VALUES[:10])
    assert answer(*words)["n"] == 10
    return tmp_path / "state"


def recreate(admin: KafkaAdminClient, topic: str) -> None:
    """Delete a topic and create an empty one of the same name."""
    admin.delete_topics([topic])
    options = {"num_partitions": 1, "replication_factor": 1}
    admin.create_topics({topic: options}, wait_for_metadata=True)


def rewrite(state: Path, **changes: Any) -> None:
    """Write the newest checkpoint again, as though it had been another one."""
    config = stored_config(newest_checkpoint(state))
    with StateStore(state) as store:
        checkpoint = store.load_checkpoint(config, device="cpu")
        assert checkpoint is not None
        changed: Checkpoint = replace(checkpoint, **changes)
        store.save_checkpoint(changed.engine, changed.offsets, changed.source, changed.skipped)


@pytest.mark.parametrize(("messages", "counted", "gaps"), [(15, 5, 10), (10, 0, 10), (4, 4, 0)])
def test_recreated_topic_is_refused(
    broker: Broker,
    admin: KafkaAdminClient,
    topic: str,
    words: list[object],
    state: Path,
    messages: int,
    counted: int,
    gaps: int,
) -> None:
    """Longer or shorter; accepted, it goes on at the old offset if there is one, else at the start.

    What of the new log lies before that offset has never been counted: it is a gap, for ever.
    """
    recreate(admin, topic)
    send(broker, topic, VALUES[:messages])
    before, (topic_id,) = content(state), newest_checkpoint(state)["source"]["topics"].values()
    line = refusal(*words, exit_code=4)
    assert f"the id of topic {topic} was {topic_id} and is " in line
    assert "give --accept-source" in line
    assert content(state) == before
    result = run_command(*words, "--accept-source")
    accepted = result.json()
    assert (accepted["samples"], accepted["n"]) == (counted, 10 + counted)
    assert (
        f"WARNING echo_stream.connectors.kafka.identity the id of topic {topic} " in result.stderr
    )
    assert accepted["gaps"] == gaps
    # It is the state's topic from now on.
    again = answer(*words)
    assert (again["n"], again["gaps"]) == (10 + counted, gaps)


def test_accepted_source_outlives_a_crash(
    broker: Broker, admin: KafkaAdminClient, topic: str, words: list[object], state: Path
) -> None:
    """It is stored before its first message is counted, with the offset to begin at."""
    recreate(admin, topic)
    send(broker, topic, VALUES[:4])
    before = units(state / "checkpoints")
    endless = [word for word in words if word != "--until-end"]
    with command_process(*endless, "--accept-source", "--checkpoint-every", "never") as process:
        wait_until(lambda: units(state / "checkpoints") != before, process)
        process.kill()
    assert newest_checkpoint(state)["offsets"] == {f"{topic}/0": 0}
    assert answer(*words)["n"] == 14


def test_another_cluster_is_refused(words: list[object], state: Path) -> None:
    """Also where its topics have the same ids; accepted, it goes on where it was."""
    source = newest_checkpoint(state)["source"]
    rewrite(state, source={**source, "cluster": "elsewhere"})
    line = refusal(*words, exit_code=4)
    assert f"the id of the cluster was elsewhere and is {source['cluster']}; give" in line
    assert answer(*words, "--accept-source")["samples"] == 0
    assert newest_checkpoint(state)["source"] == source


def test_state_that_knows_no_ids_goes_on(words: list[object], state: Path, topic: str) -> None:
    """As they were before ids were kept; it learns them then."""
    source = newest_checkpoint(state)["source"]
    rewrite(state, source={"kind": "kafka", "topics": [topic]})
    assert answer(*words)["samples"] == 0
    assert newest_checkpoint(state)["source"] == source


def test_messages_that_fell_off_the_log(
    broker: Broker, admin: KafkaAdminClient, topic: str, words: list[object], state: Path
) -> None:
    """The refusal says what is gone; accepted, it is counted as a gap, for ever."""
    send(broker, topic, VALUES)
    admin.delete_records({TopicPartition(topic, 0): 17})
    line = refusal(*words, exit_code=4)
    assert f"{topic}/0 is counted up to offset 10, but its log now begins at 17 and ends" in line
    assert "ends before 30; give --accept-source to continue from 17; missing offsets are" in line
    result = run_command(*words, "--accept-source")
    assert "going on from 17" in result.stderr
    report = result.json()
    assert (report["n"], report["samples"], report["gaps"]) == (23, 13, 7)
    assert answer(*words)["gaps"] == 7
    manifest = newest_checkpoint(state)
    assert (manifest["gaps"], manifest["replayed"]) == (7, 0)


@pytest.fixture
def shared(words: list[object], broker: Broker, topic: str) -> list[object]:
    """Return the command of a group's member; the group has counted ten messages."""
    send(broker, topic, VALUES[:10])
    shared = [*words, "--group", topic]
    assert answer(*shared)["n"] == 10
    return shared


def test_a_group_counts_what_fell_off_the_log_as_a_gap(
    broker: Broker, admin: KafkaAdminClient, topic: str, shared: list[object]
) -> None:
    """Accepted, as a run by itself does; and for ever."""
    send(broker, topic, VALUES)
    admin.delete_records({TopicPartition(topic, 0): 17})
    assert "but its log now begins at 17" in refusal(*shared, exit_code=4)
    report = answer(*shared, "--accept-source")
    assert (report["n"], report["samples"], report["gaps"]) == (23, 13, 7)
    again = answer(*shared)
    assert (again["n"], again["gaps"]) == (23, 7)


@pytest.mark.parametrize("num_messages", [3, 20])
def test_a_group_never_goes_on_with_another_log(
    broker: Broker, admin: KafkaAdminClient, topic: str, shared: list[object], num_messages: int
) -> None:
    """Accepted or not, shorter or longer: segments cover an offset once."""
    recreate(admin, topic)
    send(broker, topic, VALUES[:num_messages])
    for more in ([], ["--accept-source"]):
        line = refusal(*shared, *more, exit_code=4)
        assert "the topic is not the one that the state has counted" in line
        assert line.endswith("; give another --state")
    assert answer("status", "--state", shared[shared.index("--state") + 1])["n"] == 10


def test_gap_is_kept_by_forget(words: list[object], state: Path) -> None:
    """The checkpoint that it writes counts on as well."""
    rewrite(state, skipped=Skipped(3, 2))
    answer("forget", "none", "--state", state)
    report = answer(*words)
    assert (report["gaps"], report["replayed"]) == (3, 2)


def test_transactions_leave_gaps(broker: Broker, topic: str, words: list[object]) -> None:
    """Markers and aborted messages take up offsets; what was committed is counted."""
    with KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic) as producer:
        producer.init_transactions()
        for number, end in ((3, "commit"), (2, "abort"), (4, "commit")):
            producer.begin_transaction()
            for value in VALUES[:number]:
                producer.send(topic, value)
            producer.flush()
            getattr(producer, f"{end}_transaction")()
    report = answer(*words)
    # A marker after each transaction, and the two messages that were aborted.
    assert (report["n"], report["gaps"]) == (7, 1 + (2 + 1) + 1)


def test_partition_that_was_added(
    broker: Broker, admin: KafkaAdminClient, topic: str, words: list[object], state: Path
) -> None:
    """It is read from its beginning."""
    admin.create_partitions({topic: 2})
    send(broker, topic, VALUES[:6], partition=1)
    assert answer(*words)["n"] == 16
    assert newest_checkpoint(state)["offsets"] == {f"{topic}/0": 10, f"{topic}/1": 6}


@pytest.mark.parametrize(
    ("start", "n"),
    [
        ("1970-01-01T00:00:05+00:00", 5),
        ("5000", 5),
        ("1970-01-02", 0),
        ("{topic}:0:8", 2),
        ("latest", 0),
        ("earliest", 10),
    ],
)
def test_start_is_a_number_from_the_first_moment(
    broker: Broker, topic: str, words: list[object], start: str, n: int
) -> None:
    """It counts what lies after it, and means nothing on a restart."""
    for second in range(10):
        send(broker, topic, VALUES[:1], timestamp_ms=1_000 * second)
    option = ("--start", start.format(topic=topic))
    assert answer(*words, *option)["n"] == n
    send(broker, topic, VALUES[:5])
    assert answer(*words, *option)["n"] == n + 5


def test_start_that_is_not_there(broker: Broker, topic: str, words: list[object]) -> None:
    """Wrong usage, in one line."""
    send(broker, topic, VALUES[:5])
    line = refusal(*words, "--start", f"{topic}:0:6", exit_code=2)
    assert line.endswith("its log begins at 0 and ends before 5; give one from 0 to 5")


def test_end_of_an_empty_topic_is_remembered(
    broker: Broker, topic: str, words: list[object], tmp_path: Path
) -> None:
    """Nought is a start like any other: what comes after it is counted, crash or not."""
    endless = [word for word in words if word != "--until-end"]
    never = ("--start", "latest", "--checkpoint-every", "never")
    with command_process(*endless, *never) as process:
        wait_until(lambda: units(tmp_path / "state" / "checkpoints"), process)
        process.kill()
    send(broker, topic, VALUES)
    assert answer(*words, "--start", "latest")["n"] == len(VALUES)


def test_topics_in_another_order(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """They are the same source."""
    one, two = make_topic(), make_topic()
    send(broker, one, VALUES)
    rest = (*RAW, "--until-end", "--state", tmp_path / "state", *TINY)
    assert answer("run", *on(broker, one, two), *rest)["n"] == 20
    send(broker, two, VALUES)
    assert answer("run", *on(broker, two, one), *rest)["n"] == 40


def test_broker_that_is_away_holds_up_no_checkpoint(
    restartable_broker: Broker, topic: str, words: list[object], tmp_path: Path
) -> None:
    """What has been counted is stored under the ids that are known; a restart goes on there."""
    state = tmp_path / "state"
    send(restartable_broker, topic, VALUES[:15])
    endless = [word for word in words if word != "--until-end"]
    with command_process(*endless, "--checkpoint-every", 10) as process:
        # The last five have been fetched along with the first ten.
        wait_until(lambda: newest_checkpoint(state)["n"] == 10, process)
        restartable_broker.kill()
        process.terminate()
        result = finish(process)
    assert (result.exit_code, newest_checkpoint(state)["n"]) == (0, result.json()["n"])
    restartable_broker.start()
    send(restartable_broker, topic, VALUES[15:])
    assert answer(*words)["n"] == len(VALUES)
