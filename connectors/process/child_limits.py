"""Time and memory that a child process may take; it is killed when it takes more."""

import subprocess
import threading
import time
from dataclasses import dataclass

import psutil

_LOOK_SECONDS = 0.1  # between two looks at a child, which can exceed its limits for as long
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take.

    Attributes
    ----------
    timeout_s : float or None
        Seconds from its start.
    memory_bytes : int or None
        Resident memory, of the child and of all that it has started.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None


class Guard:
    """Watch a child in a thread of its own, whatever its parent is busy with.

    Parameters
    ----------
    child : Popen
    limits : Limits

    Attributes
    ----------
    reason : str or None
        Why the child was killed; None while, or where, it was not.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", limits: Limits) -> None:
        self.reason: str | None = None
        self._child, self._limits = child, limits
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="child-guard", daemon=True)
        if limits != Limits():
            self._thread.start()

    def end(self) -> None:
        """Watch no longer. Only after the child has ended."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        """Look until the child ends, or is killed."""
        while self._child.returncode is None and not self._over.wait(_LOOK_SECONDS):
            reason = self._excess()
            if reason is not None:
                self.reason = reason
                self._child.kill()
                return

    def _excess(self) -> str | None:
        """Return what the child has taken too much of."""
        limits = self._limits
        if limits.timeout_s is not None and time.monotonic() - self._started > limits.timeout_s:
            return f"after {limits.timeout_s:g} s"
        if limits.memory_bytes is not None:
            taken = resident_bytes(self._child.pid)
            if taken > limits.memory_bytes:
                return f"as it took {taken // MIB} MiB of {limits.memory_bytes // MIB} MiB"
        return None


def resident_bytes(process_id: int) -> int:
    """Return the memory of a process and its descendants; 0 of those that are gone."""
    try:
        process = psutil.Process(process_id)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_own_bytes, family))


def _own_bytes(process: psutil.Process) -> int:
    """Return the memory of one process."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
