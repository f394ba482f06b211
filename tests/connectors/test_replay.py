"""What is sent again of dead letters, and what is not."""

import pytest

from echo_stream.connectors.replay import replayable
from echo_stream.errors import ConfigError
from echo_stream.samples import Origin
from echo_stream.source import RejectedSample


def letter(
    value: bytes | None, offset: int | None = None, key: bytes | None = None
) -> RejectedSample:
    """Return a message that was no sample."""
    origin = None if offset is None else Origin("t", 0, offset, 5)
    return RejectedSample("decode", "no sample", key, value, (("h", None),), origin)


def test_messages_are_sent_as_they_came() -> None:
    """Key, value and headers, in their order; a tombstone too, and no header is lost."""
    letters = [(1, letter(b"a", 1, b"k")), (3, letter(None, 2, b"k"))]
    headers = [("h", b"")]
    assert replayable(letters, ()) == ([(b"k", b"a", headers), (b"k", None, headers)], 0)


def test_what_is_not_sent_is_counted() -> None:
    """The same place twice, half a line, and what Kafka takes from nobody."""
    letters = [
        (1, letter(b"a", 1)), (2, letter(b"a", 1)), (3, None), (4, letter(None, 2)),
        (5, letter(b"b")), (6, letter(b"b")),
    ]  # fmt: skip
    messages, num_left_out = replayable(letters, ())
    # Without a place nobody can tell whether two are one.
    assert [value for _, value, _ in messages] == [b"a", b"b", b"b"]
    assert num_left_out == 3


def test_lines_are_chosen() -> None:
    """Only those, in the order of the file; one that holds no message is refused."""
    letters = [(1, letter(b"a")), (2, letter(b"b")), (3, letter(b"c")), (4, None)]
    assert [value for _, value, _ in replayable(letters, (3, 1))[0]] == [b"a", b"c"]
    for line in (4, 5):
        with pytest.raises(ConfigError, match=f"line {line} holds no dead letter"):
            replayable(letters, (1, line))
