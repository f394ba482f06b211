"""The time of day, for manifests, and how often the log repeats itself."""

import time
from datetime import UTC, datetime

LOG_EVERY_S = 60.0  # between lines about the same: a hostile client must not fill the log


def timestamp() -> str:
    """Return the current time in UTC, to the microsecond, as ISO 8601 text that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def now_s() -> float:
    """Return the current time, seconds since 1970."""
    return time.time()


def unix_s(text: str) -> float:
    """Return the seconds since 1970 of a time as `timestamp` writes it."""
    return datetime.fromisoformat(text).timestamp()
