"""Offsets only grow, and what was passed over is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from echo_stream.connectors.kafka.offsets import Offsets, resume_offsets
from echo_stream.errors import OffsetsError

A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
records = st.lists(st.tuples(st.sampled_from([A0, B0]), st.integers(0, 40)))


@given(records, st.integers(0, 20), st.integers(0, 50))
def test_every_offset_is_accounted_for(
    arriving: list[tuple[TopicPartition, int]], begin: int, cut: int
) -> None:
    """Taken, passed over as a gap, or dropped: nothing is counted twice, whatever arrives."""
    offsets = Offsets({A0: begin, B0: begin})
    taken, gaps, replayed = [], 0, 0
    for index, record in enumerate(arriving):
        partition, offset = record
        if offsets.fresh(partition, [offset]):
            offsets.move_past(partition, offset, 1)
            taken.append(record)
        if index == cut:
            gaps, replayed, _ = offsets.take_skipped()
    skipped = offsets.take_skipped()
    assert len(set(taken)) == len(taken) == len(arriving) - replayed - skipped.replayed
    for partition, following in offsets.following.items():
        of_it = [offset for each, offset in taken if each == partition]
        assert of_it == sorted(of_it)
        assert following == (of_it[-1] + 1 if of_it else begin)
    passed = sum(following - begin for following in offsets.following.values())
    assert passed == len(taken) + gaps + skipped.gaps


def resume(offsets: dict[str, int], *, same: str = "", accept: bool) -> dict[TopicPartition, int]:
    """Go on in two partitions that hold offsets 5 to 8, and one that holds none."""
    first, last = {A0: 5, A1: 5, B0: 0}, {A0: 9, A1: 9, B0: 0}
    return resume_offsets(offsets, first, last, same_topics=same, accept=accept)


@given(st.integers(5, 9), st.integers(5, 9), st.booleans())
def test_offsets_in_their_logs_are_taken_as_they_are(one: int, two: int, accept: bool) -> None:
    """The end of a log is in it; a partition that is not named begins where its log does."""
    assert resume({"a/0": one, "a/1": two}, accept=accept) == {A0: one, A1: two, B0: 0}


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        ({"a/0": 4}, "a/0 is counted up to offset 4, but its log now begins at 5 and ends before"),
        ({"a/0": 10}, "ends before 9; give accept_source to continue from 5; missing offsets"),
        ({"b/0": 1}, "begins at 0 and ends before 0; give accept_source to continue from 0"),
        ({"a/2": 7}, "a/2 is counted up to offset 7, but it is not there any more; give"),
        ({"a/0": 1, "a/1": 1, "b/9": 1}, "and 2 more partitions likewise"),
    ],
)
def test_offsets_that_are_gone_are_refused(offsets: dict[str, int], words: str) -> None:
    """The message names the partition, both offsets, and the flag that goes on."""
    with pytest.raises(OffsetsError, match=words):
        resume(offsets, accept=False)


def test_accepted_it_goes_on_in_what_is_there(caplog: pytest.LogCaptureFixture) -> None:
    """From the beginning, but from the end of a log that has lost its end; it says so."""
    gone = {"a/0": 2, "a/1": 12, "a/2": 7}
    assert resume(gone, accept=True) == {A0: 5, A1: 5, B0: 0}
    assert resume(gone, same="a", accept=True) == {A0: 5, A1: 9, B0: 0}
    assert "a/2 is counted up to offset 7, but it is not there any more; going on without it" in (
        caplog.text
    )
