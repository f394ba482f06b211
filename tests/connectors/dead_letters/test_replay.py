"""What is sent again of dead letters, and what is not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from echo_stream.connectors.dead_letters.message import ATTEMPTS, DeadLetter
from echo_stream.connectors.dead_letters.replay import Replay, replayable
from echo_stream.errors import ConfigError
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample


def dead_letter(
    value: bytes | None, offset: int | None = None, key: bytes | None = None
) -> RejectedSample:
    """Return a message that was no sample."""
    origin = None if offset is None else Origin("t", 0, offset, 5)
    return RejectedSample("decode", "no sample", key, value, (("h", None),), origin)


def nothing(parts: Sequence[RejectedSample]) -> dict[Origin, RejectedSample]:
    """Find no whole message for a part."""
    raise AssertionError(parts)


def replay(
    dead_letters: Sequence[tuple[int, RejectedSample | None]], *places: int, max_attempts: int = 3
) -> Replay:
    """Return what can be sent again."""
    kept = [DeadLetter(*dead_letter) for dead_letter in dead_letters]
    return replayable(kept, places, max_attempts=max_attempts, originals=nothing)


def test_messages_are_sent_as_they_came() -> None:
    """Key, value and headers, in their order; a tombstone too, and no header is lost."""
    dead_letters = [(1, dead_letter(b"a", 1, b"k")), (3, dead_letter(None, 2, b"k"))]
    headers = [("h", b""), (ATTEMPTS, b"2")]
    assert replay(dead_letters) == Replay([(b"k", b"a", headers), (b"k", None, headers)])


def test_what_is_not_sent_is_counted() -> None:
    """The same place twice, half a line, and what Kafka takes from nobody."""
    dead_letters = [
        (1, dead_letter(b"a", 1)), (2, dead_letter(b"a", 1)), (3, None), (4, dead_letter(None, 2)),
        (5, dead_letter(b"b")), (6, dead_letter(b"b")),
    ]  # fmt: skip
    found = replay(dead_letters)
    # Without a place nobody can tell whether two are one.
    assert [value for _, value, _ in found.messages] == [b"a", b"b", b"b"]
    assert (found.num_left_out, found.num_refused) == (3, 0)


def test_lines_are_chosen() -> None:
    """Only those, in the order of the file; one that holds no message is refused."""
    dead_letters = [
        (1, dead_letter(b"a")),
        (2, dead_letter(b"b")),
        (3, dead_letter(b"c")),
        (4, None),
    ]
    assert [value for _, value, _ in replay(dead_letters, 3, 1).messages] == [b"a", b"c"]
    for line in (4, 5):
        with pytest.raises(ConfigError, match=f"place {line} holds no dead letter"):
            replay(dead_letters, 1, line)


def test_attempts_are_counted_and_limited() -> None:
    """Each replay is one more, whatever header claims what; then it is over."""
    tried = [(ATTEMPTS, None), (ATTEMPTS, b"x"), ("__echo.errors.reason", b"decode")]
    first = replace(dead_letter(b"a"), headers=tuple(tried))
    (message,) = replay([(1, first)]).messages
    assert message == (None, b"a", [(ATTEMPTS, b"2")])
    third, fourth = (replace(first, headers=((ATTEMPTS, n),)) for n in (b"3", b"4"))
    found = replay([(1, third), (2, fourth)])
    assert found == Replay([(None, b"a", [(ATTEMPTS, b"4")])], num_refused=1)
    assert replay([(1, third)], max_attempts=2).num_refused == 1


def test_a_part_is_not_sent() -> None:
    """The whole message goes in its place, or none."""
    part, other = dead_letter(b"a", 1), dead_letter(b"b", 2)
    kept = [
        DeadLetter("0:1", part, is_truncated=True),
        DeadLetter("0:2", other, is_truncated=True),
        DeadLetter("0:3", dead_letter(b""), is_truncated=True),
        DeadLetter("0:4", dead_letter(b"")),
    ]
    whole = {Origin("t", 0, 1, 5): replace(part, value=b"abc", headers=((ATTEMPTS, b"2"),))}
    found = replayable(kept, (), max_attempts=3, originals=lambda _: whole)
    assert [value for _, value, _ in found.messages] == [b"abc", b""]
    assert found.messages[0][2] == [(ATTEMPTS, b"3")]
    assert (found.num_cut, found.num_left_out) == (2, 0)
