"""Where a stream begins: what people may write, and what it means."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.connectors.kafka.config import check_start, parse_start
from echo_stream.errors import ConfigError

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(min_value=datetime(1971, 1, 1), timezones=zones)  # noqa: DTZ001 - zones join


@given(times)
def test_time_is_a_moment(time: datetime) -> None:
    """In any time zone; without one it is UTC; digits are milliseconds since 1970."""
    milliseconds = parse_start(time.isoformat())
    assert isinstance(milliseconds, int)
    assert abs(time.timestamp() * 1_000 - milliseconds) <= 1  # rounded to a millisecond
    naive = time.astimezone(UTC).replace(tzinfo=None)
    assert parse_start(naive.isoformat()) == milliseconds == parse_start(str(milliseconds))


names = st.text("abcXYZ019._-", min_size=1, max_size=9)
partitions = st.tuples(names, st.integers(0, 999))


@given(st.dictionaries(partitions, st.integers(0, 2**62), min_size=1))
def test_offsets_are_named_by_partition(offsets: dict[tuple[str, int], int]) -> None:
    """Any number of them, with commas between."""
    text = ",".join(f"{topic}:{number}:{offset}" for (topic, number), offset in offsets.items())
    assert parse_start(text) == offsets


@pytest.mark.parametrize(
    "text", ["", "first", "t:0", "t:0:-1", "t:x:1", ":0:1", "t:0:1,", "2026-13-01", "-5", "t:0:٣"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The message lists what there is, and what was given."""
    with pytest.raises(ConfigError, match=r"TOPIC:PARTITION:OFFSET,\.\.\.; got '"):
        parse_start(text)


def test_partition_named_twice_is_refused() -> None:
    """Neither of the offsets can be meant."""
    with pytest.raises(ConfigError, match="must name each partition once"):
        parse_start("t:0:1,t:0:2")


def test_time_before_1970_is_refused() -> None:
    """Kafka would take a negative time for something else."""
    with pytest.raises(ConfigError, match="1970 at the earliest; got 1969"):
        parse_start("1969-12-31")


@pytest.mark.parametrize("offset", [4, 10])
def test_offset_outside_its_log_is_refused(offset: int) -> None:
    """The message says what the log holds; its end is a place to start at."""
    first, last = {("t", 0): 5}, {("t", 0): 9}
    check_start({("t", 0): 5}, first, last)
    check_start({("t", 0): 9}, first, last)
    with pytest.raises(ConfigError, match=rf"t/0 is offset {offset}, .* give one from 5 to 9"):
        check_start({("t", 0): offset}, first, last)


def test_offset_of_an_unread_partition_is_refused() -> None:
    """A topic or partition that is not there is a slip."""
    with pytest.raises(ConfigError, match="names t/1, which is not read"):
        check_start({("t", 1): 5}, {("t", 0): 5}, {("t", 0): 9})
