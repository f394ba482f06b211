"""A topic of made-up samples, and the two ways of reading it that are compared."""

import contextlib
import gc
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from benchmarks.streams import ClusterStream
from echo_stream.config import EngineConfig
from echo_stream.connectors.app.consumer import consume
from echo_stream.connectors.codecs import CodecConfig
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.config import CLIENT_OPTIONS, KafkaConfig
from echo_stream.connectors.kafka.offsets import partition_name
from echo_stream.connectors.kafka.poller import POLL_RECORDS, POLL_TIMEOUT_MS
from echo_stream.connectors.kafka.sink import Message, ProduceConfig, produce_messages
from echo_stream.connectors.kafka.source import KafkaSource
from echo_stream.connectors.runner.consumption import Consumption
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.storage.checkpoints import undamaged_checkpoints
from echo_stream.connectors.storage.engine_files import write_generation
from echo_stream.generation.generation import train_generation
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunReport
from echo_stream.samples.source import Batch, SampleStream

PARTITIONS = 4
TRAINING_SAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that holds raw float32 samples of one size, each with an id of its own.

    Attributes
    ----------
    name, servers : str
    dim, partitions : int
    settled : int
        Messages that have been counted before anything is measured.
    messages : int
        Those after them.
    """

    name: str
    servers: str
    dim: int
    partitions: int
    settled: int
    messages: int

    @classmethod
    def new(cls, servers: str, dim: int, settled: int, messages: int) -> "Topic":
        """Return a topic that is not there yet."""
        return cls(f"benchmark-{uuid.uuid4().hex[:8]}", servers, dim, PARTITIONS, settled, messages)

    @property
    def size_bytes(self) -> int:
        """Bytes of a message's value."""
        return 4 * self.dim


class Watch(RunMonitor):
    """A run's monitor that notes when each batch was counted; seconds of the clock."""

    def __init__(self, on_begin: Callable[[], object]) -> None:
        super().__init__()
        self._on_begin = on_begin
        self.began = 0.0
        self.times: list[float] = []

    @property
    def seconds(self) -> float:
        """Seconds from the first poll to the last sample that was counted."""
        return self.times[-1] - self.began

    def batch(self, report: RunReport, batch: Batch) -> None:
        """Note the time of a batch that brought samples."""
        super().batch(report, batch)
        if batch.num_samples:
            self.times.append(time.perf_counter())

    def watch(self, source: SampleStream) -> None:
        """Note when reading begins."""
        super().watch(source)
        self._on_begin()
        self.began = time.perf_counter()


@contextlib.contextmanager
def filled(topic: Topic, seed: int) -> Iterator[Topic]:
    """Yield a new topic once it holds its messages, and delete it."""
    config = ProduceConfig(topic.name, topic.servers, partitions=topic.partitions)
    produce_messages(made(topic, seed), config)
    try:
        yield topic
    finally:
        with KafkaAdminClient(bootstrap_servers=topic.servers) as admin:
            admin.delete_topics([topic.name])


def made(topic: Topic, seed: int) -> Iterator[Message]:
    """Yield the messages of a topic: the id is the key, and there are no headers."""
    row = 0
    for x, _ in ClusterStream(topic.dim, seed).batches(0, topic.settled + topic.messages):
        for sample in x:
            yield b"sample-%d" % row, sample.tobytes(), ()
            row += 1


def trained(folder: Path, dim: int, budget: int, seed: int) -> Path:
    """Train a generation of the default preset, and return its folder."""
    x = next(ClusterStream(dim, seed).batches(0, TRAINING_SAMPLES))[0]
    generation = train_generation(
        x, EngineConfig(budget, seed=seed), expected_n=len(x), device=torch.device("cpu")
    )
    return write_generation(generation, folder)


@contextlib.contextmanager
def settled(topic: Topic, budget: int, seed: int) -> Iterator[tuple[Path, float]]:
    """Fill a topic, and count its first samples with a generation that was trained before.

    Yields the state, and the messages a second of that.
    """
    with tempfile.TemporaryDirectory() as folder, filled(topic, seed):
        generation, state = trained(Path(folder), topic.dim, budget, seed), Path(folder, "state")
        config = RunConfig(max_samples=topic.settled, last_snapshot=False)
        watch = consumed(topic, state, budget, config, generation=generation)
        yield state, topic.settled / watch.seconds


def polled(topic: Topic, state: Path) -> float:
    """Return the messages a second of a loop that polls on after a state, and does no more.

    By the client as it is, with the options of a run.
    In a process of its own: a run sets the collector and malloc of its process for itself.
    """
    gc.freeze()  # with a process to itself it would not have the modules that are imported here
    offsets = next(undamaged_checkpoints(state))[1]["offsets"]
    options = ClientConfig().for_client(KafkaConsumer, topic.servers, **CLIENT_OPTIONS)
    del options["kafka_client"]  # ours, which reads sockets in larger pieces
    consumer = KafkaConsumer(**options)
    try:
        consumer.assign([TopicPartition(topic.name, each) for each in range(topic.partitions)])
        for partition in consumer.assignment():
            consumer.seek(partition, offsets[partition_name(partition)])
        began, missing = time.perf_counter(), topic.messages
        while missing:
            found = consumer.poll(POLL_TIMEOUT_MS, POLL_RECORDS)
            missing -= sum(map(len, found.values()))
        return topic.messages / (time.perf_counter() - began)
    finally:
        consumer.close()


def ran(topic: Topic, state: Path, budget: int) -> float:
    """Return the messages a second that a run counts which goes on with a copy of a state."""
    config = RunConfig(last_snapshot=False)
    return topic.messages / consumed_on(topic, state, budget, config).seconds


def consumed_on(
    topic: Topic, state: Path, budget: int, config: RunConfig, on_begin: Callable[[], object] = int
) -> Watch:
    """Run from a state to the end of a topic, and leave the state as it was."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(state, Path(folder, "state"))
        return consumed(topic, copy, budget, config, on_begin=on_begin)


def consumed(
    topic: Topic,
    state: Path,
    budget: int,
    config: RunConfig,
    *,
    generation: Path | None = None,
    on_begin: Callable[[], object] = int,
) -> Watch:
    """Run over a topic, and return what the run's monitor has noted."""
    codec = CodecConfig("raw", "float32", (topic.dim,))
    source = KafkaConfig((topic.name,), topic.servers, codec, until_end=True)
    watch = Watch(on_begin)
    report = consume(
        Consumption(
            lambda: KafkaSource(source, watch.stats),
            state,
            EngineConfig(budget),
            config,
            generation=generation,
            device="cpu",
            monitor=watch,
        )
    )
    assert report.samples == (topic.messages if generation is None else topic.settled)
    return watch
