"""Records wait until they are decoded, and offsets move past those alone."""

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from echo_stream.connectors.kafka.offsets import Offsets
from echo_stream.connectors.kafka.queue import WaitingRecords
from echo_stream.connectors.kafka.records import Records
from tests.support.kafka.records import Record

PARTITIONS = [TopicPartition("events", number) for number in (0, 1)]
chunks = st.lists(
    st.tuples(st.sampled_from(PARTITIONS), st.lists(st.integers(0, 30), min_size=1, max_size=6))
)


@given(chunks, st.integers(0, 8), st.lists(st.integers(1, 4), max_size=30))
def test_each_record_is_taken_once_and_in_order(
    arriving: list[tuple[TopicPartition, list[int]]], begin: int, steps: list[int]
) -> None:
    """Whatever comes again is left out; what has not been taken is before no offset of ours."""
    offsets = Offsets(dict.fromkeys(PARTITIONS, begin))
    waiting = WaitingRecords(offsets)
    waiting.extend(
        (partition, Records.of(Record(None, None, [], offset, *partition) for offset in found))
        for partition, found in arriving
    )
    fresh: dict[TopicPartition, list[int]] = {partition: [] for partition in PARTITIONS}
    for partition, found in arriving:
        for offset in found:
            if offset >= max([begin, *(each + 1 for each in fresh[partition])]):
                fresh[partition].append(offset)
    for step in steps:
        upcoming = waiting.next(step)
        assert len(upcoming) <= step
        assert bool(upcoming) == bool(waiting)
        if upcoming:
            number = max(len(upcoming) - 1, 1)
            partition = TopicPartition(*upcoming[0].origin[:2])
            taken = upcoming[:number].offsets
            assert taken == fresh[partition][:number]
            waiting.take(number)
            del fresh[partition][:number]
            assert offsets.following[partition] == taken[-1] + 1
