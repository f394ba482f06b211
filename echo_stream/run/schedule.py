"""When something is due: every so many samples, or every so many seconds."""

import math
import re
from dataclasses import dataclass
from typing import Self

from echo_stream.errors import ConfigError

_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Every:
    """An interval, in samples or in seconds.

    Examples
    --------
    >>> Every.parse("20000"), Every.parse("1.5m")
    (Every(samples=20000, seconds=None), Every(samples=None, seconds=90.0))
    >>> Every.parse("often")
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: an interval is a number of samples such as 20000, or a \
time such as 30s, 5m or 1h; got 'often'
    """

    samples: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "20000" (samples), "500ms", "30s", "5m", "1h" or "1d"."""
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)(ms|s|m|h|d)", text.strip())
        if match and float(match[1]) > 0:
            return cls(seconds=float(match[1]) * _SECONDS[match[2]])
        if re.fullmatch(r"[1-9]\d{0,15}", text.strip()):
            return cls(samples=int(text))
        msg = (
            "an interval is a number of samples such as 20000, or a time such as 30s, 5m or "
            f"1h; got {text!r}"
        )
        raise ConfigError(msg)


class Schedule:
    """Tell when something that happens at an interval is due again.

    Sample intervals are counted from the start of the stream, so a restart does not
    shift them; times are counted from the last occurrence.

    Parameters
    ----------
    every : Every or None
        None: never.
    n : int
        Samples counted at the start.
    now : float
        Seconds.

    Examples
    --------
    >>> schedule = Schedule(Every(samples=100), n=130, now=0.0)
    >>> schedule.samples_left(130), schedule.is_due(199, 0.0), schedule.is_due(200, 0.0)
    (70, False, True)
    """

    def __init__(self, every: Every | None, *, n: int, now: float) -> None:
        self._every = every
        self._next_n = math.inf
        self._next_time = math.inf
        self.done(n, now)

    def is_due(self, n: int, now: float) -> bool:
        """Return whether the interval has passed."""
        return self.is_reached(n) or now >= self._next_time

    def is_reached(self, n: int) -> bool:
        """Return whether it is due for the number of samples."""
        return n >= self._next_n

    def samples_left(self, n: int) -> float:
        """Return the samples until it is due; infinite where it is, or samples do not count."""
        return math.inf if self.is_reached(n) else self._next_n - n

    def done(self, n: int, now: float) -> None:
        """Begin the next interval."""
        if self._every is None:
            return
        if self._every.samples is not None:
            self._next_n = (n // self._every.samples + 1) * self._every.samples
        if self._every.seconds is not None:
            self._next_time = now + self._every.seconds
