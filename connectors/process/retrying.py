"""Retries of what may come back by itself: a broker that is away, a disk that is full."""

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from echo_stream.errors import InfrastructureError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_TIMEOUT_S = 20.0  # within the half minute that a supervisor usually grants for an end
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_TRANSIENT_ERRORS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EAGAIN, errno.ETIMEDOUT)
)
"""Errors of a disk that go away once there is space."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to retry while the infrastructure fails.

    Attributes
    ----------
    timeout_s : float
        0: not at all.
    clock, sleep : callable
        Seconds that only grow; what waits for some.

    Examples
    --------
    >>> tries = iter([InfrastructureError("away"), InfrastructureError("away"), None])
    >>> def send():
    ...     if (failure := next(tries)) is not None:
    ...         raise failure
    ...     return "sent"
    >>> RetryPolicy(sleep=print).retry(send)
    0.1
    0.2
    'sent'
    """

    timeout_s: float = _TIMEOUT_S
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep

    def retry(self, action: Callable[[], Result]) -> Result:
        """Do something, with retries and longer and longer pauses while the infrastructure fails.

        Raises
        ------
        InfrastructureError
            The last one, when the time is up.
        """
        deadline, pause = self.clock() + self.timeout_s, _FIRST_PAUSE_S
        while True:
            try:
                return action()
            except InfrastructureError as err:
                if self.clock() + pause > deadline:
                    raise
                logger.warning("%s; trying again for %.0f s", err, deadline - self.clock())
            self.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def is_transient(err: OSError) -> bool:
    """Return whether an error of a disk may go away by itself."""
    return err.errno in _TRANSIENT_ERRORS
