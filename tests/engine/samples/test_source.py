"""The in-memory source: batches, offsets, and what it refuses."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream.errors import ShapeError, SourceError
from echo_stream.samples.source import ArraySource, Source
from echo_stream.samples.validation import SampleSchema, as_samples


def make_source(n: int) -> ArraySource:
    """Return a source of n samples, whose x, label and id are their row number."""
    rows = np.arange(n)
    return ArraySource(as_samples(rows[:, np.newaxis].astype(np.float32), y=rows))


def drain(source: Source, max_samples: int) -> list[int]:
    """Return the ids that the source has left."""
    ids: list[int] = []
    while not source.is_exhausted:
        samples = source.next_batch(max_samples).samples
        assert samples is not None
        assert 0 < len(samples) <= max_samples
        ids += samples.ids.tolist()
    return ids


@given(st.integers(0, 50), st.integers(1, 60))
def test_every_sample_comes_once_and_in_order(n: int, max_samples: int) -> None:
    """Whatever the size of the batches."""
    assert drain(make_source(n), max_samples) == list(range(n))


@given(st.integers(0, 30), st.integers(1, 40))
def test_offsets_resume_after_the_last_sample(n: int, max_samples: int) -> None:
    """A new source at the old one's offsets brings the rest; JSON holds the offsets."""
    source, resumed = make_source(n), make_source(n)
    source.next_batch(max_samples)
    resumed.seek(json.loads(json.dumps(source.offsets())))
    assert resumed.offsets() == source.offsets()
    assert drain(resumed, 7) == drain(source, 7)


def test_seek_goes_back() -> None:
    """A second pass reads the same samples again."""
    source = make_source(5)
    first = drain(source, 2)
    source.seek({"row": 0})
    assert drain(source, 3) == first


@pytest.mark.parametrize("row", [-1, 6])
def test_seek_outside_is_refused(row: int) -> None:
    """An offset of a longer source is an error, not an end."""
    source = make_source(5)
    with pytest.raises(SourceError, match=f"array has 5 samples; cannot resume at row {row}"):
        source.seek({"row": row})
    assert source.offsets() == {"row": 0}


def test_exhausted_source_brings_nothing() -> None:
    """After the last sample there is neither a sample nor a rejected one."""
    batch = make_source(0).next_batch(10)
    assert batch.samples is None
    assert not batch.rejected


def test_batches_are_views() -> None:
    """Handing out a batch copies nothing."""
    samples = as_samples(np.zeros((4, 2)))
    batch = ArraySource(samples).next_batch(2).samples
    assert batch is not None
    assert np.shares_memory(batch.x, samples.x)


def test_expect_refuses_another_schema() -> None:
    """A source of other samples than those counted so far is refused before it is read."""
    source = make_source(3)
    source.expect(SampleSchema((1,), "float32"))
    with pytest.raises(ShapeError, match="expected samples of shape"):
        source.expect(SampleSchema((1,), "uint8"))


def test_description_is_the_callers_or_the_kind() -> None:
    """Without a description a source still says what it is."""
    samples = as_samples(np.zeros((3, 1)))
    assert ArraySource(samples).describe() == {"kind": "array", "n": 3}
    named = ArraySource(samples, name="digits", description={"kind": "bundled"})
    assert (named.name, named.describe()) == ("digits", {"kind": "bundled"})


def test_commit_and_close_change_nothing() -> None:
    """The offsets of an array are stored nowhere else."""
    source = make_source(3)
    source.next_batch(2)
    source.commit(source.offsets())
    source.close()
    assert source.offsets() == {"row": 2}
