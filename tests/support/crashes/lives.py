"""Many lives of one command: processes that are forked from one which has imported everything.

Each is a process of its own, which can be killed, and costs no time to import torch.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests import ROOT
from tests.support.crashes.environment import user_environment
from tests.support.crashes.power_cut import Ledger, cut_power

KILLED = -signal.SIGKILL
LIMIT_S = 240.0  # on a busy machine
IMPORTED = (
    "echo_stream.cli.main",
    "echo_stream.connectors.app.consumer",
    "echo_stream.connectors.dead_letters.topic",
    "echo_stream.connectors.files.data_files",
    "echo_stream.connectors.kafka.sink",
    "echo_stream.connectors.kafka.source",
    "echo_stream.connectors.storage.snapshot_files",
    "rich.live",
    "tests.engine.run.test_failing_features",  # has features that fail
    "torch._dynamo",  # which optimisers import
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a life has ended."""

    exit_code: int
    stdout: str
    stderr: str


class Life:
    """A command that runs in a process of its own."""

    def __init__(self, parent: "subprocess.Popen[str]", logs: Path) -> None:
        self._parent = parent
        self._logs = logs
        self._ended: Ended | None = None
        self.pid = int(_heard(parent))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Until `wait`, there is a process of its number."""
        os.kill(self.pid, number)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        is_known = self._ended is not None
        return is_known or psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE

    def said(self) -> str:
        """Return what it has written to stderr so far."""
        return (self._logs / "stderr").read_text(encoding="utf-8")

    def wait(self) -> Ended:
        """Wait for its end."""
        if self._ended is None:
            _tell(self._parent, json.dumps({"wait": self.pid}))
            code = int(_heard(self._parent))
            said = [self._logs / name for name in ("stdout", "stderr")]
            self._ended = Ended(code, *(path.read_text(encoding="utf-8") for path in said))
        return self._ended

    def finish(self, limit_s: float = LIMIT_S) -> Any:
        """Wait until it has ended, which it has to do well, and return its report."""
        wait_for(lambda: self.has_ended, limit_s=limit_s)
        ended = self.wait()
        assert ended.exit_code == 0, ended.stderr
        return json.loads(ended.stdout)

    def leave(self) -> Any:
        """Tell it to stop, and return its report, see `finish`."""
        self.signal(signal.SIGTERM)
        return self.finish()

    def kill(self) -> None:
        """SIGKILL it if it lives, and wait until it is gone."""
        if not self.has_ended:
            self.signal(signal.SIGKILL)
        self.wait()


class Nursery:
    """Runs `echo-stream` again and again: one life at a time, unless they have names.

    Parameters
    ----------
    parent : Popen
        This module.
    folder : Path
        For what lives leave behind, outside of the folders that they work on.
    """

    def __init__(self, parent: "subprocess.Popen[str]", folder: Path) -> None:
        self._parent = parent
        self._folder = folder

    def begin(self, *arguments: object, name: str = "") -> Life:
        """Start a command; those that run at the same time have each a name."""
        logs = self._folder / name
        logs.mkdir(exist_ok=True)
        return self._begin(arguments, {"logs": str(logs)})

    @contextmanager
    def life(self, *arguments: object, name: str) -> Iterator[Life]:
        """Begin a command, which ends with the block at the latest."""
        life = self.begin(*arguments, name=name)
        try:
            yield life
        finally:
            life.kill()

    def run(self, *arguments: object, limit: int | None = None, user: int | None = None) -> Ended:
        """Run a command to its end.

        Parameters
        ----------
        arguments
        limit : int, optional
            Bytes that a file it writes can have.
        user : int, optional
            Whose process it is.
        """
        return self._begin(arguments, {"limit": limit, "user": user}).wait()

    def succeed(self, *arguments: object) -> Any:
        """Run a command that has to succeed, and return its JSON."""
        ended = self.run(*arguments)
        assert ended.exit_code == 0, ended
        return json.loads(ended.stdout)

    def die(self, *arguments: object, folder: Path, before: int, has_power: bool) -> bool:
        """Run a command that dies before an operation on a folder; tell whether it got there.

        Without power, what was not flushed is lost, too.
        """
        ledger = self._folder / "ledger.json"
        order = {"folder": str(folder), "before": before, "ledger": str(ledger)}
        ended = self._begin(arguments, order).wait()
        assert ended.exit_code in {0, KILLED}, ended
        if ended.exit_code == KILLED and not has_power:
            cut_power(folder, Ledger(**json.loads(ledger.read_text())))
        return ended.exit_code == KILLED

    def _begin(self, arguments: tuple[object, ...], order: dict[str, Any]) -> Life:
        """Start a command."""
        words = [str(word) for word in arguments]
        order = {"arguments": words, "logs": str(self._folder), **order}
        _tell(self._parent, json.dumps(order))
        return Life(self._parent, Path(order["logs"]))


def wait_for(is_so: Callable[[], bool], *lives: Life, limit_s: float = LIMIT_S) -> None:
    """Wait until something has happened that the lives do, none of which may end before."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        for life in lives:
            assert not life.has_ended, life.said()
        assert time.monotonic() < deadline, [life.said() for life in lives]
        time.sleep(0.05)


@contextmanager
def open_nursery(folder: Path) -> Iterator[Nursery]:
    """Yield a nursery, which ends with the block."""
    command = [sys.executable, "-m", "tests.support.crashes.lives"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        text=True,
        env=user_environment(),
        cwd=ROOT,
    ) as parent:
        _heard(parent)
        yield Nursery(parent, folder)
        assert parent.stdin is not None
        parent.stdin.close()


def _tell(parent: "subprocess.Popen[str]", line: str) -> None:
    """Say a line to the parent of all lives."""
    assert parent.stdin is not None
    parent.stdin.write(line + "\n")
    parent.stdin.flush()


def _heard(parent: "subprocess.Popen[str]") -> str:
    """Return the next line that the parent of all lives says."""
    assert parent.stdout is not None
    line = parent.stdout.readline()
    assert line, "the process that forks has died"
    return line


def _serve() -> None:
    """Fork lives as stdin asks for them, and wait for them; tell their numbers and exit codes.

    Until it is waited for, a life keeps its number, also when it has ended.
    """
    import importlib  # noqa: PLC0415

    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # or each life would look through all of it
    print("ready", flush=True)  # noqa: T201 - our answer
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            found = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            found = os.fork()
            if found == 0:
                _live(order)
        print(found, flush=True)  # noqa: T201


def _live(order: dict[str, Any]) -> None:
    """Be the command, to the end of this process."""
    import resource  # noqa: PLC0415

    from echo_stream.cli.main import main  # noqa: PLC0415

    for handle, name in ((1, "stdout"), (2, "stderr")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(Path(order["logs"]) / name, flags, 0o600), handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if order.get("limit") is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], hard))
    if order.get("user") is not None:
        os.setgid(order["user"])
        os.setuid(order["user"])
    if "before" in order:
        from tests.support.crashes.failpoints import Failpoints  # noqa: PLC0415

        Failpoints(Path(order["folder"]), order["before"], Path(order["ledger"])).arm()
    sys.argv = ["echo-stream", *order["arguments"]]
    code: Any = 1
    try:
        main()
    except SystemExit as err:
        code = err.code
    except BaseException:
        traceback.print_exc()
    _leave(int(code or 0))


def _leave(code: int) -> None:
    """End this process, without the second that it takes to take torch apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
    _leave(0)
