"""`echo-stream dlq`: the dead letters of a state or a topic, which are the invalid messages."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Group
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.dead_letters import needed_servers, topic_option
from echo_stream.cli.options.parameters import PLACE
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    format_option,
    gathered,
    option,
    servers_option,
    state_option,
)
from echo_stream.cli.output.output import emit, emit_rows, say

if TYPE_CHECKING:
    from echo_stream.connectors.dead_letters.message import DeadLetter
    from echo_stream.connectors.kafka.client_config import ClientConfig


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where dead letters are stored: a state or a topic."""

    state: Path | None
    dead_letter_topic: str | None
    bootstrap_servers: str | None

    def read(self, client: "ClientConfig") -> "Iterator[DeadLetter]":
        """Return the dead letters.

        Where both are set for all commands `run` sends to the topic, so that is meant, unless
        the state is named by a flag.
        """
        topic, state = self.dead_letter_topic, self.state
        if topic and state and is_flag("dead_letter_topic") and is_flag("state"):
            msg = "give either --state DIR or --dead-letter-topic NAME"
            raise click.UsageError(msg)
        if topic and not (state and is_flag("state")):
            return self._read_topic(topic, client)
        if state is None:
            msg = "give --state DIR or --dead-letter-topic NAME"
            raise click.UsageError(msg)
        from echo_stream.connectors.dead_letters.files import num_removed, read_dead_letters
        from echo_stream.connectors.storage.snapshots import check_state

        check_state(state)
        if number := num_removed(state / "dead-letters"):
            say(f"the oldest {number} were removed, to keep to --dead-letters-total")
        return read_dead_letters(state / "dead-letters")

    def _read_topic(self, topic: str, client: "ClientConfig") -> "Iterator[DeadLetter]":
        """Return the dead letters of a topic."""
        servers = needed_servers(self.bootstrap_servers)
        from echo_stream.connectors.dead_letters.topic import read_topic
        from echo_stream.connectors.kafka.client import check_servers, check_topic

        check_servers(servers)
        check_topic(topic, "dead_letter_topic")
        return read_topic(topic, servers, client)


_store_options = gathered("store", StoreOptions, state_option, topic_option, servers_option)


@click.group(cls=Group)
def dlq() -> None:
    """List, show and replay dead letters, which are invalid messages that a run has stored.

    \b
    Example:
      echo-stream dlq list --state DIR
    """


@dlq.command("list")
@_store_options
@client_options
@format_option
def list_(*, store: StoreOptions, client: "ClientConfig", output_format: str) -> None:
    """List dead letters in the order in which they were stored.

    \b
    Example:
      echo-stream dlq list --state DIR --format table
    """
    rows, invalid = [], []
    for dead_letter in store.read(client):
        if dead_letter.sample is None:
            invalid.append(dead_letter.place)
        else:
            rows.append(_row(dead_letter))
    if invalid:
        say(f"skipped unreadable entries: {', '.join(map(str, invalid))}")
    emit_rows(rows, output_format)


@dlq.command()
@click.argument("place", type=PLACE)
@_store_options
@client_options
def show(*, place: int | str, store: StoreOptions, client: "ClientConfig") -> None:
    """Show the dead letter at a PLACE that `list` has printed.

    A PLACE is a number, or PARTITION:OFFSET in a topic. Bytes that are not UTF-8 are shown in
    base64.

    \b
    Example:
      echo-stream dlq show 1 --state DIR
    """
    dead_letter = next(
        (dead_letter for dead_letter in store.read(client) if dead_letter.place == place), None
    )
    if dead_letter is None or dead_letter.sample is None:
        from echo_stream.connectors.dead_letters.replay import no_dead_letter

        raise no_dead_letter(place)
    message = dead_letter.sample
    emit(
        {
            **_row(dead_letter),
            "key": _as_text(message.key),
            "value": _as_text(message.value),
            "headers": [[name, _as_text(value)] for name, value in message.headers],
        }
    )


@dlq.command()
@click.argument("places", metavar="[PLACE]...", type=PLACE, nargs=-1)
@_store_options
@client_options
@option("--topic", help="Topic to send to. It is created if it does not exist.")
@option("--max-attempts", type=click.IntRange(1), default=3,
        help="Do not send messages that were sent more often than this.")  # fmt: skip
def replay(
    *,
    places: tuple[int | str, ...],
    store: StoreOptions,
    client: "ClientConfig",
    topic: str | None,
    max_attempts: int,
) -> None:
    """Send dead letters to a topic: those at the given PLACEs, or all.

    Key, value and headers are the original bytes; one more header counts the attempts. A message
    that a crash has stored twice is sent once. If only a part of a message was stored, it is read
    from its own topic, and not sent if it is no longer there. Dead letters are not removed, so
    that a second replay sends them again.

    \b
    Example:
      echo-stream dlq replay --state DIR --bootstrap-servers localhost:9092 --topic events
    """
    dead_letters = store.read(client)
    servers = store.bootstrap_servers
    if servers is None or topic is None:
        msg = "give --bootstrap-servers HOST:PORT and --topic NAME"
        raise click.UsageError(msg)
    if topic == store.dead_letter_topic:
        msg = f"--topic must differ from --dead-letter-topic; got {topic!r}"
        raise click.UsageError(msg)
    from echo_stream.connectors.dead_letters.replay import replayable
    from echo_stream.connectors.dead_letters.topic import read_originals
    from echo_stream.connectors.kafka.sink import ProduceConfig, produce_messages

    config = ProduceConfig(topic, servers, client=client)
    chosen = replayable(
        dead_letters,
        places,
        max_attempts=max_attempts,
        originals=lambda parts: read_originals(parts, servers, client),
    )
    if chosen.num_cut:
        say(f"{chosen.num_cut} not sent: only a part was stored, and the whole is not in its topic")
    if chosen.num_left_out:
        say(f"{chosen.num_left_out} left out: stored twice, cut, or without anything to send")
    if chosen.num_refused:
        say(f"{chosen.num_refused} not sent: tried more than {max_attempts} times (--max-attempts)")
    sent = produce_messages(chosen.messages, config)
    refused = chosen.num_refused + chosen.num_cut
    emit({"topic": topic, "messages": sent, "refused": refused})


def _row(dead_letter: "DeadLetter") -> dict[str, Any]:
    """Return what is known of a dead letter but for its bytes."""
    from echo_stream.connectors.dead_letters.message import attempts_of

    message = dead_letter.sample
    assert message is not None, "cut ones are left out"
    origin = message.origin
    return {
        "place": dead_letter.place,
        "reason": message.reason,
        "topic": origin and origin.topic,
        "partition": origin and origin.partition,
        "offset": origin and origin.offset,
        "last_offset": message.last_offset,
        "num_messages": message.num_messages,
        "timestamp": origin and origin.timestamp,
        "size_bytes": len(message.value or b"")
        if dead_letter.size_bytes is None
        else dead_letter.size_bytes,
        "truncated": dead_letter.is_truncated,
        "attempts": attempts_of(message.headers),
        "exception": message.exception,
        "message": message.message,
    }


def _as_text(data: bytes | None) -> str | bytes | None:
    """Return bytes as text where they are UTF-8."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return data
