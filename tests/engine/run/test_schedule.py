"""Intervals: how they are written, and when they are over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.errors import ConfigError
from echo_stream.run.schedule import Every, Schedule


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("1", Every(samples=1)),
        ("20000", Every(samples=20_000)),
        ("500ms", Every(seconds=0.5)),
        ("30s", Every(seconds=30)),
        ("1.5m", Every(seconds=90)),
        ("2h", Every(seconds=7_200)),
        ("1d", Every(seconds=86_400)),
        (" 30s ", Every(seconds=30)),
        (" 7\n", Every(samples=7)),
    ],
)
def test_interval_is_read(text: str, every: Every) -> None:
    """A number is of samples; a number with a unit is a time."""
    assert Every.parse(text) == every


@pytest.mark.parametrize(
    "text",
    ["", "0", "00", "-5", "1.5", "1e3", "1_000", "0s", "0.0m", "-1s", "s", "5 m", "5S", "5w",
     "1h30m", "often", "30s 30s", "nan", "inf", "infs"],
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    """The message shows what was given, and what would do."""
    with pytest.raises(ConfigError, match="number of samples such as 20000, or a time") as caught:
        Every.parse(text)
    assert str(caught.value).endswith(f"got {text!r}")


def due(every: Every, start: int, steps: list[int]) -> list[int]:
    """Return at which counts an interval was over, when so many samples arrive at a time."""
    schedule, n, found = Schedule(every, n=start, now=0.0), start, []
    for step in steps:
        n += int(min(step, schedule.samples_left(n)))
        if schedule.is_due(n, 0.0):
            found.append(n)
            schedule.done(n, 0.0)
    return found


@given(st.integers(1, 50), st.integers(0, 200), st.lists(st.integers(1, 60), max_size=60))
def test_due_at_every_multiple(step: int, start: int, steps: list[int]) -> None:
    """Who takes no more than samples_left stops at each multiple, wherever it has started."""
    found = due(Every(samples=step), start, steps)
    first = (start // step + 1) * step
    assert found == [first + number * step for number in range(len(found))]
    assert sum(steps) < step or found


@given(st.integers(1, 50), st.integers(0, 300), st.integers(0, 300))
def test_restart_does_not_shift(step: int, start: int, more: int) -> None:
    """Multiples are counted from the start of the stream, not of the process."""
    whole = due(Every(samples=step), 0, [1] * (start + more))
    before = due(Every(samples=step), 0, [1] * start)
    assert before + due(Every(samples=step), start, [1] * more) == whole


def test_due_until_done() -> None:
    """An interval that is over stays over; several that have passed are one."""
    schedule = Schedule(Every(samples=10), n=0, now=0.0)
    assert not schedule.is_due(9, 0.0)
    assert schedule.is_due(10, 0.0)
    assert schedule.is_due(35, 0.0)
    assert schedule.samples_left(35) == math.inf
    schedule.done(35, 0.0)
    assert not schedule.is_due(39, 0.0)
    assert schedule.samples_left(35) == 5
    assert schedule.is_due(40, 0.0)


def test_time_counts_from_the_last_occurrence() -> None:
    """Two are never closer than the interval, and samples play no part."""
    schedule = Schedule(Every(seconds=30), n=0, now=100.0)
    assert not schedule.is_due(10**9, 129.9)
    assert schedule.is_due(0, 130.0)
    schedule.done(0, 140.0)
    assert not schedule.is_due(0, 169.9)
    assert schedule.is_due(0, 170.0)
    assert schedule.samples_left(7) == math.inf


def test_done_early_begins_again() -> None:
    """What happens for another reason counts as an occurrence."""
    schedule = Schedule(Every(seconds=30), n=0, now=0.0)
    schedule.done(0, 20.0)
    assert not schedule.is_due(0, 49.0)
    assert schedule.is_due(0, 50.0)


def test_never() -> None:
    """Without an interval nothing is ever due."""
    schedule = Schedule(None, n=0, now=0.0)
    schedule.done(5, 5.0)
    assert not schedule.is_due(10**12, 1e12)
    assert schedule.samples_left(3) == math.inf
