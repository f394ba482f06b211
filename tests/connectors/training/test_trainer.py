"""Retraining in a child process: whatever becomes of the child, the parent is told."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.process.child_limits import Limits
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.training import trainer as trainer_module
from echo_stream.connectors.training.trainer import ChildTrainer
from tests.support.strategies import identity_generation

PATIENCE_SECONDS = 60.0  # for a process that needs a tenth of a second, on a busy machine

# What a child does instead of training. Python imports sitecustomize before all else.
STAND_INS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "waits": "tell(); signal.pause()",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell(); signal.pause()",
    "sleeps": "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
    "eats": "import time\nkept = []\nwhile True: kept.append(b'x' * 2**24); time.sleep(0.02)",
    "silent": "os._exit(3)",
    "verbose": "sys.stderr.write('noise\\n' * 200_000); sys.exit('two\\nthe last line\\n\\n')",
    "answers": 'print(\'{"snapshot": "%s"}\' % sys.orig_argv[-1], flush=True); os._exit(0)',
}


class Heard:
    """What a trainer has told, in order."""

    def __init__(self) -> None:
        self.trained: list[dict[str, Any]] = []
        self.failed: list[str] = []

    def __len__(self) -> int:
        return len(self.trained) + len(self.failed)


@pytest.fixture
def heard() -> Heard:
    """Return an ear for a trainer."""
    return Heard()


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> Iterator[Callable[..., ChildTrainer]]:
    """Return make(stand_in=None, *arguments, ...), which makes a trainer that is heard."""
    made: list[ChildTrainer] = []
    os.mkfifo(tmp_path / "told")

    def make(
        stand_in: str | None = None,
        *arguments: str,
        state: Path = tmp_path,
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> ChildTrainer:
        if stand_in is not None:
            tell = f"print(os.getpid(), file=open({str(tmp_path / 'told')!r}, 'w'))"
            code = f"import os, signal, sys\ntell = lambda: {tell}\n{STAND_INS[stand_in]}\n"
            (tmp_path / "sitecustomize.py").write_text(code)
            monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        made.append(
            ChildTrainer(
                state,
                arguments,
                on_trained=heard.trained.append,
                on_failed=heard.failed.append,
                limits=limits,
            )
        )
        return made[-1]

    yield make
    for trainer in made:
        trainer.finish(lambda: False)


def wait_until_told(folder: Path) -> int:
    """Wait until a child says that it runs, and return its process id."""
    return int((folder / "told").read_text())


def is_there(process_id: int) -> bool:
    """Return whether a process is there, even as one that has ended and nobody has waited for."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def wait(trainer: ChildTrainer, heard: Heard) -> None:
    """Poll until the trainer reports."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not len(heard):
        trainer.poll()
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a small state, and the id of its snapshot."""
    folder = tmp_path_factory.mktemp("state")
    x = np.random.default_rng(0).random((60, 2)).astype(np.float32)
    engine = EchoCoreset(
        9, preset="paper", support=1, generation=identity_generation(2, 3), device="cpu"
    )
    engine.partial_fit(x, (x[:, 0] > 0.5).astype(int))
    with StateStore(folder) as store:
        return folder, store.save_snapshot(engine.snapshot(), {"row": 60})


@pytest.mark.slow
def test_result_is_reported(
    make: Callable[..., ChildTrainer],
    heard: Heard,
    state: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real training ends with what `echo-stream train` prints, and a model in the state."""
    monkeypatch.setenv("ECHO_STREAM_FORMAT", "table")  # for people, not for the parent
    folder, snapshot = state
    options = ("--model", "mlp", "--train-steps", "2", "--threads", "1", "--device", "cpu")
    trainer = make(None, *options, state=folder)
    assert trainer.start(snapshot)
    assert not trainer.start(snapshot)
    trainer.finish(lambda: True)
    assert heard.failed == []
    (result,) = heard.trained
    assert (result["snapshot"], result["steps"]) == (snapshot, 2)
    assert Path(result["model"]).parent == folder / "models"
    metrics = json.loads(Path(result["model"], "metrics.json").read_text())
    assert metrics["snapshot"] == snapshot


def test_failure_is_reported(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """Exit code and last line of a command that was refused."""
    trainer = make(None, "--no-such-option")
    trainer.start("s")
    trainer.finish(lambda: True)
    assert heard.trained == []
    (line,) = heard.failed
    assert line.startswith("the training ended with exit code 2: Error: No such option")


def test_killed_child_is_reported(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """By the system, for its memory perhaps: the signal is told."""
    trainer = make("killed")
    trainer.start("s")
    trainer.finish(lambda: True)
    assert heard.failed == ["the training ended with exit code -9: it printed nothing"]


def test_child_that_says_much(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """More than a pipe holds: the child is not held up, and the last line is told."""
    trainer = make("verbose")
    trainer.start("s")
    trainer.finish(lambda: True)
    assert heard.failed == ["the training ended with exit code 1: the last line"]


def test_child_that_says_nothing(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """The exit code is told at least."""
    trainer = make("silent")
    trainer.start("s")
    trainer.finish(lambda: True)
    assert heard.failed == ["the training ended with exit code 3: it printed nothing"]


def test_poll_reports_once(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """While the stream goes on, a training that has ended is reported, and one time only."""
    trainer = make("answers")
    trainer.poll()
    trainer.start("s-1")
    wait(trainer, heard)
    trainer.poll()
    trainer.finish(lambda: True)
    assert heard.trained == [{"snapshot": "s-1"}]
    assert heard.failed == []


def test_one_training_after_another(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """The next one may begin when the one before has ended, which is reported first."""
    trainer = make("answers")
    for number in range(3):
        assert trainer.start(f"s-{number}")
        trainer.finish(lambda: True)
    assert heard.trained == [{"snapshot": f"s-{number}"} for number in range(3)]


def test_one_training_at_a_time(
    make: Callable[..., ChildTrainer], heard: Heard, tmp_path: Path
) -> None:
    """While one is under way no other begins, nor is anything reported."""
    trainer = make("waits")
    assert trainer.start("s-1")
    wait_until_told(tmp_path)
    trainer.poll()
    assert not trainer.start("s-2")
    assert len(heard) == 0


def test_finish_ends_a_child(
    make: Callable[..., ChildTrainer], heard: Heard, tmp_path: Path
) -> None:
    """When there is no time to wait, the child is ended, and that is told."""
    trainer = make("waits")
    trainer.start("s")
    child = wait_until_told(tmp_path)
    assert is_there(child)
    trainer.finish(lambda: False)
    assert heard.failed == ["the training under way was ended with the run"]
    assert not is_there(child)


def test_finish_waits_while_it_may(
    make: Callable[..., ChildTrainer], heard: Heard, tmp_path: Path
) -> None:
    """RetryPolicy that ends in the middle ends the child as well."""
    trainer, retries = make("waits"), iter([True, True, False])
    trainer.start("s")
    wait_until_told(tmp_path)
    trainer.finish(lambda: next(retries))
    assert heard.failed == ["the training under way was ended with the run"]
    assert list(retries) == []


def test_stubborn_child_is_killed(
    make: Callable[..., ChildTrainer],
    heard: Heard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A child that does not end when it is told to does not outlive the run."""
    monkeypatch.setattr(trainer_module, "KILL_AFTER_SECONDS", 0.2)
    trainer = make("stubborn")
    trainer.start("s")
    child = wait_until_told(tmp_path)
    assert is_there(child)
    trainer.finish(lambda: False)
    assert heard.failed == ["the training under way was ended with the run"]
    assert not is_there(child)


def test_finish_without_a_child(make: Callable[..., ChildTrainer], heard: Heard) -> None:
    """A run in which nothing was trained has nothing to wait for."""
    make().finish(lambda: True)
    assert len(heard) == 0


def test_training_that_takes_too_long_is_killed(
    make: Callable[..., ChildTrainer], heard: Heard
) -> None:
    """At its time-out, however stubborn, while its parent does nothing; the next one may begin."""
    trainer = make("sleeps", limits=Limits(timeout_s=0.2))
    others = set(psutil.Process().children())
    trainer.start("s-1")
    (child,) = set(psutil.Process().children()) - others
    psutil.wait_procs([child], PATIENCE_SECONDS)
    wait(trainer, heard)
    assert heard.failed == ["the training was killed after 0.2 s"]
    assert not is_there(child.pid)
    assert trainer.start("s-2")


def test_training_that_takes_too_much_memory_is_killed(
    make: Callable[..., ChildTrainer], heard: Heard
) -> None:
    """A child that eats memory for ever is stopped at the limit, and that is told."""
    trainer = make("eats", limits=Limits(memory_bytes=256 * 1024**2))
    trainer.start("s-1")
    wait(trainer, heard)
    (line,) = heard.failed
    assert re.fullmatch(r"the training was killed as it took \d+ MiB of 256 MiB", line)


PARENT = """
import os, signal, sys
from pathlib import Path
from echo_stream.connectors.training.trainer import ChildTrainer

trainer = ChildTrainer(Path(sys.argv[1]), [], on_trained=print, on_failed=print)
trainer.start("s")
print(trainer._child.pid, flush=True)
signal.pause()
"""


def test_child_ends_when_its_parent_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that nobody could end well leaves no training behind."""
    # Python imports sitecustomize before all else; the command line never gets its turn.
    hang = "import runpy, threading\nrunpy.run_module = lambda *_, **__: threading.Event().wait()\n"
    (tmp_path / "sitecustomize.py").write_text(hang)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_there(child)
        parent.kill()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.05)


def is_running(process_id: int) -> bool:
    """Return whether a process is there and has not ended, waited for or not."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_half_written_models_are_removed_by_the_next_run(tmp_path: Path) -> None:
    """Those of a child that was killed, not what somebody writes now, nor what can go on."""
    names = (".tmp-old", ".tmp-new", ".tmp-training-old", "model")
    for name in names:
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        if "new" not in name:
            os.utime(folder, (0, 0))
    StateStore(tmp_path).__exit__()
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == sorted(names[1:])
