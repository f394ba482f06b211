"""Where dead letters are kept: the option that names a topic, and what opens and reads it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.parameters import Size
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import option, together
from echo_stream.cli.output.output import say
from echo_stream.errors import ConfigError, SettingName

if TYPE_CHECKING:
    from echo_stream.connectors.dead_letters.limits import LetterLimits
    from echo_stream.connectors.dead_letters.message import DeadLetter
    from echo_stream.connectors.kafka.client_config import ClientConfig
    from echo_stream.connectors.runner.consumption import OpenDeadLetters

topic_option = option(
    "--dead-letter-topic",
    help="Topic for messages that are no samples; default: the folder dead-letters of --state.",
)
run_options = together(
    topic_option,
    option(
        "--dead-letter-bytes", type=Size(), default="512KiB",
        help="What is kept of a message: so much of its value, of its key, and of its headers.",
    ),
    option(
        "--dead-letters-total", type=Size(), default="256MiB",
        help="What the folder dead-letters may take; the oldest go. A topic has its retention.",
    ),
    option(
        "--retry-timeout", type=click.FloatRange(0), default=20.0, metavar="SECONDS",
        help="How long to try again while the disk is full or the dead-letter topic is away.",
    ),
)  # fmt: skip


def letter_limits(values: dict[str, Any]) -> "LetterLimits":
    """Return the limits that the options name."""
    from echo_stream.connectors.dead_letters.limits import LetterLimits  # noqa: PLC0415

    return LetterLimits(values["dead_letter_bytes"], values["dead_letters_total"])


def topic_opener(
    values: dict[str, Any], patience: Any, limits: "LetterLimits"
) -> "OpenDeadLetters | None":
    """Return what opens the dead-letter topic that the options name; None for the state's file.

    Raises
    ------
    ConfigError
        If it is one of the topics that are read: every dead letter would be read again.
    """
    topic = values["dead_letter_topic"]
    if topic is None:
        return None
    if values["bootstrap_servers"] is None:
        raise _needs_servers()
    from echo_stream.connectors.dead_letters.topic import DeadLetterTopic  # noqa: PLC0415
    from echo_stream.connectors.kafka.sink import ProduceConfig  # noqa: PLC0415

    if topic in values["topics"]:
        words = f" must be none of the topics that are read; got {topic!r}"
        raise ConfigError(SettingName("dead_letter_topic"), words)
    config = ProduceConfig(topic, values["bootstrap_servers"], client=values["client"])
    return lambda stats: DeadLetterTopic(config, patience, limits, stats)


def read_letters(
    *,
    state: Path | None,
    dead_letter_topic: str | None,
    bootstrap_servers: str | None,
    client: "ClientConfig",
) -> "Iterator[DeadLetter]":
    """Return the dead letters of a state or of a topic.

    Where both are set for all commands `run` sends to the topic, so that is meant, unless
    the state is named by a flag.
    """
    topic = dead_letter_topic
    if topic and state and is_flag("dead_letter_topic") and is_flag("state"):
        msg = "give either --state DIR or --dead-letter-topic NAME"
        raise click.UsageError(msg)
    if topic and not (state and is_flag("state")):
        return _of_topic(topic, bootstrap_servers, client)
    if state is None:
        msg = "give --state DIR, whose dead letters are meant, or --dead-letter-topic NAME"
        raise click.UsageError(msg)
    from echo_stream.connectors.dead_letters.files import num_gone, read_dead_letters  # noqa: PLC0415
    from echo_stream.connectors.storage.snapshots import check_state  # noqa: PLC0415

    check_state(state)
    if number := num_gone(state / "dead-letters"):
        say(f"the oldest {number} are gone, to keep to --dead-letters-total")
    return read_dead_letters(state / "dead-letters")


def _of_topic(topic: str, servers: str | None, client: "ClientConfig") -> "Iterator[DeadLetter]":
    """Return the dead letters of a topic."""
    if servers is None:
        raise _needs_servers()
    from echo_stream.connectors.dead_letters.topic import read_topic  # noqa: PLC0415
    from echo_stream.connectors.kafka.client import check_servers, check_topic  # noqa: PLC0415

    check_servers(servers)
    check_topic(topic)
    return read_topic(topic, servers, client)


def _needs_servers() -> click.UsageError:
    """Return the error for a topic of no broker."""
    return click.UsageError("--dead-letter-topic needs --bootstrap-servers HOST:PORT")
