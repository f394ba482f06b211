"""`echo-stream dlq`: the dead letters of a state, messages that were no samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.client_options import client_options
from echo_stream.cli.command import Group
from echo_stream.cli.options import format_option, option, servers_option, state_option
from echo_stream.cli.output import emit, emit_rows, say

if TYPE_CHECKING:
    from echo_stream.connectors.client_config import ClientConfig
    from echo_stream.source import RejectedSample


@click.group(cls=Group)
def dlq() -> None:
    """List, show and replay dead letters, the messages that were no samples.

    \b
    Example:
      echo-stream dlq list --state DIR
    """


@dlq.command("list")
@state_option
@format_option
def list_(*, state: Path | None, output_format: str) -> None:
    """List the dead letters of a state, in the order in which they were kept.

    \b
    Example:
      echo-stream dlq list --state DIR --format table
    """
    rows, cut = [], []
    for line, message in _letters(state):
        if message is None:
            cut.append(line)
        else:
            rows.append(_row(line, message))
    if cut:
        lines = ", ".join(map(str, cut))
        say(f"cut by a crash, or by a run that is still writing, and left out: line {lines}")
    emit_rows(rows, output_format)


@dlq.command()
@click.argument("line", type=click.IntRange(1))
@state_option
def show(*, line: int, state: Path | None) -> None:
    """Show the dead letter of a LINE, as `list` numbers them; what is no UTF-8 in base64.

    \b
    Example:
      echo-stream dlq show 1 --state DIR
    """
    message = next((message for number, message in _letters(state) if number == line), None)
    if message is None:
        words = f"line {line} holds no dead letter; `echo-stream dlq list` lists those there are"
        raise click.BadParameter(words, param_hint="LINE")
    emit(
        {
            **_row(line, message),
            "key": _as_text(message.key),
            "value": _as_text(message.value),
            "headers": [[name, _as_text(value)] for name, value in message.headers],
        }
    )


@dlq.command()
@click.argument("lines", metavar="[LINE]...", type=click.IntRange(1), nargs=-1)
@state_option
@servers_option
@option("--topic", help="Topic to send to; created if it does not exist.")
@client_options
def replay(
    *,
    lines: tuple[int, ...],
    state: Path | None,
    bootstrap_servers: str | None,
    topic: str | None,
    client: "ClientConfig",
) -> None:
    """Send dead letters to a topic, those of the LINEs given, or all.

    Key, value and headers are the original bytes. A message that a crash has left there
    twice is sent once. Dead letters stay where they are: to replay again sends them again.

    \b
    Example:
      echo-stream dlq replay --state DIR --bootstrap-servers localhost:9092 --topic events
    """
    letters = _letters(state)
    if bootstrap_servers is None or topic is None:
        msg = "give --bootstrap-servers HOST:PORT and --topic NAME"
        raise click.UsageError(msg)
    from echo_stream.connectors.kafka_sink import (  # noqa: PLC0415
        ProduceConfig,
        produce_messages,
    )
    from echo_stream.connectors.replay import replayable  # noqa: PLC0415

    config = ProduceConfig(topic, bootstrap_servers, client=client)
    messages, num_left_out = replayable(letters, lines)
    if num_left_out:
        say(f"{num_left_out} left out: there twice, cut by a crash, or without key and value")
    sent = produce_messages(messages, config)
    emit({"topic": topic, "messages": sent})


def _letters(state: Path | None) -> "Iterator[tuple[int, RejectedSample | None]]":
    """Return line and message of the dead letters of a state."""
    if state is None:
        msg = "give --state DIR, the folder whose dead letters are meant"
        raise click.UsageError(msg)
    from echo_stream.connectors.dead_letters import read_dead_letters  # noqa: PLC0415
    from echo_stream.connectors.snapshots import check_state  # noqa: PLC0415

    check_state(state)
    return read_dead_letters(state / "dead-letters")


def _row(line: int, message: "RejectedSample") -> dict[str, Any]:
    """Return what is known of a dead letter but for its bytes."""
    origin = message.origin
    return {
        "line": line,
        "reason": message.reason,
        "topic": origin and origin.topic,
        "partition": origin and origin.partition,
        "offset": origin and origin.offset,
        "timestamp": origin and origin.timestamp,
        "size_bytes": None if message.value is None else len(message.value),
        "message": message.message,
    }


def _as_text(data: bytes | None) -> str | bytes | None:
    """Return bytes as text where they are UTF-8."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return data
