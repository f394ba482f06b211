"""What an engine takes, as Python and the disk see it, against the bound that it states."""

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.config import MAX_TEXT_BYTES
from echo_stream.connectors.storage.engine_files import write_checkpoint
from echo_stream.errors import DataError
from echo_stream.generation.generation import Generation
from echo_stream.samples.changes import Forget, LateLabel
from echo_stream.samples.label_log import MOST_LABELS, LabelLog
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.validation import as_samples

FACTOR = 3  # of the truth, that a bound may be
N = 6_000
BATCH = 3_000
WIDE = "\N{PILE OF POO}"  # four bytes in UTF-8, and as many for each character beside it
ESCAPED = "\x01"  # one byte in UTF-8, six in JSON


def longest(number: int, beginning: str, filler: str = "a") -> str:
    """Return text of as many bytes as an id may have, another one for each number."""
    text = f"{beginning}{number:08d}"
    return text + filler * (MAX_TEXT_BYTES - len(text.encode()))


def samples_of(start: int, stop: int, dim: int, beginning: str, filler: str) -> Samples:
    """Return samples with the longest ids and labels that there can be, out of Kafka."""
    rng = np.random.default_rng(start)
    numbers = range(start, stop)
    return Samples(
        x=rng.normal(size=(stop - start, dim)).astype(np.float32),
        ids=as_objects([longest(number, beginning, filler) for number in numbers]),
        labels=as_objects([longest(number, f"{beginning}y", filler) for number in numbers]),
        origins=as_objects([Origin("t" * 249, 1, 10**15 + n, 10**12 + n) for n in numbers]),
    )


def trained(config: EngineConfig, dim: int) -> Generation:
    """Return a generation for samples of so many values."""
    x = np.random.default_rng(1).normal(size=(2_000, dim)).astype(np.float32)
    return EchoCoreset.from_config(config).fit(x).generation_


def filled(engine: EchoCoreset, dim: int, beginning: str, filler: str = "a") -> EchoCoreset:
    """Let an engine count samples, label all that it holds late, and index them by id."""
    for start in range(0, N, BATCH):
        engine.update(samples_of(start, start + BATCH, dim, beginning, filler))
    for number in range(N):
        name = longest(number, beginning, filler)
        if engine.holds(name):
            engine.change(LateLabel(name, longest(number, f"{beginning}z", filler)))
    return engine


def tensor_bytes() -> int:
    """Return the bytes of all tensors, which tracemalloc does not see."""
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in tensors}
    return sum(each.nbytes() for each in storages.values())


OPTIONS: dict[str, dict[str, Any]] = {
    "fixed": {"preset": "fixed"},
    "support": {"preset": "fixed", "support_share": 0.25},
    "paper": {"preset": "paper", "epochs": 1},
    "adaptive": {"keep": 400},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "budget", "dim"),
    [
        *(("fixed", 20, 8), ("fixed", 100, 64), ("fixed", 20, 784)),
        *(("support", 100, 8), ("support", 20, 64), ("paper", 20, 8)),
        *(("adaptive", 20, 8), ("adaptive", 100, 64)),
    ],
)
def test_heap_is_below_the_bound_and_near(kind: str, budget: int, dim: int) -> None:
    """With the longest text the heap is below the bound, and over a third of it.

    The paper's grid has cells that no sample lies in, and its bound allows for them.
    """
    config = EngineConfig(budget=budget, auto_regenerate=False, **OPTIONS[kind])
    generation = trained(config, dim)
    gc.collect()
    before = tensor_bytes()
    tracemalloc.start()
    try:
        engine = EchoCoreset.from_config(config, generation=generation)
        filled(engine, dim, WIDE)
        gc.collect()
        heap = tracemalloc.get_traced_memory()[0] + tensor_bytes() - before
    finally:
        tracemalloc.stop()
    bound = engine.memory_bound()
    assert heap <= bound
    # Adaptive cells are a third fewer after they are merged, which takes memory for a while.
    factor = FACTOR + 1 if kind == "adaptive" else FACTOR
    assert kind == "paper" or bound <= factor * heap


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("n", [90, 1_500])
def test_bound_does_not_depend_on_what_was_counted(kind: str, n: int) -> None:
    """An engine that has counted nothing knows already what it can take."""
    config = EngineConfig(budget=100, auto_regenerate=False, **OPTIONS[kind])
    engine = EchoCoreset.from_config(config, generation=trained(config, 8))
    bound = engine.memory_bound()
    engine.update(samples_of(0, n, 8, WIDE, "a"))
    assert engine.memory_bound() == bound


@pytest.mark.parametrize("dim", [8, 784])
def test_state_on_disk_is_below_the_bound(dim: int, tmp_path: Path) -> None:
    """A checkpoint has fewer bytes than the bound, also where JSON writes escapes."""
    config = EngineConfig(budget=20, auto_regenerate=False, preset="fixed")
    engine = EchoCoreset.from_config(config, generation=trained(config, dim))
    filled(engine, dim, ESCAPED, ESCAPED)
    write_checkpoint(engine, {}, tmp_path / "unit")
    size = sum(path.stat().st_size for path in (tmp_path / "unit").iterdir())
    assert size <= engine.memory_bound() <= FACTOR * size


def test_long_text_is_refused() -> None:
    """An id or a label of more bytes than allowed is refused in a sentence, and nothing counted."""
    engine, x = (
        EchoCoreset(warmup=2, epochs=0, max_text_bytes=8, preset="fixed"),
        np.eye(4, dtype=np.float32),
    )
    with pytest.raises(DataError, match="the id 'aaaaaaaaa' has 9 bytes in UTF-8, and may have 8"):
        engine.partial_fit(x, ids=["a" * 9, "b", "c", "d"])
    with pytest.raises(ValueError, match=r"the label .* has 12 bytes in UTF-8, and may have 8"):
        engine.partial_fit(x, y=[WIDE * 3, "b", "c", "d"])
    assert engine.n_seen_ == 0
    engine.partial_fit(x, y=["a" * 8, None, "c", "d"], ids=[WIDE * 2, 10**17, "c", "d"])
    with pytest.raises(DataError, match="the label"):
        engine.label(["c", "d"], ["short", "much too long"])
    assert engine.change_counts()["num_labelled"] == 0
    with pytest.raises(DataError, match="the id"):
        EchoCoreset(epochs=0, max_text_bytes=8, preset="fixed").fit(x, ids=["a" * 9, "b", "c", "d"])


def test_label_log_is_bounded_whatever_the_number_of_logs() -> None:
    """Labels of as few ids as you like fill no log beyond its bound, in however many partitions."""
    log = LabelLog()
    for number in range(MOST_LABELS // 256 + 1):
        for partition in range(256):
            log.note(str(number), "y", Origin("t", partition, number, number), is_matched=False)
        assert len(log) <= MOST_LABELS
    assert len(log) == len(log.to_json()) > MOST_LABELS // 2


def test_what_is_asked_for_is_counted() -> None:
    """Forgotten ids are in the bytes in use and in the bound, and a logged label is in it whole."""
    config = EngineConfig(budget=20, auto_regenerate=False, preset="fixed")
    engine = EchoCoreset.from_config(config, generation=trained(config, 8))
    engine.update(as_samples(np.zeros((5, 8), np.float32)))
    before = engine.memory_bound()
    tracemalloc.start()
    try:
        for number in range(1_000):
            engine.change(Forget(f"gone {number}", 0, Origin("t", 0, number, 0)))
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown <= engine.memory_bound() - before <= FACTOR * grown
    engine.change(LateLabel("a", "y", 0, Origin("t", 0, 0, 0)))
    assert engine.memory_bound() - before > MOST_LABELS * MAX_TEXT_BYTES
