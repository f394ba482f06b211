"""Decoding in a process that may die."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.codecs import (
    CodecConfig,
    Decoded,
    DecodeError,
    encode,
    encode_batch,
    load_codec,
    read_message,
)
from echo_stream.connectors.kafka.isolated import decoder as isolated_decoder
from echo_stream.connectors.kafka.isolated.decoder import DeadlyMessageError, IsolatedDecoder
from echo_stream.connectors.kafka.records import Record
from echo_stream.errors import InfrastructureError
from echo_stream.samples.changes import LateLabel
from echo_stream.samples.samples import Origin
from echo_stream.samples.validation import SampleSchema, as_samples
from tests.support.crashes import deadly_codec
from tests.support.crashes.native_damage import damaged, image

ORIGIN = Origin("events", 0, 7, 1_000)
X = np.arange(6, dtype=np.float32).reshape(2, 3)
VALUES = X.tobytes()


def record(value: bytes, key: bytes | None = None, headers: Any = ()) -> Record:
    """Return a message."""
    return Record(ORIGIN, key, value, list(headers))


@pytest.fixture(scope="module")
def ours() -> Iterator[IsolatedDecoder]:
    """Return a decoder of our formats."""
    with closing(IsolatedDecoder(CodecConfig(max_message_bytes=65_536))) as decoder:
        yield decoder


@pytest.fixture
def deadly() -> Iterator[IsolatedDecoder]:
    """Return a decoder whose codec dies of some messages."""
    codec = load_codec(f"{deadly_codec.__name__}:DeadlyCodec")
    with closing(IsolatedDecoder(CodecConfig(codec=codec))) as decoder:
        yield decoder


def outcome(read: Any) -> Any:
    """Return what a message brings, to be compared."""
    try:
        found = read()
    except DecodeError as error:
        return str(error), error.reason, error.exception
    if isinstance(found, Decoded):
        return found.x.dtype, found.x.tolist(), *map(list, found[1:3]), found.is_batch
    return found


MESSAGES = {
    "npy": encode(X, "7", "cat", "npy"),
    "raw": encode(X, "7", 0.1, "raw"),
    "json": encode(X, "7", 2**60, "json"),
    "arrow": next(iter(encode_batch(as_samples(X, ["a", "b"])))),
    "png": (b"\xff", image("PNG", "RGB"), [("id", None)]),
    "late label": (None, b'{"id": "7", "y": "cat", "change": "label"}', [("change", b"label")]),
    "invalid": (None, b"junk", []),
    "not finite": (None, b'{"x": [NaN]}', []),
    "damaged": (None, damaged("arrow", 3), []),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_it_decodes_as_this_process_does(ours: IsolatedDecoder, kind: str) -> None:
    """Samples, ids, labels of each type, late labels and errors with their words and class."""
    message = record(MESSAGES[kind][1], MESSAGES[kind][0], MESSAGES[kind][2])
    schema = SampleSchema((24, 20), "uint8")
    here = outcome(
        lambda: read_message(
            message.key,
            message.value,
            message.headers,
            CodecConfig(max_message_bytes=65_536),
            schema,
        )
    )
    assert outcome(lambda: ours.read(message, schema)) == here
    assert isinstance(here, LateLabel) == (kind == "late label")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (deadly_codec.SEGFAULT, "killed the decoder: SIGSEGV"),
        (deadly_codec.ABORT, "killed the decoder: SIGABRT"),
        (deadly_codec.END, "killed the decoder: exit code 3"),
    ],
)
def test_what_kills_the_process_is_refused(
    deadly: IsolatedDecoder, value: bytes, words: str
) -> None:
    """With the way that it died; messages after it are decoded."""
    with pytest.raises(DeadlyMessageError) as caught:
        deadly.read(record(value), None)
    assert (str(caught.value), caught.value.reason) == (words, "decode")
    assert isinstance(deadly.read(record(VALUES), None), Decoded)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (deadly_codec.HANG, r"it was ended after 2 s"),
        (deadly_codec.HUNGRY, r"it was ended as it took \d+ MiB of \d+ MiB"),
    ],
)
def test_time_and_memory_are_bounded(
    value: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs, or takes all that there is, is refused as well."""
    monkeypatch.setattr(isolated_decoder, "MESSAGE_S", 2.0 if value == deadly_codec.HANG else 60.0)
    monkeypatch.setattr(isolated_decoder, "MESSAGE_BYTES", 64 * 1024**2)
    codec = load_codec(f"{deadly_codec.__name__}:DeadlyCodec")
    config = CodecConfig(codec=codec, max_message_bytes=1_024, max_elements=1_024, max_pixels=1_024)
    with (
        closing(IsolatedDecoder(config)) as decoder,
        pytest.raises(DeadlyMessageError, match=words),
    ):
        decoder.read(record(value), None)


def test_message_that_dies_of_another_ones_harm_is_not_blamed() -> None:
    """It is decoded again, alone."""
    codec = load_codec(f"{deadly_codec.__name__}:DelayedCodec")
    with closing(IsolatedDecoder(CodecConfig(codec=codec))) as decoder:
        decoder.read(record(b"harm"), None)
        assert isinstance(decoder.read(record(b"good"), None), Decoded)


def test_codec_that_cannot_be_made_there_is_no_messages_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run ends where it is, and nothing is set aside."""
    codec = load_codec(f"{deadly_codec.__name__}:BrokenCodec")
    monkeypatch.setenv("ECHO_TEST_BROKEN_CODEC", "1")
    with (
        closing(IsolatedDecoder(CodecConfig(codec=codec))) as decoder,
        pytest.raises(InfrastructureError, match="does not start: exit code 1"),
    ):
        decoder.read(record(VALUES), None)
