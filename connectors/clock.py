"""The time of day, for manifests."""

from datetime import UTC, datetime


def timestamp() -> str:
    """Return the time of now in UTC, to the microsecond, as ISO 8601 text that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
