"""Encoders: what they are called with, what they may return, and a real model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream.encoders.encoder import FunctionEncoder, as_payloads, encode, encode_valid
from echo_stream.encoders.loading import load_encoder
from echo_stream.errors import ConfigError, DataTypeError, FeatureError, InfrastructureError
from tests.support.encoders import DIM, FORBIDDEN, WORDS, count_words, extract_minilm


def test_function_by_its_name() -> None:
    """Its name is its identity, and the length of its vectors is found out."""
    encoder = load_encoder(WORDS)
    assert (encoder.identity, encoder.dim) == (WORDS, DIM)
    assert encode(encoder, []).shape == (0, DIM)
    assert np.array_equal(encode(encoder, ["a b", "c"]), count_words(["a b", "c"]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("minilm", "must be sentence-transformers:FOLDER or MODULE:ATTRIBUTE; got 'minilm'"),
        ("tests.support.encoders:DIM", "is not callable, but int"),
        ("tests.support.encoders:nothing", "has no nothing"),
        ("sentence-transformers:/nowhere", "no sentence-transformers model in /nowhere"),
    ],
)
def test_no_such_encoder(name: str, words: str) -> None:
    """The message says what is wrong and what can be given."""
    with pytest.raises(ConfigError, match=words):
        load_encoder(name)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([[1.0], [2.0]], r"2 payloads gave an array of shape \(2, 1\)"),
        ([[1.0, 2.0]], r"2 payloads gave an array of shape \(1, 2\)"),
        ([[1.0, np.nan], [0.0, 0.0]], "not finite"),
    ],
)
def test_result_that_is_no_vectors(result: Any, words: str) -> None:
    """An encoder gives one finite vector of one length for each payload."""
    encoder = FunctionEncoder("mine:f", lambda texts: result if len(texts) > 1 else [[0.0, 0.0]])
    with pytest.raises(FeatureError, match=words):
        encode(encoder, ["a", "b"])


@pytest.mark.parametrize("failing", [(), (0,), (6,), (2, 3, 6)])
def test_failing_texts_are_alone(failing: tuple[int, ...]) -> None:
    """The others have the vectors that they have by themselves."""
    texts = [FORBIDDEN if row in failing else f"text number {row}" for row in range(7)]
    vectors, failures = encode_valid(load_encoder(WORDS), texts)
    assert [failure.row for failure in failures] == list(failing)
    good = [row for row in range(7) if row not in failing]
    assert np.array_equal(vectors[good], count_words([texts[row] for row in good]))


def test_lack_of_memory_is_no_fault_of_a_text() -> None:
    """It ends the run, and rejects nothing."""

    def fail(_: list[str]) -> Any:
        raise MemoryError

    with pytest.raises(InfrastructureError, match="cannot run here"):
        encode_valid(FunctionEncoder("mine:f", fail), ["a"])


@pytest.mark.parametrize("given", ["text", b"bytes", [1, 2], ["a", None]])
def test_what_is_no_sequence_of_payloads(given: object) -> None:
    """A single text would be taken for its characters."""
    with pytest.raises(DataTypeError, match="sequence of text or bytes"):
        as_payloads(given)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a real model."""
    return extract_minilm(tmp_path_factory.mktemp("minilm"))


@pytest.mark.slow
def test_model_gives_a_text_the_same_vector_in_any_company(minilm: Path) -> None:
    """Bit for bit, and to rounding what the package's own function gives."""
    encoder = load_encoder(f"sentence-transformers:{minilm}", device="cpu")
    rng = np.random.default_rng(0)
    words = ["card", "payment", "exchange", "rate", "why", "is", "my", "top", "up", "pending"]
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(1, 40, 70)]
    texts.append("very long " * 300)  # beyond the tokens that the model takes
    together = encode(encoder, texts)
    assert together.dtype == np.float32
    order = rng.permutation(len(texts))
    parts = np.array_split(order, 3)
    apart = np.concatenate([encode(encoder, [texts[row] for row in part]) for part in parts])
    assert np.array_equal(apart, together[order])
    assert np.array_equal(encode(encoder, texts[5:6])[0], together[5])

    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - slow to import

    theirs = SentenceTransformer(str(minilm), device="cpu").encode(texts)
    assert np.abs(theirs - together).max() < 1e-5


@pytest.mark.slow
def test_identity_of_a_model_is_its_content(minilm: Path, tmp_path: Path) -> None:
    """A changed file makes another encoder; what is damaged is refused by a sentence."""
    before = load_encoder(f"sentence-transformers:{minilm}", device="cpu")
    assert before.identity.startswith(f"sentence-transformers:{minilm.name}@")
    vectors, failures = encode_valid(before, ["text", b"bytes"])
    assert [failure.row for failure in failures] == [1]
    assert vectors.shape == (2, 384)
    other = extract_minilm(tmp_path / minilm.name)
    (other / "README.md").write_text("another version\n", encoding="utf-8")
    changed = load_encoder(f"sentence-transformers:{other}", device="cpu")
    assert changed.identity.partition("@")[0] == before.identity.partition("@")[0]
    assert changed.identity != before.identity
    (other / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_encoder(f"sentence-transformers:{other}", device="cpu")
