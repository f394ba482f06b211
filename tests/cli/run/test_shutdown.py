"""Shutdowns that have little time, of a run whose batch or snapshot takes for ever."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import (
    TINY,
    N,
    answer,
    command_process,
    finish,
    newest_checkpoint,
    refusal,
    wait_until,
    write_data,
)

# Hangs where there is a file `slow`, in all threads or in that which takes snapshots, as the
# file says, and tells that it does. Where it says `errors`, counting is at work, and will
# fail, before anything is told of that hang.
FEATURES = """
import threading
import time
from pathlib import Path

def hang(told):
    Path(told).touch()
    time.sleep(600)

def fail():
    time.sleep(0.5)
    if Path("hangs").exists():
        Path("busy").touch()
        time.sleep(3)
        raise OSError("no disk is there")

def features(x):
    slow = Path("slow")
    if slow.exists() and len(x) > 1:
        where = slow.read_text()
        is_counting = threading.current_thread() is threading.main_thread()
        if where == "errors":
            fail() if is_counting else hang("hangs")
        elif where == "anywhere" or not is_counting:
            hang("busy")
    return x
"""


MANY = 3_000  # more than a block, so that features are called before there is a snapshot


def hanging_run(n: int, where: str = "anywhere") -> list[object]:
    """Return a run over n samples that has counted a hundred, and will hang."""
    Path("hanging.py").write_text(FEATURES)
    data = write_data(Path("data.npz"), n)
    options = ["--state", "state", *TINY, "--warmup", 50, "--features", "hanging:features"]
    words = ["run", data, *options, "--checkpoint-every", "never"]
    assert answer(*words, "--max-samples", 100)["n"] == 100
    Path("slow").write_text(where)
    return words


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the module with the features is found."""
    monkeypatch.chdir(tmp_path)


@contextmanager
def hung(words: list[object], budget: str) -> Iterator["subprocess.Popen[str]"]:
    """Yield a run that hangs; it does no more afterwards."""
    with command_process(*words, "--shutdown-budget", budget) as process:
        wait_until(Path("busy").exists, process)
        yield process
    Path("slow").unlink()


@pytest.mark.slow
def test_snapshot_is_given_up_when_time_is_short() -> None:
    """The checkpoint is there, the exit code is 0, and the next run takes the snapshot."""
    words = hanging_run(N, "snapshots")
    with hung(words, "5s") as process:
        process.terminate()
        result = finish(process)
    assert result.exit_code == 0
    last = result.stderr.splitlines()[-1]
    assert last == "stopped before the last snapshot was written; the next run writes it"
    report = result.json()
    assert (report["snapshot_abandoned"], report["snapshots"], report["n"]) == (True, [], N)
    assert newest_checkpoint(Path("state"))["n"] == N
    assert len(answer(*words)["snapshots"]) == 1


@pytest.mark.slow
def test_snapshot_that_is_given_up_does_not_hold_up_an_error() -> None:
    """A source that fails while a run stops ends the process all the same, with its exit code."""
    words = [*hanging_run(MANY, "errors"), "--snapshot-every", "1ms", "--checkpoint-every", 100]
    with hung(words, "20s") as process:
        process.terminate()
        result = finish(process)
    assert result.exit_code == 3, result
    assert "no disk is there" in result.stderr
    assert 100 < newest_checkpoint(Path("state"))["n"] < MANY


@pytest.mark.slow
def test_shutdown_is_cut_off_at_the_end_of_its_budget() -> None:
    """It ends well all the same: what was not checkpointed is counted again."""
    words = hanging_run(MANY)
    with hung(words, "500ms") as process:
        process.terminate()
        result = finish(process)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "took longer than 0.5 s and was cut off" in result.stderr
    assert newest_checkpoint(Path("state"))["n"] == 100
    told = answer("status", "--state", "state")
    assert (told["liveness"], told["phase"]) == ("ended", "stopped")
    assert told["why"] == "the shutdown took longer than 0.5 s and was cut off"
    assert answer(*words)["n"] == MANY


@pytest.mark.slow
@pytest.mark.parametrize(("second", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_second_signal_ends_the_process_at_once(second: signal.Signals, exit_code: int) -> None:
    """With the exit code of a process that it has ended, and nothing lost."""
    words = hanging_run(MANY)
    with hung(words, "never") as process:
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(second)
        assert finish(process).exit_code == exit_code
    assert answer(*words)["n"] == MANY


@pytest.mark.slow
def test_sigusr1_while_a_run_is_set_up_does_not_end_it() -> None:
    """Whoever asks every process for a snapshot may meet one that has just been started."""
    asks = (
        "import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)\ndef features(x):\n    return x\n"
    )
    Path("asking.py").write_text(asks)
    words = ["run", write_data(Path("data.npz")), "--state", "state", *TINY]
    with command_process(*words, "--features", "asking:features") as process:
        assert finish(process).exit_code == 0


@pytest.mark.parametrize("budget", ["25", "soon", "0s"])
def test_budget_is_a_time(budget: str) -> None:
    """A number of samples is none."""
    words = ["run", write_data(Path("data.npz")), "--state", "state", "--shutdown-budget", budget]
    assert "such as 30s" in refusal(*words, exit_code=2)
