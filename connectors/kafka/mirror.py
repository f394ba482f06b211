"""Positions committed to the consumer group, which only lag monitors read."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.kafka.poller import KafkaPoller

logger = logging.getLogger(__name__)

LAST_COMMIT_MS = 2_000  # closing waits no longer: only lag monitors need it


class Mirror:
    """Commit positions, soon. A failure is only logged: they are safe in the checkpoint.

    Parameters
    ----------
    poller : KafkaPoller
        In whose thread everything but `commit` happens.
    """

    def __init__(self, poller: KafkaPoller) -> None:
        self._poller = poller
        self._mirrored: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit: Any = None  # the client's future of that

    def commit(self, position: Mapping[str, int], partitions: Iterable[TopicPartition]) -> None:
        """Mirror the offsets of those partitions that a position names."""
        offsets = {
            each: OffsetAndMetadata(position[partition_name(each)], "", -1)
            for each in partitions
            if partition_name(each) in position
        }

        def mirror(consumer: KafkaConsumer) -> None:
            self._mirrored = offsets
            try:
                self._commit = consumer.commit_async(offsets, callback=_log_failure)
            except KafkaError as err:
                _log_failure(offsets, err)

        self._poller.post(mirror)

    def finish(self, consumer: KafkaConsumer) -> None:
        """Commit again, and wait, if the last commit is still under way.

        The client sends nothing more once it is closed; what is under way would be lost.
        """
        if self._commit is None or self._commit.is_done:
            return
        try:
            consumer.commit(self._mirrored, timeout_ms=LAST_COMMIT_MS)
        except KafkaError as err:
            _log_failure(self._mirrored, err)


def _log_failure(_offsets: object, result: object) -> None:
    """Log a commit that failed; the next one repeats it."""
    if isinstance(result, Exception):
        logger.info("mirroring offsets failed: %s", result)
