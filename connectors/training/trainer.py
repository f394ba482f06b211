"""Retraining beside the stream: one child process at a time."""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from echo_stream.connectors.process.child_limits import Guard, Limits
from echo_stream.connectors.storage.unit_locks import read_lock

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
KILL_AFTER_SECONDS = 5.0  # for a child to end after it was asked to


class ChildTrainer:
    """Run `echo-stream train` on snapshots of a state, in a process of its own.

    The child can crash or hang without touching the stream; it is ended with the run, and
    ends by itself where the run is killed.
    Meanwhile its snapshot is not pruned.

    Parameters
    ----------
    state : Path
    arguments : sequence of str
        Options of `echo-stream train` besides --state and --snapshot.
    on_trained : callable
        Called with the child's result, as JSON, when it has ended well.
    on_failed : callable
        Called with one line, when it has failed.
    limits : Limits
        Of each training; one that takes more is killed, and reported as failed.
    """

    def __init__(
        self,
        state: Path,
        arguments: Sequence[str],
        *,
        on_trained: Callable[[dict[str, Any]], None],
        on_failed: Callable[[str], None],
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> None:
        self._command = [
            sys.executable, "-m", "echo_stream.connectors.process.training_child",
            "train", "--state", str(state),
            "--format", "json",  # read here, whatever people have set for themselves
            *arguments,
        ]  # fmt: skip
        self._limits = limits
        self._guard: Guard | None = None
        self._snapshots = state / "snapshots"
        self._reading = ExitStack()
        self._on_trained = on_trained
        self._on_failed = on_failed
        self._waiting: str | None = None  # a snapshot whose training has been postponed
        self._child: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def start(self, snapshot_id: str) -> bool:
        """Begin to train on a snapshot; False if a training is still under way."""
        self.poll()
        if self._child is not None:
            if snapshot_id != self._waiting:
                logger.info("training on %s waits for the one that is running", snapshot_id)
            self._waiting = snapshot_id
            return False
        unit = self._snapshots / snapshot_id
        if unit.is_dir():  # else the child reports what is wrong
            self._reading.enter_context(read_lock(unit))
        # Files, not pipes: a child that writes much is never held up by a parent that is busy.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child runs
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._child = subprocess.Popen(
            [*self._command, "--snapshot", snapshot_id],
            stdin=subprocess.PIPE,  # closed by the system when this process is gone
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,  # an interrupt from the terminal is the parent's business
        )
        self._guard = Guard(self._child, self._limits)
        return True

    def poll(self) -> None:
        """Report a training that has ended. Returns at once."""
        if self._child is not None and self._child.poll() is not None:
            self._report(self._child.returncode)

    def finish(self, may_wait: Callable[[], bool]) -> None:
        """Wait for the training under way while may_wait() holds; then end it."""
        self.poll()
        while self._child is not None and may_wait():
            time.sleep(_POLL_SECONDS)
            self.poll()
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._on_failed("the training under way was ended with the run")
        self._release()

    def _report(self, code: int) -> None:
        """Report how the child has ended."""
        assert self._output is not None
        assert self._errors is not None
        output, errors = _content(self._output), _content(self._errors)
        killed = None if self._guard is None else self._guard.reason
        self._release()
        if killed is not None:
            self._on_failed(f"the training was killed {killed}")
            return
        last = errors.strip().splitlines()[-1:] or ["it printed nothing"]
        if code != 0:
            self._on_failed(f"the training ended with exit code {code}: {last[0]}")
            return
        try:
            result = json.loads(output)
        except ValueError:
            self._on_failed(f"the training ended without a result: {last[0]}")
        else:
            self._on_trained(result)

    def _release(self) -> None:
        """Release the snapshot, the guard and the files of a child that has ended."""
        if self._guard is not None:
            self._guard.end()
        self._reading.close()
        pipe = None if self._child is None else self._child.stdin
        for file in (self._output, self._errors, pipe):
            if file is not None:
                file.close()
        self._child = self._output = self._errors = self._guard = None


def _content(file: IO[bytes]) -> str:
    """Return all that has been written to a file."""
    file.seek(0)
    return file.read().decode(errors="replace")
