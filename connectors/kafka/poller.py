"""The one thread that owns a Kafka consumer: it polls, whatever else goes on."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from echo_stream.connectors.kafka._client_patches.metadata import known_partitions
from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.kafka.queue import RecordQueue
from echo_stream.run.report import RunStats

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Command = Callable[[KafkaConsumer], Any]

POLL_TIMEOUT_MS = 100  # a command waits at most this long
_PAUSED_TIMEOUT_MS = 20  # the same when paused, and how soon fetching resumes once there is room
POLL_RECORDS = 4_096
_PROBE_AFTER_S = 2.0  # without a record: then the broker is asked whether it is there
_PROBE_TIMEOUT_MS = 2_000
_RETRY_SECONDS = 1.0  # after an error that may pass
_LAST_COMMIT_MS = 2_000  # closing waits no longer: only lag monitors need it
_CLOSE_SECONDS = 30.0  # for the thread to come back from the client


class KafkaPoller:
    """Poll a consumer into a queue, in a thread that makes all calls on it.

    While the queue is full all partitions are paused and polling goes on, so that the
    consumer stays a member of its group and notices what happens. Fetching goes on when
    the queue is half empty. Polling begins with `begin`.

    Parameters
    ----------
    make : callable
        Makes the consumer; called in the thread.
    queue : RecordQueue
    stats : RunStats
    paused : set of TopicPartition, optional
        Partitions that stay paused until `begin` names them; others may add to it.

    Raises
    ------
    KafkaError
        If the consumer cannot be made; there is no thread then.
    """

    def __init__(
        self,
        make: Callable[[], KafkaConsumer],
        records: RecordQueue,
        stats: RunStats,
        paused: set[TopicPartition] | None = None,
    ) -> None:
        self._records, self._stats = records, stats
        self._held_back = set() if paused is None else paused
        self._commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
        self._is_polling = self._is_closed = False
        self._is_paused = False
        self._next_probe = 0.0
        self.positions: dict[TopicPartition, int] = {}
        self.available: frozenset[TopicPartition] = frozenset()  # of the topics that are read
        made: Future[None] = Future()
        # A daemon: the end of the process does not wait for a broker.
        self._thread = threading.Thread(
            target=self._run, args=(make, made), name="echo-stream-poller", daemon=True
        )
        self._thread.start()
        made.result()

    def call(self, command: Callable[[KafkaConsumer], Result]) -> Result:
        """Return what a command does with the consumer; its errors are raised here."""
        return self._put(command).result()

    def post(self, command: Callable[[KafkaConsumer], object]) -> None:
        """Queue a command that reports its own errors."""
        self._put(command)

    def begin(self, positions: dict[TopicPartition, int]) -> None:
        """Read on from these offsets, and forget what waits from others."""

        def seek(consumer: KafkaConsumer) -> None:
            self._records.clear()
            for partition, offset in positions.items():
                consumer.seek(partition, offset)
            self._held_back.difference_update(positions)
            consumer.resume(*positions)
            self.positions = dict(positions)
            self._stats.last_answer = time.monotonic()
            self._is_polling = True

        self.call(seek)

    def read_more(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions as well, from these offsets; only where all are assigned by us."""

        def assign(consumer: KafkaConsumer) -> None:
            consumer.assign([*consumer.assignment(), *positions])
            for partition, offset in positions.items():
                consumer.seek(partition, offset)

        self.call(assign)

    def silent_seconds(self) -> float:
        """Return for how many seconds no broker has answered."""
        return time.monotonic() - self._stats.last_answer

    def close(self, last: Command) -> None:
        """Run a last command, close the consumer, and end the thread; a second call does nothing.

        A thread that does not come back from the client is left behind, with a warning.

        Raises
        ------
        KafkaError
            Of the two; the thread has ended all the same.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._put(last).result(_CLOSE_SECONDS)
            self._put(lambda consumer: consumer.close()).result(_CLOSE_SECONDS)
        except TimeoutError:
            logger.warning(
                "the polling thread did not stop within %.0f s; exiting without it", _CLOSE_SECONDS
            )
        finally:
            self.post(_end)
            self._thread.join(_CLOSE_SECONDS)

    def _put(self, command: Callable[[KafkaConsumer], Result]) -> "Future[Result]":
        """Queue a command."""
        result: Future[Result] = Future()
        self._commands.put((command, result))
        return result

    def _run(self, make: Callable[[], KafkaConsumer], made: "Future[None]") -> None:
        """Make the consumer, and serve until `_End` is raised."""
        try:
            consumer = make()
        except Exception as err:
            made.set_exception(err)
            return
        made.set_result(None)
        try:
            while True:
                self._serve(consumer)
                if self._is_polling:
                    self._poll(consumer)
        except _End:
            pass

    def _serve(self, consumer: KafkaConsumer) -> None:
        """Run the commands that wait; where nothing is polled, wait for one."""
        while not (self._is_polling and self._commands.empty()):
            command, result = self._commands.get()
            try:
                result.set_result(command(consumer))
            except _End:
                raise
            except Exception as err:
                result.set_exception(err)

    def _poll(self, consumer: KafkaConsumer) -> None:
        """Poll once, and hand over what came."""
        self._balance(consumer)
        limit = max(min(POLL_RECORDS, self._records.free_records), 1)
        try:
            timeout_ms = _PAUSED_TIMEOUT_MS if self._is_paused else POLL_TIMEOUT_MS
            polled = consumer.poll(timeout_ms, limit)
            if polled:
                self._stats.last_answer = time.monotonic()
                self._records.put(polled)
            self._look_around(consumer)
        except KafkaError as err:
            self._handle(err)
        except Exception as err:
            self._fail(err)
        before, now = self._stats.last_poll, time.monotonic()
        self._stats.polls += 1
        self._stats.poll_interval = now - before if before else 0.0
        self._stats.last_poll = now

    def _balance(self, consumer: KafkaConsumer) -> None:
        """Pause what is assigned while the queue is full; resume it once there is room."""
        assigned = consumer.assignment()
        if self._records.is_full or (self._is_paused and not self._records.has_room):
            # Again each time: partitions that were assigned meanwhile are not paused yet.
            consumer.pause(*assigned - consumer.paused())
            self._is_paused = True
        elif self._is_paused:
            consumer.resume(*assigned - self._held_back)
            self._is_paused = False
        self._stats.paused_partitions = len(assigned) if self._is_paused else 0

    def _look_around(self, consumer: KafkaConsumer) -> None:
        """Note positions and ends; probe a broker that has sent nothing for a while."""
        assigned = sorted(consumer.assignment())
        ends = {partition: consumer.highwater(partition) for partition in assigned}
        now = time.monotonic()
        if now >= max(self._next_probe, self._stats.last_answer + _PROBE_AFTER_S):
            self._next_probe = now + _PROBE_AFTER_S
            ends = dict(consumer.end_offsets(assigned, timeout_ms=_PROBE_TIMEOUT_MS))
            self._stats.last_answer = time.monotonic()
        found = {partition_name(each): end for each, end in ends.items() if end is not None}
        self._stats.ends = {**self._stats.ends, **found}
        # After the records before them have been put: where the queue is empty they were taken.
        self.positions = {partition: consumer.position(partition) for partition in assigned}
        self.available = known_partitions(consumer, {each.topic for each in assigned})

    def _handle(self, err: KafkaError) -> None:
        """Retry after a retriable error; raise others where records are taken."""
        if not err.retriable:
            self._fail(err)
            return
        logger.info("polling continues after an error: %s", err)
        time.sleep(_RETRY_SECONDS)

    def _fail(self, err: Exception) -> None:
        """Stop polling, and raise the error where records are taken."""
        self._is_polling = False
        self._records.fail(err)


class _End(Exception):
    """The thread is to end."""


def _end(_: KafkaConsumer) -> None:
    """End the thread."""
    raise _End


class OffsetCommitter:
    """Commit offsets to the consumer group, for lag monitors alone.

    A failure is only logged: offsets are stored in checkpoints.

    Parameters
    ----------
    poller : KafkaPoller
        Its thread makes the calls.
    """

    def __init__(self, poller: KafkaPoller) -> None:
        self._poller = poller
        self._offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit: Any = None  # the client's future of that

    def commit(self, offsets: Mapping[str, int], partitions: Iterable[TopicPartition]) -> None:
        """Commit the offsets of those partitions, soon."""
        committed = {
            each: OffsetAndMetadata(offsets[partition_name(each)], "", -1)
            for each in partitions
            if partition_name(each) in offsets
        }

        def commit(consumer: KafkaConsumer) -> None:
            self._offsets = committed
            try:
                self._commit = consumer.commit_async(committed, callback=_log_failure)
            except KafkaError as err:
                _log_failure(committed, err)

        self._poller.post(commit)

    def finish(self, consumer: KafkaConsumer) -> None:
        """Commit again, and wait, if the last commit is still under way.

        The client sends nothing more once it is closed; what is under way would be lost.
        """
        if self._commit is None or self._commit.is_done:
            return
        try:
            consumer.commit(self._offsets, timeout_ms=_LAST_COMMIT_MS)
        except KafkaError as err:
            _log_failure(self._offsets, err)


def _log_failure(_offsets: object, result: object) -> None:
    """Log a commit that failed; the next one repeats it."""
    if isinstance(result, Exception):
        logger.info("committing offsets to the group failed: %s", result)
