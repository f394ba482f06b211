"""`echo-stream produce`: send a data set to a topic."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.shared import data_argument, option, servers_option
from echo_stream.cli.output.output import emit, progress

if TYPE_CHECKING:
    from echo_stream.connectors.codecs import SampleFormat
    from echo_stream.connectors.kafka.client_config import ClientConfig


@click.command(cls=Command)
@data_argument
@servers_option
@option("--topic", help="Topic to send to. It is created if it does not exist.")
@option(
    "--partitions", type=int, default=1, help="Number of partitions of a topic that is created."
)
@option("--rate", type=float, help="Messages per second. Default: as fast as possible.")
@option(
    "--message-format", type=click.Choice(["npy", "raw", "json", "arrow"]),
    help="Format of messages. Default: npy, or arrow with several samples per message.",
)  # fmt: skip
@option(
    "--samples-per-message",
    type=int,
    default=1,
    help="Number of samples in a message. More than one needs Arrow.",
)
@client_options
def produce(
    *,
    data: Path,
    bootstrap_servers: str | None,
    topic: str | None,
    partitions: int,
    rate: float | None,
    message_format: "SampleFormat | Literal['arrow'] | None",
    samples_per_message: int,
    client: "ClientConfig",
) -> None:
    """Send the samples of a file or a folder to a Kafka topic.

    DATA is .npz, .npy, .parquet, or a folder of .parquet files or of images. All of it is checked
    before the first sample is sent. A message holds one sample, or several in Arrow. The id in
    DATA, or else the row number, becomes the key and the header `id`; the label becomes the header
    `label`. Arrow has columns for both, and no key.

    \b
    Example:
      echo-stream produce train.npz --bootstrap-servers localhost:9092 --topic events
    """
    if bootstrap_servers is None or topic is None:
        msg = "give --bootstrap-servers HOST:PORT and --topic NAME"
        raise click.UsageError(msg)
    from echo_stream.connectors.files.data_files import file_source
    from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples

    config = ProduceConfig(
        topic=topic,
        bootstrap_servers=bootstrap_servers,
        message_format=message_format or ("npy" if samples_per_message == 1 else "arrow"),
        partitions=partitions,
        rate=rate,
        samples_per_message=samples_per_message,
        client=client,
    )
    source = file_source(data)
    source.check()
    with progress(f"sending to {topic}") as show:
        sent = produce_samples(
            source.batches(),
            config,
            on_sent=lambda done: show(done * samples_per_message, source.num_samples),
        )
    emit({"topic": topic, "messages": sent})
