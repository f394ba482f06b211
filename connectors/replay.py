"""Dead letters as messages that can be sent again."""

from collections.abc import Collection, Iterable

from echo_stream.connectors.kafka_sink import Message
from echo_stream.errors import ConfigError
from echo_stream.samples import Origin
from echo_stream.source import RejectedSample


def replayable(
    letters: Iterable[tuple[int, RejectedSample | None]], lines: Collection[int]
) -> tuple[list[Message], int]:
    """Return what can be sent again of some lines, or of all, and how many cannot.

    A message that is there twice, by its place in Kafka, is sent once; one that has neither
    key nor value cannot be sent. A header without a value gets an empty one, since the
    client sends no other.

    Raises
    ------
    ConfigError
        If one of the lines holds no dead letter.
    """
    chosen = {line: message for line, message in letters if not lines or line in lines}
    for line in lines:
        if chosen.get(line) is None:
            msg = f"line {line} holds no dead letter; `echo-stream dlq list` lists those there are"
            raise ConfigError(msg)
    messages: list[Message] = []
    seen: set[Origin] = set()
    for message in chosen.values():
        if message is None or message.origin in seen:
            continue
        if message.key is None and message.value is None:
            continue
        if message.origin is not None:
            seen.add(message.origin)
        headers = [(name, value or b"") for name, value in message.headers]
        messages.append((message.key, message.value, headers))
    return messages, len(chosen) - len(messages)
