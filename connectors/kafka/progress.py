"""What has been read of each partition, for those who watch a run."""

from collections import Counter
from collections.abc import Iterable

from kafka import TopicPartition

from echo_stream.connectors.kafka.records import Records
from echo_stream.run.observer import PartitionProgress


class ReadRecords:
    """Records read by this process: how many, how large, and when the newest was written."""

    def __init__(self) -> None:
        self._records: Counter[TopicPartition] = Counter()
        self._bytes: Counter[TopicPartition] = Counter()
        self._newest_ms: dict[TopicPartition, int] = {}

    def take(self, chunks: Iterable[tuple[TopicPartition, Records]]) -> None:
        """Take in records of some partitions, of which no part is empty. O(records)."""
        for partition, records in chunks:
            self._records[partition] += len(records)
            self._bytes[partition] += records.content_bytes
            self._newest_ms[partition] = records.origins[-1].timestamp

    def progress(self, partition: TopicPartition, end: int | None) -> PartitionProgress:
        """Return the progress of a partition whose log ends before an offset."""
        return PartitionProgress(
            end, self._newest_ms.get(partition), self._records[partition], self._bytes[partition]
        )
