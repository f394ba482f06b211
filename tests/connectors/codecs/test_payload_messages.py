"""Messages with a payload: which field it is, and what an encoder is given."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from echo_stream.connectors.codecs import CodecConfig, DecodeError, read_message
from echo_stream.connectors.codecs.messages import Decoded
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.connectors.kafka.isolated.protocol import as_answer, from_answer
from echo_stream.encoders.loading import load_encoder
from echo_stream.errors import ConfigError
from echo_stream.samples.changes import Forget, LateLabel
from echo_stream.samples.validation import SampleSchema
from tests.support.encoders import DIM, FORBIDDEN, WORDS, CountingEncoder, count_words, payloads_of
from tests.support.kafka.records import records, waiting

ENCODED = CodecConfig(is_encoded=True)
MAPPED = CodecConfig(is_encoded=True, payload_field="text", label_field="intent", id_field="key")
PNG = b"\x89PNG\r\n\x1a\n and more"
EVENT = {"key": 7, "text": "where is my card?", "intent": "card", "user": 3}


def read(value: bytes, config: CodecConfig, headers: Any = ()) -> Decoded:
    """Return what a message of one sample brings."""
    found = read_message(b"from the key", value, headers, config)
    assert isinstance(found, Decoded)
    return found


def test_fields_are_mapped() -> None:
    """Payload, label and id by their names; what is left over is told."""
    found = read(json.dumps(EVENT).encode(), MAPPED)
    assert found.payloads == ("where is my card?",)
    assert (found.ids, found.labels, found.x.shape) == (("7",), ("card",), (1, 0))
    assert found.ignored == ["user"]


@pytest.mark.parametrize(
    ("value", "headers", "payload"),
    [
        (b"plain \xc3\xa4 text", [], "plain \u00e4 text"),
        (b'{"a": 1, "label": 2}', [], '{"a": 1, "label": 2}'),
        (b'{"a": 1}', [("content-type", b"text/plain; charset=utf-8")], '{"a": 1}'),
        (PNG, [], PNG),
        (b"\xff\xd8\xff and more", [], b"\xff\xd8\xff and more"),
        (b"[1, 2]", [], "[1, 2]"),
    ],
)
def test_without_a_field_the_message_is_the_payload(
    value: bytes, headers: Any, payload: str | bytes
) -> None:
    """As it came, byte for byte."""
    assert read(value, ENCODED, headers).payloads == (payload,)


def test_whole_object_has_label_and_id_too() -> None:
    """They are read out of it, and nothing of it is ignored."""
    found = read(b'{"id": "a", "y": 2, "more": []}', ENCODED)
    assert (found.ids, found.labels, found.ignored) == (("a",), (2,), ())


@pytest.mark.parametrize(
    ("value", "config", "headers", "words"),
    [
        (b"\xff\xfe", ENCODED, [], "the text is not valid UTF-8"),
        (b'{"a": 1}', MAPPED, [], "JSON with fields 'a'; expected 'text' with the payload"),
        (b'{"text": 5}', MAPPED, [], "the payload 'text' is of type int; send text"),
        (b'{"text": "\\ud800"}', MAPPED, [], "not valid UTF-8"),
        (b"plain text", MAPPED, [], "invalid JSON"),
        (b"12345678", ENCODED, [("content-type", b"application/octet-stream")], "raw content"),
        (b"text", CodecConfig(message_format="text"), [], "an encoder has to make a vector"),
        (b"\x93NUMPY", CodecConfig(payload_field="text"), [], "npy content has no field 'text'"),
    ],
)
def test_messages_without_a_payload(
    value: bytes, config: CodecConfig, headers: Any, words: str
) -> None:
    """Each is refused by a sentence."""
    with pytest.raises(DecodeError, match=words):
        read(value, config, headers)


def test_payload_beside_a_vector_that_is_ready() -> None:
    """Nothing has to be encoded then."""
    config = CodecConfig(payload_field="text", vector_field="embedding")
    found = read(b'{"id": 1, "text": "hello", "embedding": [1, 2.5]}', config)
    assert found.payloads == ("hello",)
    assert np.array_equal(found.x, np.array([[1, 2.5]], np.float32))
    with pytest.raises(DecodeError, match="expected embedding, with id and label"):
        read(b'{"text": "hello", "x": [1, 2.5]}', config)


@pytest.mark.parametrize("config", [ENCODED, MAPPED])
def test_late_labels_and_tombstones_are_what_they_were(config: CodecConfig) -> None:
    """An object says itself that it is a late label; no other is one."""
    late = read_message(None, b'{"change": "label", "id": 7, "label": "x"}', [], config)
    assert late == LateLabel("7", "x")
    assert read_message(b"7", None, [], config) == Forget("7")


@pytest.mark.parametrize(
    "settings",
    [
        {"payload_field": "a", "label_field": "a"},
        {"payload_field": "x"},
        {"label_field": "a", "id_field": "a"},
    ],
)
def test_one_field_is_one_thing(settings: dict[str, str]) -> None:
    """Two settings that name the same field are refused."""
    with pytest.raises(ConfigError, match="are both"):
        CodecConfig(**settings)  # type: ignore[arg-type]


def test_decoder_encodes_each_message_once() -> None:
    """Vectors, payloads and rejected messages keep the order of the log."""
    encoder = CountingEncoder()
    events = [{**EVENT, "key": row, "text": f"event {row}"} for row in range(150)]
    values = [json.dumps(event).encode() for event in events]
    values[3] = b"no JSON"
    decoder = RecordDecoder(MAPPED, encoder=encoder)
    queue, ids = waiting(records(*((None, value, []) for value in values))), []
    while queue:
        batch = decoder.decode(queue, 1_000)
        assert batch.samples is not None
        assert np.array_equal(batch.samples.x, count_words(payloads_of(batch.samples)))
        ids += batch.samples.ids.tolist()
    assert ids == [str(row) for row in range(150) if row != 3]
    assert encoder.seen == [f"event {row}" for row in range(150) if row != 3]
    assert "user" in decoder.inputs.ignored
    assert decoder.inputs.features == f"the vector of field text by {WORDS}"


def test_text_that_the_encoder_fails_for_is_rejected_by_itself() -> None:
    """With what it said, at its place, and the whole message."""
    values = [b"good one", FORBIDDEN.encode(), b"x" * 101, b"good two"]
    config = CodecConfig(is_encoded=True, max_payload_bytes=100)
    queue = waiting(records(*((None, value, []) for value in values)))
    batch = RecordDecoder(config, encoder=load_encoder(WORDS)).decode(queue, 9)
    assert batch.samples is not None
    assert payloads_of(batch.samples) == ["good one", "good two"]
    assert [(each.place, each.reason) for each in batch.rejected] == [(1, "feature"), (2, "decode")]
    assert batch.rejected[0].value == FORBIDDEN.encode()
    assert "no words" in batch.rejected[0].message
    assert "the payload has 101 bytes, and may have 100" in batch.rejected[1].message
    assert batch.num_messages == 4


def test_encoder_of_other_vectors_is_refused() -> None:
    """Before a message is read."""
    decoder = RecordDecoder(ENCODED, encoder=load_encoder(WORDS))
    decoder.expect(SampleSchema((DIM,), "float32"))
    with pytest.raises(ConfigError, match="vectors of length 16; expected samples of shape"):
        decoder.expect(SampleSchema((384,), "float32"))


def test_process_for_suspected_messages_hands_payloads_on() -> None:
    """As they were, text and bytes."""
    for payload in ("text \u00e4", b"\x00\xff", ""):
        found = Decoded(np.zeros((1, 0), np.float32), ["a"], [None], payloads=[payload])
        back = from_answer(as_answer(found))
        assert isinstance(back, Decoded)
        assert back.payloads == [payload]
        assert back.x.shape == (1, 0)


def test_columns_of_arrow_have_names_too() -> None:
    """Vectors, texts, labels and ids of many samples in a message."""
    table = pa.table({
        "embedding": [[1.0, 2.0], [3.0, 4.0]], "text": ["a", "b"], "intent": ["x", None],
        "key": [7, 8], "more": [1, 2],
    })  # fmt: skip
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    config = CodecConfig(
        payload_field="text", vector_field="embedding", label_field="intent", id_field="key"
    )
    found = read(sink.getvalue().to_pybytes(), config)
    assert found.payloads == ["a", "b"]
    assert (list(found.ids), list(found.labels)) == (["7", "8"], ["x", None])
    assert found.x.tolist() == [[1, 2], [3, 4]]
    assert found.ignored == ("more",)
