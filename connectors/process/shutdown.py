"""Signals that control a run, and the time that it has left after a request to stop."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

logger = logging.getLogger(__name__)

_LAST_WORD_S = 1.0  # on a disk that hangs there is none
_SIGNAL_EXIT_BASE = 128  # exit code of a process that a signal has ended, as shells count


class Stoppable(Protocol):
    """What signals control. Both methods are called in a signal handler."""

    def stop(self) -> None:
        """End soon."""

    def ask_snapshot(self) -> None:
        """Take a snapshot soon."""


class Signals:
    """Let signals control a run, also while it is still being set up.

    SIGTERM and SIGINT stop the run. A second one, or one before the run has begun, ends
    the process at once, and so does a shutdown that outlasts its budget, with exit code 0:
    either loses nothing but work that has to be done again, as a crash would. SIGUSR1
    asks for a snapshot. What signals did before is restored at the end.

    Parameters
    ----------
    budget_s : float or None
        Seconds from the first signal to the end of the process; None: no limit.
    """

    def __init__(self, budget_s: float | None) -> None:
        self._budget_s = budget_s
        self._run: Stoppable | None = None
        self._is_snapshot_asked = False
        self._last_word: Callable[[str], None] | None = None
        self._before: dict[int, Any] = {}
        self._stopped, self._ended = threading.Event(), threading.Event()
        # Begun now: a signal handler can interrupt anything, and should start no thread.
        self._watchdog = threading.Thread(target=self._watch, name="echo-stream-shutdown")
        self._watchdog.daemon = True

    def __enter__(self) -> "Signals":
        """Take the signals over."""
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGUSR1: self._snapshot,
        }
        self._watchdog.start()
        self._before = {number: signal.signal(number, what) for number, what in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._ended.set()
        self._stopped.set()
        self._watchdog.join()

    def control(self, run: Stoppable) -> None:
        """Control a run from now on, with what has been asked for so far."""
        self._run = run
        if self._is_snapshot_asked:
            run.ask_snapshot()

    def report_to(self, last_word: Callable[[str], None]) -> None:
        """Call last_word with the reason before the process is cut off; it may take a second."""
        self._last_word = last_word

    def _watch(self) -> None:
        """End a shutdown that takes too long."""
        self._stopped.wait()
        if not self._ended.wait(self._budget_s):
            why = f"the shutdown took longer than {self._budget_s:g} s and was cut off"
            logger.warning(
                "%s; the next run counts again what the last checkpoint does not have", why
            )
            if self._last_word is not None:
                last = threading.Thread(target=self._last_word, args=(why,), daemon=True)
                last.start()
                last.join(_LAST_WORD_S)
            os._exit(0)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """End the run; the second time, or while there is none yet, end the process."""
        if self._stopped.is_set() or self._run is None:
            os._exit(_SIGNAL_EXIT_BASE + number)
        self._run.stop()
        self._stopped.set()

    def _snapshot(self, _: int, __: FrameType | None) -> None:
        """Ask for a snapshot."""
        self._is_snapshot_asked = True
        if self._run is not None:
            self._run.ask_snapshot()
