"""Options of the source of a run: topics or a file, and how messages are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.parameters import DURATION, SHAPE, START
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    find_local_modules,
    gathered,
    option,
    servers_option,
)
from echo_stream.config import TextLimits

if TYPE_CHECKING:
    from echo_stream.connectors.codecs import CodecConfig
    from echo_stream.connectors.files.tables import FileColumns
    from echo_stream.connectors.kafka.client_config import ClientConfig
    from echo_stream.connectors.kafka.config import Start
    from echo_stream.connectors.kafka.decoding import OnTombstone
    from echo_stream.connectors.kafka.group_source import GroupSource
    from echo_stream.encoders.encoder import Encoder
    from echo_stream.run.report import RunStats
    from echo_stream.samples.source import Source


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Which topics a run reads, from where, and which messages it takes."""

    topics: tuple[str, ...]
    bootstrap_servers: str | None
    start: "Start"
    accept_source: bool
    on_tombstone: "OnTombstone"
    group: str | None
    until_end: bool
    max_batch_bytes: int
    queue_bytes: int
    queue_records: int
    broker_timeout: float | None

    def opener(
        self,
        data: Path | None,
        codec: "CodecConfig",
        client: "ClientConfig",
        notes: Path,
        encoder: "Encoder | None",
        columns: "Callable[[], FileColumns]",
    ) -> "Callable[[RunStats], Source | GroupSource]":
        """Return what opens the source that the options name.

        Parameters
        ----------
        data : Path or None
            A file or folder to read instead of topics.
        codec : CodecConfig
        client : ClientConfig
        notes : Path
            Folder of the decoding process's notes.
        encoder : Encoder or None
            Makes the vectors of messages.
        columns : callable
            Returns which columns of a file are read.
        """
        # Topics that are set for all commands give way to DATA, which is asked for here.
        topics = self.topics if data is None or is_flag("topics") else ()
        if (data is None) == (not topics):
            msg = "give either DATA or --topic (with --bootstrap-servers)"
            raise click.UsageError(msg)
        if data is not None:
            from echo_stream.connectors.files.data_files import file_source

            limits = TextLimits(codec.max_text_bytes, codec.max_payload_bytes)
            read = columns()
            return lambda _: file_source(data, limits=limits, columns=read)
        if self.bootstrap_servers is None:
            msg = "--topic needs --bootstrap-servers HOST:PORT"
            raise click.UsageError(msg)
        from echo_stream.connectors.kafka.config import KafkaConfig

        config = KafkaConfig(
            topics,
            self.bootstrap_servers,
            codec,
            self.start,
            until_end=self.until_end,
            on_tombstone=self.on_tombstone,
            accept_source=self.accept_source,
            client=client,
            max_batch_bytes=self.max_batch_bytes,
            queue_bytes=self.queue_bytes,
            queue_records=self.queue_records,
            broker_timeout=self.broker_timeout,
            notes=notes,
            encoder=encoder,
        )
        group = self.group
        if group is None:
            from echo_stream.connectors.kafka.source import KafkaSource

            return lambda stats: KafkaSource(config, stats)
        from echo_stream.connectors.kafka.group_source import GroupSource

        return lambda stats: GroupSource(config, group, stats)


source_options = gathered(
    "source", SourceOptions,
    option("--topic", "topics", multiple=True, help="Topic to read. May be given several times."),
    servers_option,
    option("--start", type=START, default="earliest",
           metavar="earliest|latest|TIME|TOPIC:PARTITION:OFFSET,...",
           help="Where a new state begins to read. A time is ISO 8601 (UTC) or "
                "milliseconds since 1970."),
    option("--accept-source", is_flag=True,
           help="Continue although a topic was created again, the cluster is another one, or "
                "offsets are gone."),
    option("--on-tombstone", type=click.Choice(["forget", "ignore"]), default="forget",
           help="What a message without a value does: forget removes the samples with its key, "
                "ignore does nothing."),
    option("--group", metavar="NAME",
           help="Name of a consumer group. Its processes share the topics and the state."),
    option("--until-end", is_flag=True, help="Stop where the topics ended when the run began."),
    option("--max-batch-bytes", type=int, default=64 * 1024**2,
           help="Reject batches of messages that are larger after decompression, each as one "
                "dead letter."),
    option("--queue-bytes", type=int, default=64 * 1024**2,
           help="Pause fetching while this many bytes of messages wait to be counted."),
    option("--queue-records", type=int, default=50_000,
           help="Pause fetching while this many messages wait to be counted."),
    option("--broker-timeout", type=DURATION, default="5m",
           help="Stop with a checkpoint and exit code 3 when no broker has answered for so long. "
                "With never, keep waiting."),
)  # fmt: skip


def _codec(*, codec: str | None, **others: Any) -> "CodecConfig":
    """Return how messages are decoded."""
    from echo_stream.connectors.codecs import CodecConfig, load_codec

    loaded = None if codec is None else load_codec(codec)
    return CodecConfig(codec=loaded, **others)


codec_options = gathered(
    "codec", _codec,
    option("--message-format", default="auto",
           type=click.Choice(["auto", "npy", "raw", "json", "arrow", "image", "text"]),
           help="Format of messages without a content-type header."),
    option("--dtype",
           help="Data type, such as float32, of JSON messages and of raw messages without a "
                "dtype header."),
    option("--shape", type=SHAPE,
           help="Shape of the samples in raw messages, such as 28,28. With --dtype: of all "
                "samples."),
    option("--codec", metavar="MODULE:FACTORY", callback=find_local_modules,
           help="Factory of an object whose decode(value, headers, key) reads all messages."),
    option("--max-message-bytes", type=int, default=16 * 1024**2,
           help="Reject messages that are larger, before or after decompression."),
    option("--max-elements", type=int, default=16_777_216,
           help="Reject messages whose samples have more values in total."),
    option("--max-pixels", type=int, default=16_777_216,
           help="Reject images with more pixels."),
)  # fmt: skip
