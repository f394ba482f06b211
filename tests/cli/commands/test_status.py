"""`echo-stream status`: what another shell hears of a run, living or not."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from echo_stream.connectors.runner.status_reader import STATUS_FILE
from tests.support.commands import (
    TINY,
    N,
    answer,
    command_process,
    finish,
    on,
    refusal,
    run_command,
    send,
    wait_until,
    write_data,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic


def status(state: Path) -> Any:
    """Return what the command says."""
    return answer("status", "--state", state)


def rewrite(state: Path, **changes: Any) -> None:
    """Change what the status file says."""
    path = state / STATUS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_that_has_ended_says_what_it_did(data: Path, state: Path) -> None:
    """Counts, offsets, coreset and memory are those of the run's report and snapshot."""
    report = answer("run", data, "--state", state, *TINY)
    found = status(state)
    assert (found["liveness"], found["phase"], found["why"]) == (
        "ended",
        "stopped",
        "end of stream",
    )
    assert (found["n"], found["samples"], found["rejected"]) == (N, N, 0)
    assert found["snapshot"] == report["snapshots"][-1]
    manifest = answer("snapshots", "show", "--state", state)
    assert found["coreset_size"] == manifest["num_distinct"]
    assert found["certified_fraction"] == manifest["certified_fraction"]
    assert 0 < found["state_bytes"] <= found["state_bytes_bound"]
    assert found["checkpoint_offsets"] == found["offsets"] == {"row": N}
    assert found["checkpoint_age_s"] >= 0
    assert found["resident_bytes"] > 1_000_000


def test_the_status_file_is_the_owners_alone(data: Path, state: Path) -> None:
    """It tells of hosts and topics, so nobody else reads it; no half of one is left behind."""
    answer("run", data, "--state", state, *TINY)
    assert stat.S_IMODE((state / STATUS_FILE).stat().st_mode) == 0o600
    assert not list(state.glob(".tmp-*"))


def test_the_table_has_a_row_for_everything(data: Path, state: Path) -> None:
    """People get the same, one line each."""
    answer("run", data, "--state", state, *TINY)
    table = run_command("status", "--state", state, "--format", "table")
    assert table.exit_code == 0
    assert all(name in table.stdout for name in status(state))


def test_a_run_that_fails_says_why(tmp_path: Path, state: Path) -> None:
    """The reason of the end is the error's line."""
    bad = write_data(tmp_path / "bad.npz", x=np.full((N, 4), np.nan, np.float32))
    error = refusal("run", bad, "--state", state, *TINY, exit_code=1)
    assert status(state)["why"] == error.removeprefix("Error: ")


def test_a_run_that_is_refused_says_what_the_state_holds(
    tmp_path: Path, data: Path, state: Path
) -> None:
    """The samples are still there, though this run has counted none."""
    answer("run", data, "--state", state, *TINY)
    before = status(state)
    other = write_data(tmp_path / "other.npz", N + 1)
    line = refusal("run", other, "--state", state, *TINY, exit_code=4)
    told = status(state)
    # The command names the option, the state's file the setting.
    assert f"Error: {told['why']}".replace("another state", "another --state") == line
    same = ("n", "coreset_size", "snapshot", "checkpoint_offsets")
    assert {name: told[name] for name in same} == {name: before[name] for name in same}
    assert (told["n"], told["samples"]) == (N, 0)


def test_a_state_without_a_run_says_so(state: Path) -> None:
    """One that was restored from a backup is no error; an empty or missing folder is."""
    state.mkdir()
    assert "is not a state" in refusal("status", "--state", state, exit_code=4)
    (state / "checkpoints").mkdir()
    result = run_command("status", "--state", state)
    assert (result.exit_code, result.json()) == (0, {"liveness": "never"})
    assert "no run has begun" in result.stderr
    assert "there is no state" in refusal("status", "--state", state / "other", exit_code=4)


def test_a_run_that_was_killed_is_gone(data: Path, state: Path) -> None:
    """A process that is not there, or another one with its number, is no run."""
    answer("run", data, "--state", state, *TINY)
    rewrite(state, phase="running", process_started_s=1.0, pid=os.getpid())
    result = run_command("status", "--state", state)
    assert result.json()["liveness"] == "died"
    assert "continues from the newest checkpoint" in result.stderr


@pytest.mark.parametrize(("age_s", "liveness"), [(1, "alive"), (60, "died")])
def test_a_run_elsewhere_lives_while_it_writes(
    data: Path, state: Path, age_s: float, liveness: str
) -> None:
    """On a shared disk there is no process to ask, only the age of the file."""
    answer("run", data, "--state", state, *TINY)
    updated_s = json.loads((state / STATUS_FILE).read_text())["updated_s"]
    rewrite(state, phase="running", host=f"not-{socket.gethostname()}", updated_s=updated_s - age_s)
    assert status(state)["liveness"] == liveness


def test_a_damaged_file_is_an_error_of_one_line(data: Path, state: Path) -> None:
    """The line says that the next run mends it."""
    answer("run", data, "--state", state, *TINY)
    (state / STATUS_FILE).write_text('{"phase": ')
    assert "is damaged" in refusal("status", "--state", state, exit_code=4)
    answer("run", data, "--state", state, *TINY)
    assert status(state)["liveness"] == "ended"


def test_a_second_run_leaves_the_status_of_the_first(data: Path, state: Path) -> None:
    """Who is refused by the lock writes nothing."""
    other = write_data(state.parent / "other.npz")
    answer("run", data, "--state", state, *TINY)
    rewrite(state, phase="running")
    import fcntl  # noqa: PLC0415 - only here

    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refusal("run", other, "--state", state, *TINY, exit_code=4)
    assert json.loads((state / STATUS_FILE).read_text())["phase"] == "running"


def test_a_status_that_cannot_be_written_ends_no_run(data: Path, state: Path) -> None:
    """It is logged once; what is counted matters more."""
    (state / STATUS_FILE / "in-the-way").mkdir(parents=True)
    result = run_command("run", data, "--state", state, *TINY)
    assert (result.exit_code, result.json()["n"]) == (0, N)
    (line, _note) = result.stderr.splitlines()
    assert f"cannot write {state / STATUS_FILE}: Is a directory; the run continues" in line


def test_a_check_fails_unless_a_run_lives(data: Path, state: Path) -> None:
    """For containers; a run that hangs so that it does not even write is none."""
    check = ["status", "--state", state, "--check"]
    answer("run", data, "--state", state, *TINY)
    assert run_command(*check).exit_code == 1
    rewrite(state, phase="running", process_started_s=psutil.Process().create_time())
    assert run_command(*check).exit_code == 0
    rewrite(state, updated_s=1.0)
    assert run_command(*check).exit_code == 1


def test_asking_is_quick(tmp_path: Path) -> None:
    """A check every few seconds must not load torch each time."""
    code = (
        "import sys; from echo_stream.cli import main; "
        "from echo_stream.cli.commands import status; "
        "from echo_stream.connectors.runner import status_reader; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "False\n"


def test_a_living_run_tells_its_offsets_and_lag(
    broker: Broker, make_topic: MakeTopic, state: Path
) -> None:
    """From another process: offsets, lag and phase move with the messages; SIGTERM is seen."""
    topic = make_topic(partitions=2)
    message = json.dumps({"x": [1.0, 2.0]}).encode()
    send(broker, topic, [message] * 30, partition=0)
    with command_process(
        "run", *on(broker, topic), "--state", state, "--warmup", 100, *TINY
    ) as process:
        wait_until((state / STATUS_FILE).exists, process)
        wait_until(lambda: status(state)["offsets"].get(f"{topic}/0") == 30, process)
        found = status(state)
        assert (found["liveness"], found["phase"], found["pid"]) == (
            "alive", "warming up", process.pid,
        )  # fmt: skip
        assert found["offsets"] == {f"{topic}/0": 30, f"{topic}/1": 0}
        assert found["lag_records"] == {f"{topic}/0": 0, f"{topic}/1": 0}
        assert found["lag_seconds_max"] == 0
        process.send_signal(signal.SIGTERM)
        assert finish(process).exit_code == 0
    assert status(state)["liveness"] == "ended"
