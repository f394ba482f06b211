"""Messages without a sample: late labels and tombstones."""

import json
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.codecs import (
    CodecConfig,
    DecodeError,
    Headers,
    decode,
    encode,
    read_message,
)
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.samples.changes import Change, Forget, LateLabel
from tests.support.kafka.records import RAW, Record, raw, records, waiting

AUTO = CodecConfig()
LATE = ("change", b"label")
NPY = encode(np.zeros(2), None, None, "npy")[1]


@pytest.mark.parametrize(("message", "expected"), [
    ((None, b'{"change": "label", "id": "a", "label": "cat"}', []), LateLabel("a", "cat")),
    ((b"a", b'{"change": "label", "y": 3}', []), LateLabel("a", 3)),
    ((b"a", b' {"label": 0.5, "id": 7, "change": "label"}', []), LateLabel("7", 0.5)),
    ((b"a", b'{"id": "x", "y": "x"}', [LATE]), LateLabel("x", "x")),
    ((b"a", b'{"y": 2, "label": 2}', [LATE]), LateLabel("a", 2)),
    ((b"a", b"{}", [("label", b"7"), LATE]), LateLabel("a", 7)),
    ((b"a", b"", [("label", b"cat"), LATE]), LateLabel("a", "cat")),
    ((b"a", b"", [("label", b"7"), ("id", b"b"), LATE]), LateLabel("b", 7)),
    ((b"a", b"", [("label", b"7"), ("label-type", b"text"), LATE]), LateLabel("a", "7")),
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
    ((b"a", b'{"id": "a"}', []), "^JSON with fields 'id'; expected x, with id and label if "
     'there are any, or "change": "label" with id and label for a late label$'),
    ((b"a", b'{"id": "a", "label": 3}', []), "^JSON with fields 'id', 'label'; expected x"),
    ((b"a", b'{"id": "a", "y": 3, "t": 0.5}', []), "^JSON with fields 'id', 't', 'y'; expected x"),
    ((b"a", b'{"y": 3, "change": "Label"}', []), "^JSON with fields 'change', 'y'; expected x"),
    ((b"a", b'{"y": 3, "change": ["label"]}', []), "expected x"),
    ((b"a", b"{}", []), "^JSON with no fields; expected x"),
    ((b"a", json.dumps({f"f{n}": n for n in range(30)}).encode(), []), "'f17', 20 more; expected"),
    ((b"a", b'{"change": "label", "id": "a", "y": null}', []), "the label message has no label"),
    ((b"a", b'{"change": "label", "y": 3, "x": [1]}', []), "^the label message has 'x'; send only"),
    ((b"a", b'{"y": 3, "x": [1]}', [LATE]), "^the label message has 'x'; send only"),
    ((b"a", b'{"y": 3, "note": 1}', [LATE]), "^the label message has 'note'; send only"),
    ((None, b'{"y": 3}', [LATE]), "no id or key"),
    ((b"\xff", b'{"y": 3}', [LATE]), "no id or key"),
    ((b"a", b'{"y": [3]}', [LATE]), "y is neither"),
    ((b"a", b'{"label": NaN}', [LATE]), "label is nan"),
    ((b"a", b'{"y": 3, "label": 4}', [LATE]), "fields label and y are different labels; send one"),
    ((b"a", b'{"y": 3, "x": null}', []), "x holds NoneType instead of numbers"),
    ((b"a", b"", []), '^a value of no bytes; a late label says so in a header "change": "label"$'),
    ((b"a", b"", [("label", b"cat")]), "^a value of no bytes; a late label says so"),
    ((b"a", b"", [LATE]), "the label message has no label"),
    ((b"a", NPY, [("label", b"cat"), LATE]), "^a late label with npy content; send JSON, or no"),
    ((None, None, []), "no UTF-8 key"),
    ((b"\xff", None, []), "no UTF-8 key"),
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
        (b"b", b"", [("label", b"7"), LATE]), (b"c", raw(np.nan, 0), []), (b"a", None, []),
        (b"d", raw(5, 6), []), (b"d", b"", [("label", b"8"), LATE]),
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


def test_raw_content_is_no_late_label_in_a_block_either() -> None:
    """What says that it is a late label, and has content, is refused among samples."""
    given = records(
        (b"a", raw(1, 2), []), (b"b", raw(3, 4), [("label", b"7"), LATE]), (b"c", raw(5, 6), []),
    )  # fmt: skip
    batch = RecordDecoder(RAW).decode(waiting(given), 100)
    assert (batch.num_samples, list(batch.changes)) == (2, [])
    assert [rejected.message[:28] for rejected in batch.rejected] == [
        "a late label with raw conten"
    ]
