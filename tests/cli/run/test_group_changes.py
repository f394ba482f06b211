"""Labels and tombstones in a group, whoever holds the sample; and commands on its state."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from tests.support.commands import TINY, answer, on, refusal, run_command
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

pytestmark = pytest.mark.real_kafka

N = 240  # samples, all of which are held
PARTITIONS = 2


def send_json(broker: Broker, topic: str, *messages: tuple[int, str, object]) -> None:
    """Send (partition, key, value) as JSON, None as a tombstone."""
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for partition, key, value in messages:
            content = None if value is None else json.dumps(value).encode()
            producer.send(topic, value=content, key=key.encode(), partition=partition)
        producer.flush()


def late_label(label: object) -> dict[str, object]:
    """Return what JSON says of a late label; its id is the key."""
    return {"change": "label", "label": label}


def rows_of(state: Path) -> dict[str, Any]:
    """Return the labels of the newest snapshot's rows, by id."""
    query = "SELECT DISTINCT id, label FROM coreset"
    return {row["id"]: row["label"] for row in answer("query", "--state", state, query)}


def test_changes_reach_samples_in_the_segments_of_others(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """A later segment's label and tombstone, and the commands, act on the whole coreset."""
    topic, state = make_topic(partitions=PARTITIONS), tmp_path / "state"
    run = ["run", *on(broker, topic), "--group", topic, "--state", state, *TINY,
           "--warmup", 100, "--until-end"]  # fmt: skip
    x = np.random.default_rng(1).normal(size=(N, 4)).round(3).tolist()
    send_json(broker, topic, *(
        (row % PARTITIONS, f"id-{row}", {"x": x[row], "y": 0}) for row in range(N)
    ))  # fmt: skip
    assert answer(*run)["n"] == N
    (gone, named, later, again), *_ = [list(rows_of(state))[:4]]
    # To the partition where the sample is not, in part.
    number = int(again.split("-")[1])
    send_json(
        broker, topic,
        (0, gone, None), (1, gone, None), (0, named, late_label(5)),
        (1, "nobody", late_label(5)),
        (number % PARTITIONS, again, None),
        (number % PARTITIONS, again, {"x": x[number], "y": 7}),
    )  # fmt: skip
    report = answer(*run)
    labels = rows_of(state)
    assert gone not in labels
    assert (labels[named], labels[again]) == (5, 7)
    manifest = answer("snapshots", "show", "--state", state)
    counts = [manifest[name] for name in ("n", "num_forgotten", "num_labelled", "num_label_missed")]
    assert counts == [N - 1, 2, 1, 1]
    assert manifest["num_forget_missed"] == 0
    assert report["training_abandoned"] is False

    why = run_command("why", named, "--state", state)
    assert why.exit_code == 0, why.stderr
    told = why.json()
    assert (told["held"], told["samples"][0]["label"]) == (True, 5)
    assert told["samples"][0]["origin"]["topic"] == topic
    assert told["checkpoint"]["n"] == N - 1
    assert told["checkpoint"]["segments"] > 1
    assert told["entered"][0]["since"]["n"] == N

    file = tmp_path / "labels.csv"
    file.write_text(f"id,label\n{named},9\n{later},8\nnobody,8\n", encoding="utf-8")
    labelled = answer("label", "import", file, "--state", state)
    assert (labelled["num_labelled"], labelled["num_label_missed"]) == (2, 1)
    assert rows_of(state)[named] == 9  # in the snapshot that was written with the labels
    forgotten = answer("forget", later, "--state", state)
    assert (forgotten["removed"], forgotten["n"]) == (1, N - 2)
    assert forgotten["checkpoints"] == []  # no segment has it any more
    assert len(forgotten["snapshots"]) == 3
    assert answer("why", later, "--state", state)["held"] is False
    assert answer("why", named, "--state", state)["samples"][0]["label"] == 9

    send_json(broker, topic, (0, later, {"x": x[0], "y": 3}))  # what comes after they leave alone
    answer(*run)
    assert [each["label"] for each in answer("why", later, "--state", state)["samples"]] == [3]
    assert answer("why", named, "--state", state)["samples"][0]["label"] == 9
    ends = [N // 2 + 3, N // 2 + 2]
    ends[number % PARTITIONS] += 2
    check_status(topic, state, N - 1, ends)


def check_status(topic: str, state: Path, n: int, ends: list[int]) -> None:
    """Check what `status` tells of a group of which all members have left."""
    status = run_command("status", "--state", state)
    assert f"no member of group {topic} is active" in status.stderr
    found = status.json()
    assert (found["liveness"], found["n"], found["members"]) == ("ended", n, [])
    assert [each["offset"] for each in found["partitions"].values()] == ends
    assert {each["member"] for each in found["partitions"].values()} == {None}
    table = run_command("status", "--state", state, "--format", "table").stdout
    assert all(word in table for word in ("liveness", "partition", "offset"))
    assert run_command("status", "--state", state, "--check").exit_code == 1


def test_a_group_that_has_counted_nothing_answers(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """There is nothing to ask, label or forget; `status` tells of a group all the same."""
    topic, state = make_topic(), tmp_path / "state"
    answer("run", *on(broker, topic), "--group", topic, "--state", state, *TINY, "--until-end")
    assert "no segment yet" in refusal("why", "a", "--state", state, exit_code=4)
    assert "no segment yet" in refusal("forget", "a", "--state", state, exit_code=4)
    found = answer("status", "--state", state)
    assert (found["liveness"], found["n"], found["group"]) == ("never", 0, topic)
