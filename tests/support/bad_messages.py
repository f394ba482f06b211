"""Messages and samples that cannot be counted, and features that cannot take them."""

import numpy as np
from hypothesis import strategies as st

from echo_stream._common.typing import Array
from echo_stream.samples.samples import Origin, Samples
from echo_stream.samples.source import RejectedSample
from echo_stream.samples.validation import as_samples

N = 60
# Samples that begin so cannot be taken.
RAISES = 900.0
INFINITE = 800.0


def picky(x: Array) -> Array:
    """Return x, but raise for some samples and give infinity for others."""
    if (x[:, 0] == RAISES).any():
        msg = "no such pixel"
        raise ValueError(msg)
    return np.where(x == INFINITE, np.inf, x)


def samples_with(poison: dict[int, float]) -> Samples:
    """Return N samples, those of some rows being poison."""
    x = np.random.default_rng(5).random((N, 3)).astype(np.float32)
    for row, kind in poison.items():
        x[row] = kind
    return as_samples(x, y=[f"class {row % 3}" for row in range(N)])


binaries = st.none() | st.binary(max_size=40)


messages = st.builds(
    RejectedSample,
    reason=st.sampled_from(["decode", "schema", "nonfinite", "feature", "batch"]),
    message=st.text(max_size=20),
    key=binaries,
    value=binaries,
    headers=st.lists(st.tuples(st.text(max_size=5), binaries), max_size=3).map(tuple),
    origin=st.none()
    | st.builds(Origin, st.text(), st.integers(0), st.integers(0), st.integers(-1)),
    exception=st.sampled_from(["", "ValueError"]),
)


def dead_letter(value: bytes, offset: int = 0) -> RejectedSample:
    """Return a message that could not be decoded."""
    return RejectedSample("decode", "no sample", b"k", value, (), Origin("t", 0, offset, 5))
