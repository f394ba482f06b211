"""All partitions of topics as the source of one run, which needs no consumer group."""

import logging
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer

from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.logs import Limits
from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.kafka.topic_source import TopicSource
from echo_stream.errors import SourceError
from echo_stream.run.report import RunStats
from echo_stream.samples.source import Batch, Skipped, skipped_between

logger = logging.getLogger(__name__)

_ADDED_TIMEOUT_MS = 2_000  # to ask where added partitions begin; counting waits for it


class KafkaSource(TopicSource):
    """Read all partitions of topics, from the configured start on, or from stored offsets.

    Partitions that are added to a topic while it is read are read from their beginnings.

    Parameters
    ----------
    config : KafkaConfig
    stats : RunStats, optional
        Receives the state of the thread that polls and of its queue.

    Raises
    ------
    SourceError
        If no broker answers, or a topic does not exist.
    ConfigError
        If the configured start is not in its log.
    """

    may_go_back = True

    def __init__(self, config: KafkaConfig, stats: RunStats | None = None) -> None:
        # Offsets are committed under a group's name, but nobody joins it.
        group = f"echo-stream.{'.'.join(sorted(set(config.topics)))}"
        super().__init__(config, stats or RunStats(), {"group_id": group})

    def _join(self, consumer: KafkaConsumer) -> None:
        """Assign all partitions by hand."""
        consumer.assign(self._partitions)

    def _first_offsets(self) -> Limits:
        """Return where a new stream begins."""
        return self._start()

    @property
    def has_fixed_start(self) -> bool:
        """Return False: logs lose their beginnings, and `latest` is another offset each time."""
        return False

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless the description is of the same topics of the same cluster.

        What the broker does not report, now or then, is taken to be the same. Other ids are
        accepted where the configuration says so.
        """
        self._identity.recognise(description, accept=self._config.accept_source)

    def seek(self, offsets: Mapping[str, int]) -> Skipped:
        """Continue from offsets. Partitions that they do not name begin at their beginning.

        Returns as gaps what of the logs as they are now has not been counted and is passed
        over: of a topic that is another one, all that lies before.

        Raises
        ------
        OffsetsError
            If an offset is not in its log, and the configuration does not accept that.
        """
        self._read_from(self._resume(offsets, self._partitions, accept=self._config.accept_source))
        counted = {
            name: offset
            for name, offset in offsets.items()
            if name.rpartition("/")[0] not in self._identity.other_topics
        }
        return skipped_between(counted, self.offsets())

    def next_batch(self, max_samples: int) -> Batch:
        """Do what `TopicSource.next_batch` does, of partitions that were added meanwhile too."""
        if not self._config.until_end:
            self._read_added()
        return super().next_batch(max_samples)

    def _read_added(self) -> None:
        """Read partitions that have been added to a topic, from their beginnings."""
        added = sorted(self._poller.available - self._offsets.following.keys())
        if not added:
            return
        try:
            first = self._logs.limits("earliest", added, _ADDED_TIMEOUT_MS)
            ends = self._logs.limits("latest", added, _ADDED_TIMEOUT_MS)
        except SourceError as err:
            logger.info("partitions were added, and are read later: %s", err)
            return
        self._offsets.add(first)
        self._partitions += added
        self._ends |= ends
        self._poller.read_more(first)
        names = ", ".join(map(partition_name, added))
        logger.warning("partitions were added, and are read from their beginnings: %s", names)
