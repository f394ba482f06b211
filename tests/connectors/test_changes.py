"""Messages without a sample: late labels and tombstones."""

from typing import Any

import numpy as np
import pytest

from echo_stream.changes import Change, Forget, LateLabel
from echo_stream.connectors.codecs import CodecConfig, DecodeError, Headers, decode, read_message
from echo_stream.connectors.kafka_records import RecordDecoder
from tests.connectors.test_kafka_records import RAW, Record, raw, records, waiting

AUTO = CodecConfig()


@pytest.mark.parametrize(("message", "expected"), [
    ((None, b'{"id": "a", "y": "cat"}', []), LateLabel("a", "cat")),
    ((b"a", b'{"y": 3}', []), LateLabel("a", 3)),
    ((b"a", b' {"y": 0.5, "time": [1, null], "id": 7}', []), LateLabel("7", 0.5)),
    ((b"a", b'{"id": "x", "y": "x"}', []), LateLabel("x", "x")),
    ((b"a", b'{"meta": {"x": [1]}, "y": 1}', []), LateLabel("a", 1)),
    ((b"a", b"{}", [("label", b"7")]), LateLabel("a", 7)),
    ((b"a", b"", [("label", b"cat")]), LateLabel("a", "cat")),
    ((b"a", b"", [("label", b"7"), ("id", b"b")]), LateLabel("b", 7)),
    ((b"a", b"", [("label", b"7"), ("label-type", b"text")]), LateLabel("a", "7")),
    ((b"a", None, []), Forget("a")),
    ((b"a", None, [("id", b"b")]), Forget("b")),
    ((b"a", None, [("label", b"cat"), ("content-type", b"image/png")]), Forget("a")),
])  # fmt: skip
def test_changes_are_read(message: tuple[Any, Any, Headers], expected: Change) -> None:
    """From JSON, headers and keys."""
    assert read_message(*message, AUTO) == expected
    with pytest.raises(DecodeError, match="where a sample is expected"):
        decode(*message, AUTO)


@pytest.mark.parametrize(("message", "words"), [
    ((b"a", b'{"id": "a"}', []), "no object with a field x, or y for a late label"),
    ((b"a", b'{"id": "a", "y": null}', []), "or y for a late label"),
    ((None, b'{"y": 3}', []), "no id or key"),
    ((b"\xff", b'{"y": 3}', []), "no id or key"),
    ((b"a", b'{"y": [3]}', []), "y is neither"),
    ((b"a", b'{"y": NaN}', []), "y is nan"),
    ((b"a", b'{"y": 3, "x": null}', []), "x holds NoneType where numbers belong"),
    ((b"a", b"", []), "unknown format"),
    ((None, None, []), "no key in UTF-8"),
    ((b"\xff", None, []), "no key in UTF-8"),
    ((b"a", None, [("id", b"\xff")]), "not valid UTF-8"),
])  # fmt: skip
def test_what_is_no_change_is_refused(message: tuple[Any, Any, Headers], words: str) -> None:
    """In words for people."""
    with pytest.raises(DecodeError, match=words):
        read_message(*message, AUTO)


def test_changes_have_their_places_among_samples() -> None:
    """Rejected messages do not count, blocks are no obstacle, and all are messages."""
    given = records(
        (b"a", None, []), (b"a", raw(1, 2), []), (b"b", raw(3, 4), []), (b"junk", b"1", []),
        (b"b", b"", [("label", b"7")]), (b"c", raw(np.nan, 0), []), (b"a", None, []),
        (b"d", raw(5, 6), []), (b"d", b"", [("label", b"8")]),
    )  # fmt: skip
    batch = RecordDecoder(RAW).decode(waiting(given), 100)
    assert batch.changes == [
        Forget("a", 0), LateLabel("b", 7, 2), Forget("a", 2), LateLabel("d", 8, 3),
    ]  # fmt: skip
    assert (batch.num_samples, batch.num_messages, len(batch.rejected)) == (3, 9, 2)
    assert [rejected.place for rejected in batch.rejected] == [3, 5]


def test_tombstones_can_be_ignored() -> None:
    """They are counted, whatever their keys."""
    given = [Record(b"a", raw(1, 2), [], 0), Record(b"a", None, [], 1), Record(None, None, [], 2)]
    batch = RecordDecoder(RAW, "ignore").decode(waiting(given), 100)
    assert (list(batch.changes), list(batch.rejected)) == ([], [])
    assert (batch.skipped.tombstones, batch.num_samples, batch.num_messages) == (2, 1, 3)
