"""What the broker says of topics: their partitions, and where the logs of these begin and end."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Literal

from kafka import KafkaConsumer, TopicPartition

from echo_stream.connectors.kafka.client import unknown_topic
from echo_stream.connectors.kafka.config import Start, check_start
from echo_stream.connectors.kafka.poller import KafkaPoller
from echo_stream.errors import SourceError

Limits = dict[TopicPartition, int]
"""An offset of each partition."""


class Logs:
    """The logs of some topics, asked for through the thread that owns the client.

    Parameters
    ----------
    poller : KafkaPoller
    topics : sequence of str
    servers : str
    errors : callable
        Returns the guard that turns the client's errors into ours, given what is done.
    """

    def __init__(
        self,
        poller: KafkaPoller,
        topics: Sequence[str],
        servers: str,
        errors: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._poller, self._errors = poller, errors
        self._topics, self._servers = topics, servers

    def partitions(self) -> list[TopicPartition]:
        """Return all partitions of all topics.

        Raises
        ------
        SourceError
            If a topic does not exist.
        """
        found = []
        for topic in self._topics:
            with self._errors("look up the topic"):
                numbers = self._poller.call(
                    partial(KafkaConsumer.partitions_for_topic, topic=topic)
                )
            if not numbers:
                raise self._unknown(topic)
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        return found

    def limits(
        self,
        which: Literal["earliest", "latest"],
        partitions: Collection[TopicPartition],
        timeout_ms: int | None = None,
    ) -> Limits:
        """Return the first or the next offset of each partition, as the broker says it now.

        By default the client waits for it as long as for any answer.
        """
        is_first = which == "earliest"
        ask = KafkaConsumer.beginning_offsets if is_first else KafkaConsumer.end_offsets
        with self._errors("ask for offsets"):
            return dict(
                self._poller.call(lambda consumer: ask(consumer, partitions, timeout_ms=timeout_ms))
            )

    def start(self, start: Start, ends: Mapping[TopicPartition, int]) -> Limits:
        """Return the offsets at which a new stream begins, of partitions with these ends.

        Raises
        ------
        ConfigError
            If an offset is not in its log.
        """
        if start == "latest":
            return dict(ends)
        if isinstance(start, int):
            return self._since(start, ends)
        first = self.limits("earliest", ends.keys())
        if isinstance(start, Mapping):
            check_start(start, first, ends)
            first |= {TopicPartition(*partition): offset for partition, offset in start.items()}
        return first

    def _since(self, time_ms: int, ends: Mapping[TopicPartition, int]) -> Limits:
        """Return the offset of each partition's first message since a time, or its end."""
        with self._errors("ask for the offsets of a time"):
            times = dict.fromkeys(ends, time_ms)
            found = self._poller.call(lambda consumer: consumer.offsets_for_times(times))
        return {
            partition: end if found[partition] is None else found[partition].offset
            for partition, end in ends.items()
        }

    def _unknown(self, topic: str) -> SourceError:
        """Return the error for a topic that does not exist."""
        with self._errors("list the topics"):
            known = self._poller.call(KafkaConsumer.topics)
        return unknown_topic(topic, self._servers, known)
