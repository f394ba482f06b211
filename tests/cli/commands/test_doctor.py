"""`echo-stream doctor`: each check tells what is well from what is not, and says what to do."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaAdminClient, codec

from echo_stream.connectors.inspect.doctor import machine as packages
from tests.support.commands import (
    TINY,
    answer,
    content,
    doctor_findings,
    doctor_verdict,
    on,
    run_command,
    send,
    units,
    write_data,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

Usage = namedtuple("Usage", "total used free")
MESSAGE = json.dumps({"x": [1.0, 2.0]}).encode()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state with two checkpoints."""
    data, state = write_data(tmp_path / "data.npz"), tmp_path / "state"
    answer("run", data, "--state", state, *TINY, "--warmup", 50, "--checkpoint-every", 150)
    state.chmod(0o700)
    return state


def test_all_is_well_here(state: Path) -> None:
    """Our packages, this machine's device and a fresh state pass; nothing changes."""
    before = content(state)
    found = doctor_findings("--state", state)
    assert {check for check, each in found.items() if each["verdict"] == "fail"} == set()
    for check in ("kafka-python", "crc32c", "compression", "device", "threads", "state", "lock"):
        assert found[check]["verdict"] == "ok", found[check]
    assert "is undamaged, with 300 samples" in found["checkpoint"]["found"]
    assert content(state) == before


def test_a_table_is_for_people(tmp_path: Path) -> None:
    """It has the same checks, a row each."""
    table = run_command("doctor", "--state", tmp_path / "new", "--format", "table").stdout
    assert all(check in table for check in doctor_findings("--state", tmp_path / "new"))


def test_the_clients_version_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that we were not built for fails, with the command that mends it."""
    monkeypatch.setattr(packages, "version", lambda _: "3.1.0")
    outcome, words = doctor_verdict(doctor_findings(), "kafka-python")
    assert outcome == "fail"
    assert "pip install 'kafka-python==3.0.12'" in words


def test_missing_codecs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings them."""
    monkeypatch.setitem(packages.CODECS, "lz4", lambda: False)
    outcome, words = doctor_verdict(doctor_findings(), "compression")
    assert outcome == "warn"
    assert "pip install 'kafka-python[lz4]'" in words
    assert codec.has_lz4()


def test_a_device_that_is_not_there_fails() -> None:
    """As a run would."""
    outcome, words = doctor_verdict(doctor_findings("--device", "cuda:99"), "device")
    assert (outcome, "--device cpu" in words) == ("fail", True)


@pytest.mark.slow
def test_too_many_threads_are_a_warning() -> None:
    """Threads that share a core wait for each other."""
    one_core = str(min(os.sched_getaffinity(0)))
    result = subprocess.run(
        ["taskset", "--cpu-list", one_core, sys.executable, "-m", "echo_stream", "doctor"],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        check=False,
    )
    outcome, words = doctor_verdict(
        {each["check"]: each for each in json.loads(result.stdout)}, "threads"
    )
    assert (outcome, "set OMP_NUM_THREADS=" in words) == ("warn", True)


def test_a_state_that_others_can_read_is_a_warning(state: Path) -> None:
    """It holds samples as they came."""
    state.chmod(0o755)
    outcome, words = doctor_verdict(doctor_findings("--state", state), "state")
    assert (outcome, f"chmod 700 {state}" in words) == ("warn", True)


def test_a_state_that_cannot_be_written_fails(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run would; root, who may write everywhere, has to be told so."""
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    assert doctor_verdict(doctor_findings("--state", state / "new"), "state")[0] == "fail"
    assert doctor_verdict(doctor_findings("--state", state), "state")[0] == "fail"


def test_a_file_is_no_state(tmp_path: Path) -> None:
    """Nor can one be below a file."""
    path = write_data(tmp_path / "data.npz")
    assert doctor_verdict(doctor_findings("--state", path), "state")[0] == "fail"
    assert doctor_verdict(doctor_findings("--state", path / "state"), "state")[0] == "fail"


def test_who_holds_the_lock_is_said(state: Path) -> None:
    """A state in use is no fault."""
    assert doctor_verdict(doctor_findings("--state", state), "lock") == ("ok", "free; ")
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert doctor_verdict(doctor_findings("--state", state), "lock") == (
            "ok",
            "held by another command; ",
        )


def test_damaged_checkpoints_are_found(state: Path) -> None:
    """The newest one is a warning, as a run goes on from the one before; all of them fail."""
    names = units(state / "checkpoints")
    assert len(names) > 1
    for name in reversed(names):
        path = state / "checkpoints" / name / "sketch.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        outcome, words = doctor_verdict(doctor_findings("--state", state), "checkpoint")
        assert f"{path} is damaged" in words
        assert outcome == ("fail" if name == names[0] else "warn")


@pytest.mark.parametrize(("free", "outcome"), [(10**12, "ok"), (10**8, "warn"), (10, "fail")])
def test_room_is_measured(
    state: Path, monkeypatch: pytest.MonkeyPatch, free: int, outcome: str
) -> None:
    """Five checkpoints have to fit; less than a GiB is a warning."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))
    assert doctor_verdict(doctor_findings("--state", state), "space")[0] == outcome


def test_a_network_disk_is_a_warning(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks may be promises only."""
    Partition = namedtuple("Partition", "mountpoint fstype")
    mounts = [Partition("/", "ext4"), Partition(str(state.resolve()), "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert doctor_verdict(doctor_findings("--state", state), "file system")[0] == "warn"


def test_no_broker_fails(tmp_path: Path) -> None:
    """At once where nothing listens, with the reason; topics are not asked for then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    words = ["--bootstrap-servers", address, "--topic", "t", "--kafka", "bootstrap_timeout_ms=500"]
    found = doctor_findings(*words, "--state", tmp_path)
    assert (found["broker"]["verdict"], "topic t" in found) == ("fail", False)


def test_a_topic_needs_a_broker() -> None:
    """Wrong usage."""
    assert run_command("doctor", "--topic", "t").exit_code == 2


def test_broker_and_topics_are_looked_at(broker: Broker, make_topic: MakeTopic) -> None:
    """Partitions and messages are counted; a topic that is not there has its near miss named."""
    topic = make_topic(partitions=3)
    send(broker, topic, [MESSAGE] * 5)
    found = doctor_findings(*on(broker, topic, f"{topic}x"))
    assert doctor_verdict(found, "broker")[0] == "ok"
    assert doctor_verdict(found, f"topic {topic}") == ("ok", "3 partitions, at most 5 messages; ")
    outcome, words = doctor_verdict(found, f"topic {topic}x")
    assert (outcome, f"did you mean {topic}?" in words) == ("fail", True)


@pytest.mark.real_kafka
def test_what_a_state_would_read_next_is_looked_at(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Lag is told; other topics, and a topic that was recreated, are refused as a run would."""
    topic, other, state = make_topic(partitions=1), make_topic(partitions=1), tmp_path / "state"
    send(broker, topic, [MESSAGE] * 5)
    answer("run", *on(broker, topic), "--state", state, *TINY, "--warmup", 50, "--until-end")
    send(broker, topic, [MESSAGE] * 2)
    here: Any = ["--state", state]
    outcome, words = doctor_verdict(doctor_findings(*on(broker, topic), *here), "resumption")
    assert (outcome, words) == ("ok", "2 messages behind the newest checkpoint; ")
    assert doctor_verdict(doctor_findings(*on(broker, other), *here), "resumption")[0] == "fail"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_records({_partition(topic): 7})
    admin.close()
    outcome, words = doctor_verdict(doctor_findings(*on(broker, topic), *here), "resumption")
    assert (outcome, "its log now begins at 7" in words) == ("fail", True)


def _partition(topic: str) -> Any:
    """Return the only partition of a topic."""
    from kafka import TopicPartition  # noqa: PLC0415 - only here

    return TopicPartition(topic, 0)


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    """A run would put its files among those."""
    (tmp_path / "notes.txt").touch()
    tmp_path.chmod(0o700)
    assert doctor_verdict(doctor_findings("--state", tmp_path), "state")[0] == "warn"


def test_secrets_are_for_their_owner(tmp_path: Path) -> None:
    """A group may read them; a world that can may have done so, and a missing one helps nobody."""
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("correct-horse-battery\n")
    password.write_text("secret\n")
    words = ["--http-token-file", token, "--security-protocol", "SASL_SSL", "--sasl-mechanism",
             "PLAIN", "--sasl-username", "me", "--sasl-password-file", password]  # fmt: skip
    for mode, expected in ((0o600, "ok"), (0o640, "ok"), (0o644, "warn"), (0o620, "warn")):
        token.chmod(mode)
        password.chmod(0o600)
        told = doctor_verdict(doctor_findings(*words), "secrets")
        assert told[0] == expected
        assert (str(token) in told[1]) == (expected == "warn")
        assert str(password) not in told[1]
    token.unlink()
    assert doctor_verdict(doctor_findings(*words), "secrets")[0] == "fail"
    assert "secrets" not in doctor_findings()
