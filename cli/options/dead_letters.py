"""Options of dead letters, the invalid messages: where they are stored, and how much of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from echo_stream.cli.options.parameters import SIZE
from echo_stream.cli.options.shared import gathered, option
from echo_stream.errors import ConfigError, SettingName

if TYPE_CHECKING:
    from echo_stream.cli.options.source import SourceOptions
    from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
    from echo_stream.connectors.kafka.client_config import ClientConfig
    from echo_stream.connectors.process.retrying import RetryPolicy
    from echo_stream.connectors.runner.consumption import OpenDeadLetters

topic_option = option(
    "--dead-letter-topic",
    help="Topic for invalid messages. Default: the folder dead-letters in --state.",
)


@dataclass(frozen=True, kw_only=True)
class DeadLetterOptions:
    """Where a run stores invalid messages, and how much of them."""

    dead_letter_topic: str | None
    dead_letter_bytes: int
    dead_letters_total: int
    retry_timeout: float

    def retries(self) -> "RetryPolicy":
        """Return how long a failing disk or topic is tried again."""
        from echo_stream.connectors.process.retrying import RetryPolicy

        return RetryPolicy(self.retry_timeout)

    def limits(self) -> "DeadLetterLimits":
        """Return how much is stored."""
        from echo_stream.connectors.dead_letters.limits import DeadLetterLimits

        return DeadLetterLimits(self.dead_letter_bytes, self.dead_letters_total)

    def opener(self, source: "SourceOptions", client: "ClientConfig") -> "OpenDeadLetters | None":
        """Return what opens the dead-letter topic; None for the folder in the state.

        Raises
        ------
        ConfigError
            If it is one of the topics that are read: every dead letter would be read again.
        """
        if self.dead_letter_topic is None:
            return None
        servers = needed_servers(source.bootstrap_servers)
        from echo_stream.connectors.dead_letters.topic import DeadLetterTopic
        from echo_stream.connectors.kafka.client import check_topic
        from echo_stream.connectors.kafka.sink import ProduceConfig

        if self.dead_letter_topic in source.topics:
            words = f" must be none of the topics that are read; got {self.dead_letter_topic!r}"
            raise ConfigError(SettingName("dead_letter_topic"), words)
        check_topic(self.dead_letter_topic, "dead_letter_topic")
        config = ProduceConfig(self.dead_letter_topic, servers, client=client)
        return lambda stats: DeadLetterTopic(config, self.retries(), self.limits(), stats)


dead_letter_options = gathered(
    "dead_letters", DeadLetterOptions,
    topic_option,
    option("--dead-letter-bytes", type=SIZE, default="512KiB",
           help="How much is stored of an invalid message: this many bytes of its value, of its "
                "key and of its headers."),
    option("--dead-letters-total", type=SIZE, default="256MiB",
           help="Size of the folder dead-letters from which on the oldest are removed. A topic "
                "has its own retention."),
    option("--retry-timeout", type=click.FloatRange(0), default=20.0, metavar="SECONDS",
           help="How long to retry while the disk is full or the dead-letter topic is "
                "unavailable."),
)  # fmt: skip


def needed_servers(servers: str | None) -> str:
    """Return the brokers of the dead-letter topic, or say that they must be given."""
    if servers is None:
        msg = "--dead-letter-topic needs --bootstrap-servers HOST:PORT"
        raise click.UsageError(msg)
    return servers
