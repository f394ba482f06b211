"""Messages that a codec of the user's own reads."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.codecs import (
    CodecConfig,
    Decoded,
    DecodeError,
    Headers,
    Sample,
    decode,
    load_codec,
)
from echo_stream.errors import ConfigError


class Reading:
    """A codec that does what it is told to."""

    def __init__(self, read: Callable[[bytes, Headers, bytes | None], Any]) -> None:
        self.decode = read


def decoded(samples: Any, max_elements: int = 100) -> Decoded:
    """Decode a message in which a codec finds these samples."""
    codec = Reading(lambda *_: samples)
    return decode(None, b"value", [], CodecConfig(codec=codec, max_elements=max_elements))


def refused(samples: Any, max_elements: int = 100) -> DecodeError:
    """Return the error that samples of a codec bring, of one line."""
    with pytest.raises(DecodeError) as caught:
        decoded(samples, max_elements)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_samples_of_a_codec() -> None:
    """Numbers of any kind; ids and labels may be missing."""
    found = decoded([Sample([1.0, 2.0], 7, "cat"), Sample(np.array([3.0, 4.0]), None, None)])
    assert found.x.tolist() == [[1, 2], [3, 4]]
    assert (list(found.ids), list(found.labels), found.is_batch) == (
        ["7", None],
        ["cat", None],
        True,
    )


def test_codec_sees_the_whole_message_whatever_it_says() -> None:
    """Value, headers and key; also of a content type that is ours."""
    seen = []

    def read(*message: Any) -> list[Sample]:
        """Note a message."""
        seen.append(message)
        return [Sample([1.0])]

    headers = [("content-type", b"application/json")]
    decode(b"key", b"{}", headers, CodecConfig("npy", codec=Reading(read)))
    assert seen == [(b"{}", headers, b"key")]


@pytest.mark.parametrize(
    ("samples", "reason", "words"),
    [
        ([], "decode", "returned nothing"),
        (None, "decode", "codec failed: TypeError"),
        ([[1.0]], "decode", "returned list"),
        ([Sample("text")], "decode", "dtype <U4"),
        ([Sample(1.0)], "schema", "at least two axes"),
        ([Sample([[1.0], [1.0, 2.0]])], "schema", "not an array"),
        ([Sample([1.0]), Sample([1.0, 2.0])], "schema", "shape (1,) and dtype float64 and of"),
        ([Sample([1.0]), Sample([1])], "schema", "a message holds one kind"),
        ([Sample([1.0]), Sample([float("nan")])], "nonfinite", "in row 1"),
        ([Sample([1.0], 0.5)], "decode", "type float"),  # type: ignore[arg-type]  # meant
        ([Sample([1.0], None, [])], "decode", "type list"),  # type: ignore[arg-type]  # meant
        ([Sample([1.0], "\ud800")], "decode", "not valid Unicode"),
    ],
)
def test_what_is_no_sample_is_a_dead_letter(samples: Any, reason: str, words: str) -> None:
    """A codec is not trusted either."""
    error = refused(samples)
    assert (error.reason, words in str(error)) == (reason, True), error


def test_limit_of_elements() -> None:
    """All samples of a message count."""
    samples = [Sample([1.0, 2.0])] * 3
    assert len(decoded(samples, max_elements=6).x) == 3
    assert "over 5 elements" in str(refused(samples, max_elements=5))


def test_errors_of_a_codec_are_dead_letters() -> None:
    """In one line, with their class; what ends the process goes through."""

    def fail(error: BaseException) -> CodecConfig:
        """Return a configuration whose codec raises."""

        def read(*_: Any) -> Any:
            raise error

        return CodecConfig(codec=Reading(read))

    with pytest.raises(DecodeError, match="codec failed: KeyError: 'x'"):
        decode(None, b"", [], fail(KeyError("x")))
    with pytest.raises(KeyboardInterrupt):
        decode(None, b"", [], fail(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("code", "spec", "words"),
    [
        ("", "mycodec", "must be module:factory; got 'mycodec'"),
        ("", "mycodec:make", "mycodec has no make"),
        ("def make(): raise OSError('no schema')", "mycodec:make", "failed: OSError: no schema"),
        ("make = dict", "mycodec:make", "returned dict, which has no decode()"),
    ],
)
def test_factory_that_makes_no_codec(
    code: str, spec: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is read."""
    (tmp_path / "mycodec.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mycodec", raising=False)
    with pytest.raises(ConfigError) as caught:
        load_codec(spec)
    assert words in str(caught.value)
