"""The breaker: it stops at the same message as counting by hand, however batches are cut."""

import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo_stream.errors import BadMessagesError, ConfigError
from echo_stream.run.bad_messages import Breaker
from echo_stream.run.config import RunConfig
from echo_stream.run.schedule import Every
from echo_stream.samples.source import RejectedSample, RejectReason
from tests.support.runtime_rig import CAP, N, rig, settled


def rejected(place: int, reason: RejectReason = "decode") -> RejectedSample:
    """Return a bad message."""
    return RejectedSample(reason, f"no {reason}", None, b"?", (), None, place)


def batches(stream: Sequence[bool], cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each batch of a stream, their sizes taken from cuts in turn."""
    start = turn = 0
    while start < len(stream):
        end = min(start + cuts[turn % len(cuts)], len(stream))
        yield start, end
        start, turn = end, turn + 1


def first_too_bad(stream: Sequence[bool], share: float, window: int) -> int | None:
    """Return how many messages are enough to stop, looking at every window."""
    for end in range(window, len(stream) + 1):
        if sum(stream[end - window : end]) / window > share:
            return end
    return None


@given(
    stream=st.lists(st.booleans(), max_size=60),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    share=st.sampled_from([0.0, 0.25, 0.29, 0.5, 0.9, 1.0]),
    window=st.integers(1, 12),
)
@example(stream=[True] * 3 + [False] * 9, cuts=[20], share=0.5, window=4)
def test_stops_in_the_batch_of_the_message_that_is_too_many(
    stream: list[bool], cuts: list[int], share: float, window: int
) -> None:
    """As when each window is counted by itself; True is a bad message."""
    breaker, expected = Breaker(share, window), first_too_bad(stream, share, window)
    for start, end in batches(stream, cuts):
        bad = [rejected(place) for place, is_bad in enumerate(stream[start:end]) if is_bad]
        if expected is not None and end >= expected:
            with pytest.raises(BadMessagesError):
                breaker.update(end - start, bad)
            return
        breaker.update(end - start, bad)
    assert expected is None


def test_says_what_is_wrong_and_what_to_do() -> None:
    """One line: the counts, by reason, the commonest one's words, and the way out."""
    breaker = Breaker(0.5, window=1_000)
    kinds: tuple[RejectReason, ...] = ("decode", "schema", "schema")
    with pytest.raises(BadMessagesError) as caught:
        breaker.update(1_200, [rejected(place, kinds[place % 3]) for place in range(900)])
    line = str(caught.value)
    assert line.startswith("900 of the last 1,000 messages are invalid (schema: 600, decode: ")
    assert "the last one (schema): no schema;" in line
    assert "max_bad_share" in line
    assert "\n" not in line


@pytest.mark.parametrize(("num_good", "is_refused"), [(0, True), (1, False)])
def test_short_stream_is_refused_only_if_it_is_bad_whole(num_good: int, is_refused: bool) -> None:
    """Before the window is full, one good message is enough."""
    breaker = Breaker(0.5, window=100)
    breaker.update(20 + num_good, [rejected(place) for place in range(20)])
    if is_refused:
        with pytest.raises(BadMessagesError, match="20 of the last 20 messages"):
            breaker.end()
    else:
        breaker.end()


def test_end_of_nothing_is_fine() -> None:
    """An empty stream has no bad message."""
    Breaker(0.0, window=1).end()


def test_run_stops_with_a_checkpoint() -> None:
    """What was bad is durable before the checkpoint that passes it; there is no snapshot."""
    bad = range(30, N)
    stopped = rig(RunConfig(max_bad_share=0.4, bad_window=10), bad=bad)
    with pytest.raises(BadMessagesError, match="5 of the last 10 messages"):
        stopped.run.run()
    # Bad and good take turns from row 30 on: the fifth bad one is before row 34.
    n = -(-34 // CAP) * CAP
    assert stopped.memory.diary.entries == ["flush", f"checkpoint {n}", "commit"]
    assert stopped.source.committed == {"row": n}
    assert stopped.memory.dead_letters == [str(row) for row in bad if row < n]


def test_next_run_goes_on_behind_the_bad_messages() -> None:
    """Its window is empty again."""
    config = RunConfig(max_bad_share=0.4, bad_window=10)
    stopped = rig(config, bad=range(30, 35))
    with pytest.raises(BadMessagesError):
        stopped.run.run()
    engine, offsets = stopped.memory.restored()
    resumed = rig(config, bad=range(30, 35), engine=engine, offsets=offsets)
    assert resumed.run.run().n == N


@pytest.mark.parametrize("config", [RunConfig(), RunConfig(max_bad_share=1, bad_window=10)])
def test_bad_messages_within_the_share_stop_nothing(config: RunConfig) -> None:
    """Half of a window is not more than half of it, and 1 is never exceeded."""
    assert rig(config, bad=range(N)).run.run().rejected == N


def test_nothing_but_bad_messages() -> None:
    """A stream that ends with no sample at all is refused, not reported as done."""
    junk = rig(RunConfig(checkpoint_every=Every(samples=1)), offsets={"row": N})
    junk.source.junk = 3
    with pytest.raises(BadMessagesError, match="3 of the last 3 messages"):
        junk.run.run()
    assert junk.memory.dead_letters == ["-1", "-2", "-3"]


def test_bad_messages_after_good_ones_of_an_earlier_run() -> None:
    """A few bad ones that have come since are no reason to fail."""
    later = rig(engine=settled(N), offsets={"row": N})
    later.source.junk = 3
    assert (later.run.run().n, later.run.report.rejected) == (N, 3)


@pytest.mark.parametrize("values", [{"max_bad_share": 1.1}, {"bad_window": 0}])
def test_settings_out_of_range(values: dict[str, float]) -> None:
    """They are refused by name."""
    (name,) = values
    with pytest.raises(ConfigError, match=re.escape(f"{name} must be")):
        RunConfig(**values)  # type: ignore[arg-type]  # one value for fields of two types
