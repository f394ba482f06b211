"""Payloads: kept as they came, through pools, state, copies, merges and snapshots."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.encoders.encoder import FunctionEncoder
from echo_stream.encoders.loading import load_encoder
from echo_stream.errors import ConfigError, DataError, DataTypeError, ShapeError
from echo_stream.samples.validation import as_samples
from tests.support.encoders import WORDS, count_words, payloads_of

N = 700
TEXTS = [f"event {row} of kind {row % 7} by user {row % 31}" for row in range(N)]


def engine_of(**settings: object) -> EchoCoreset:
    """Return an engine that encodes texts, and holds few of them."""
    given = {"budget": 10, "keep": 60, "warmup": 50, "seed": 3, "encoder": load_encoder(WORDS)}
    return EchoCoreset(**{**given, **settings})  # type: ignore[arg-type]


def fed(engine: EchoCoreset, size: int) -> EchoCoreset:
    """Let an engine count all texts, so many at a time."""
    for start in range(0, N, size):
        engine.partial_fit(TEXTS[start : start + size])
    return engine


def assert_payloads_are_their_own(snapshot: Snapshot) -> None:
    """Check that each row has the text that its id and its vector are of."""
    for samples in (snapshot.rows.samples, snapshot.held()[0]):
        assert payloads_of(samples) == [TEXTS[int(name)] for name in samples.ids]
        assert np.array_equal(samples.x, count_words(payloads_of(samples)))


@pytest.mark.parametrize("preset", ["adaptive", "fixed", "paper"])
def test_texts_are_kept_with_their_vectors(preset: str) -> None:
    """In the coreset, in the context, and whatever the batch sizes."""
    settings = {"preset": preset, "epochs": 1} | ({} if preset == "adaptive" else {"keep": None})
    first = fed(engine_of(**settings), 700).snapshot()
    assert_payloads_are_their_own(first)
    assert fed(engine_of(**settings), 37).snapshot().id == first.id


@pytest.mark.parametrize("size", [30, 350])
def test_state_keeps_texts(size: int) -> None:
    """While warming up, with a block that is not full, and in the held-out samples."""
    engine = engine_of(holdout=0.2)
    engine.partial_fit(TEXTS[:size])
    restored = EchoCoreset.from_state(engine.to_state())
    assert restored.encoder == WORDS
    restored.encoder = load_encoder(WORDS)
    for each in (engine, restored):
        each.partial_fit(TEXTS[size:])
    snapshot = restored.snapshot()
    assert snapshot.id == engine.snapshot().id
    assert_payloads_are_their_own(snapshot)
    assert snapshot.held_out is not None
    assert snapshot.held_out.payloads is not None
    assert set(snapshot.held_out.payloads) <= set(TEXTS)


def test_another_encoder_is_refused() -> None:
    """Its vectors would lie elsewhere."""
    engine = fed(engine_of(), N)
    engine.encoder = FunctionEncoder("mine:lengths", lambda texts: [[len(text)] for text in texts])
    words = "were encoded by tests.support.encoders:count_words, and these would be by mine:lengths"
    with pytest.raises(ConfigError, match=words):
        engine.partial_fit(["one more"])


def test_forgetting_a_text_removes_it() -> None:
    """Nothing of it is left in the state."""
    engine = fed(engine_of(), N)
    name = str(engine.snapshot().rows.samples.ids[0])
    assert engine.forget(name) == 1
    arrays, _ = engine.to_state()
    held = arrays["sketch.members.payload_bytes"].tobytes()
    assert TEXTS[int(name)].encode() not in held
    assert_payloads_are_their_own(engine.snapshot())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda text: text, str),
        (lambda text: text.encode(), bytes),
        (lambda text: None if text.endswith("0") else text, str),
    ],
)
def test_snapshots_on_disk_have_payloads(
    change: Callable[[str], object], kind: type, tmp_path: Path
) -> None:
    """Text stays text, bytes stay bytes, and a sample without a payload has none."""
    payloads = [change(text) for text in TEXTS]
    engine = EchoCoreset(budget=10, keep=60)
    engine.update(as_samples(count_words(TEXTS), None, None, payloads))
    snapshot = engine.snapshot()
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    read = read_snapshot(tmp_path / "unit")
    for found, kept in ((read.rows, snapshot.rows), (read.context, snapshot.context)):
        assert found is not None
        assert kept is not None
        assert payloads_of(found.samples) == payloads_of(kept.samples)
        assert {type(one) for one in payloads_of(found.samples)} <= {kind, type(None)}


def test_payloads_decide_between_samples_that_are_else_the_same() -> None:
    """The order of arrival does not: two texts of one vector and one id."""
    x = np.zeros((2, 4), np.float32)
    samples = as_samples(x, None, ["a", "a"], ["first", "second"])
    chosen = []
    for rows in ([0, 1], [1, 0]):
        engine = EchoCoreset(budget=1, keep=4)
        engine.update(samples[np.array(rows)])
        chosen.append(payloads_of(engine.snapshot().rows.samples))
    assert chosen[0] == chosen[1]


def test_large_payload_is_refused() -> None:
    """By its bytes; nothing has been counted then."""
    engine = engine_of(max_payload_bytes=20)
    with pytest.raises(DataError, match="the payload has 24 bytes, and may have 20"):
        engine.partial_fit(["short", "\u00e4" * 12])
    assert engine.n_seen_ == 0


def test_bound_counts_payloads() -> None:
    """The bytes in use are below the bound, with payloads as long as they may be."""
    most = 5_000
    engine = engine_of(max_payload_bytes=most)
    for start in range(0, N, 100):
        engine.partial_fit([f"{text} ".ljust(most, "x") for text in TEXTS[start : start + 100]])
    manifest = engine.snapshot().manifest
    assert 60 * most < manifest["state_bytes"] < manifest["state_bytes_bound"]
    small = fed(engine_of(max_payload_bytes=most), N)
    assert small.memory_bound() == engine.memory_bound()


@pytest.mark.parametrize(
    ("payloads", "error"),
    [(["a"], ShapeError), (["a", 1], DataError), (["a", "\ud800"], DataError)],
)
def test_what_is_no_payload(payloads: list[object], error: type[Exception]) -> None:
    """One for each sample, and text that UTF-8 can hold, or bytes."""
    with pytest.raises(error):
        as_samples(np.zeros((2, 1)), None, None, payloads)


def test_vectors_of_an_encoder_are_refused_as_texts() -> None:
    """An array of numbers is no sequence of texts."""
    with pytest.raises(DataTypeError, match="text or bytes"):
        engine_of().partial_fit(np.zeros((3, 16), np.float32))


def test_merged_engines_keep_texts() -> None:
    """Those of both."""
    first, second = engine_of(), engine_of()
    first.partial_fit(TEXTS[:400], ids=range(400))
    generation = first.generation_
    second = replace_generation(second, generation)
    second.partial_fit(TEXTS[400:], ids=range(400, N))
    first.merge(second)
    assert first.n_seen_ == N
    assert_payloads_are_their_own(first.snapshot())


def replace_generation(engine: EchoCoreset, generation: object) -> EchoCoreset:
    """Return an engine of the same settings with a trained generation."""
    return engine.clone({"generation": generation})
