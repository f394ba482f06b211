"""Death at any operation on a file: this process kills itself before the one that is chosen."""

import json
import os
import signal
import sys
import threading
from io import FileIO
from pathlib import Path
from typing import Any, cast

from kafka import KafkaProducer

from echo_stream.connectors.dead_letters import files as dead_letters
from echo_stream.connectors.dead_letters import topic as dead_letter_topic
from tests.support.crashes.power_cut import Ledger

CHANGES = frozenset(
    ("os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.truncate")
)
"""Audit events, beside those of opening to write, that change a file system."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Failpoints:
    """Count the operations that change a folder, and die before one of them.

    They are opening to write, creating, renaming, removing, changing modes, flushing, and
    writing dead letters, of which half is written then. So are sending a dead letter to a
    topic, and hearing that it is acknowledged, which it is then. Native code is not seen while
    it writes, but after it: modes of what it has written are changed.

    Parameters
    ----------
    folder : Path
        Operations elsewhere do not count.
    dies_before : int
        How many are done.
    ledger : Path
        Where to write what was flushed by then; outside the folder.
    """

    def __init__(self, folder: Path, dies_before: int, ledger: Path) -> None:
        self._folder = folder.resolve()
        self._left = dies_before
        self._path = ledger
        self._ledger = Ledger.of(self._folder)
        self._lock = threading.RLock()
        self._is_dying = False
        self._fsync = os.fsync

    def arm(self) -> None:
        """Begin to count. There is no way back."""
        sys.addaudithook(self._hear)
        os.fsync = cast("Any", self._flush)
        failpoints = self

        class DyingFile(FileIO):
            def write(self, data: Any) -> int:
                """Write, or write half and die."""
                if failpoints.is_next():
                    super().write(data[: len(data) // 2])
                failpoints.step()
                return super().write(data)

        class DyingProducer(KafkaProducer):  # type: ignore[misc]  # ships no types
            def send(self, *arguments: Any, **options: Any) -> Any:
                """Send a message, or die before; or let it arrive, and die."""
                failpoints.step()
                sent = super().send(*arguments, **options)
                if failpoints.is_next():
                    sent.get()
                failpoints.step()
                return sent

        vars(dead_letters)["FileIO"] = DyingFile
        vars(dead_letter_topic)["KafkaProducer"] = DyingProducer

    def is_next(self) -> bool:
        """Return whether the next operation is the one not to be done."""
        return self._left == 0

    def step(self) -> None:
        """Count an operation that is about to be done, or die."""
        with self._lock:
            if self._left == 0:
                self._is_dying = True
                self._path.write_text(json.dumps(self._ledger.to_json()))
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of what Python is about to do."""
        is_change = event in CHANGES or (event == "open" and arguments[2] & WRITING)
        if not is_change or self._is_dying:
            return
        path = _path_of(event, arguments)
        if not path.is_relative_to(self._folder):
            return
        with self._lock:
            self.step()
            if event == "os.rename":
                self._ledger.will_rename(path, Path.cwd() / os.fsdecode(arguments[1]))
            elif event == "os.link":
                self._ledger.will_link(path, Path.cwd() / os.fsdecode(arguments[1]))
            elif event in {"os.remove", "os.rmdir"}:
                self._ledger.will_remove(path)

    def _flush(self, handle: Any) -> None:
        """Flush a file or folder, and note what is durable now."""
        path = _opened(handle)
        if not path.is_relative_to(self._folder):
            self._fsync(handle)
            return
        self.step()
        with self._lock:
            self._fsync(handle)
            self._ledger.flushed(path)


def _path_of(event: str, arguments: tuple[Any, ...]) -> Path:
    """Return the path that an operation is about."""
    path = arguments[0]
    if isinstance(path, int):
        return _opened(path)
    folder = arguments[2] if event in {"os.rename", "os.link"} else arguments[-1]
    has_folder = event != "open" and isinstance(folder, int) and folder >= 0
    return (_opened(folder) if has_folder else Path.cwd()) / os.fsdecode(path)


def _opened(handle: int) -> Path:
    """Return what a file descriptor stands for."""
    return Path(f"/proc/self/fd/{handle}").readlink()
