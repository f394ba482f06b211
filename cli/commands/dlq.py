"""`echo-stream dlq`: the dead letters of a state or a topic, messages that were no samples."""

from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Group
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.dead_letters import read_letters, topic_option
from echo_stream.cli.options.parameters import Place
from echo_stream.cli.options.shared import (
    format_option,
    option,
    servers_option,
    state_option,
    together,
)
from echo_stream.cli.output.output import emit, emit_rows, say

if TYPE_CHECKING:
    from echo_stream.connectors.dead_letters.message import DeadLetter

kept_options = together(state_option, topic_option, servers_option, client_options)


@click.group(cls=Group)
def dlq() -> None:
    """List, show and replay dead letters, the messages that were no samples.

    \b
    Example:
      echo-stream dlq list --state DIR
    """


@dlq.command("list")
@kept_options
@format_option
def list_(*, output_format: str, **kept: Any) -> None:
    """List dead letters, in the order in which they were kept.

    \b
    Example:
      echo-stream dlq list --state DIR --format table
    """
    rows, illegible = [], []
    for letter in read_letters(**kept):
        if letter.sample is None:
            illegible.append(letter.place)
        else:
            rows.append(_row(letter))
    if illegible:
        say(f"left out, cut by a crash or no dead letter: {', '.join(map(str, illegible))}")
    emit_rows(rows, output_format)


@dlq.command()
@click.argument("place", type=Place())
@kept_options
def show(*, place: int | str, **kept: Any) -> None:
    """Show the dead letter at a PLACE, as `list` names them; what is no UTF-8 in base64.

    A PLACE is a number, or PARTITION:OFFSET in a topic.

    \b
    Example:
      echo-stream dlq show 1 --state DIR
    """
    letter = next((letter for letter in read_letters(**kept) if letter.place == place), None)
    if letter is None or letter.sample is None:
        from echo_stream.connectors.dead_letters.replay import no_letter  # noqa: PLC0415

        raise no_letter(place)
    message = letter.sample
    emit(
        {
            **_row(letter),
            "key": _as_text(message.key),
            "value": _as_text(message.value),
            "headers": [[name, _as_text(value)] for name, value in message.headers],
        }
    )


@dlq.command()
@click.argument("places", metavar="[PLACE]...", type=Place(), nargs=-1)
@kept_options
@option("--topic", help="Topic to send to; created if it does not exist.")
@option("--max-attempts", type=click.IntRange(1), default=3,
        help="Refuse messages that have been tried more often.")  # fmt: skip
def replay(
    *, places: tuple[int | str, ...], topic: str | None, max_attempts: int, **kept: Any
) -> None:
    """Send dead letters to a topic, those of the PLACEs given, or all.

    Key, value and headers are the original bytes; a header counts the attempts. A message
    that a crash has left there twice is sent once. One of which only a part was kept is read
    from its own topic, if it is still there, and else refused. Dead letters stay where they are: to
    replay again sends them again.

    \b
    Example:
      echo-stream dlq replay --state DIR --bootstrap-servers localhost:9092 --topic events
    """
    letters = read_letters(**kept)
    servers = kept["bootstrap_servers"]
    if servers is None or topic is None:
        msg = "give --bootstrap-servers HOST:PORT and --topic NAME"
        raise click.UsageError(msg)
    if topic == kept["dead_letter_topic"]:
        msg = f"--topic must be another one than --dead-letter-topic; got {topic!r}"
        raise click.UsageError(msg)
    from echo_stream.connectors.dead_letters.originals import read_originals  # noqa: PLC0415
    from echo_stream.connectors.dead_letters.replay import replayable  # noqa: PLC0415
    from echo_stream.connectors.kafka.sink import (  # noqa: PLC0415
        ProduceConfig,
        produce_messages,
    )

    config = ProduceConfig(topic, servers, client=kept["client"])
    chosen = replayable(
        letters,
        places,
        max_attempts=max_attempts,
        originals=lambda parts: read_originals(parts, servers, kept["client"]),
    )
    if chosen.num_cut:
        say(f"{chosen.num_cut} refused: only a part was kept, and the whole is not in its topic")
    if chosen.num_left_out:
        say(f"{chosen.num_left_out} left out: there twice, cut, or without what can be sent")
    if chosen.num_refused:
        say(f"{chosen.num_refused} refused: tried more than {max_attempts} times (--max-attempts)")
    sent = produce_messages(chosen.messages, config)
    refused = chosen.num_refused + chosen.num_cut
    emit({"topic": topic, "messages": sent, "refused": refused})


def _row(letter: "DeadLetter") -> dict[str, Any]:
    """Return what is known of a dead letter but for its bytes."""
    from echo_stream.connectors.dead_letters.message import attempts_of  # noqa: PLC0415

    message = letter.sample
    assert message is not None, "cut ones are left out"
    origin = message.origin
    return {
        "place": letter.place,
        "reason": message.reason,
        "topic": origin and origin.topic,
        "partition": origin and origin.partition,
        "offset": origin and origin.offset,
        "last_offset": message.last_offset,
        "num_messages": message.num_messages,
        "timestamp": origin and origin.timestamp,
        "size_bytes": len(message.value or b"") if letter.size_bytes is None else letter.size_bytes,
        "truncated": letter.is_truncated,
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
