"""Dead letters as messages that can be sent again."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from echo_stream.connectors.dead_letter_message import DeadLetter, attempts_of, with_attempts
from echo_stream.connectors.kafka_sink import Message
from echo_stream.errors import ConfigError
from echo_stream.samples import Origin
from echo_stream.source import RejectedSample


@dataclass(slots=True)
class Replay:
    """What can be sent again of some dead letters, and how many cannot.

    Attributes
    ----------
    messages : list of Message
    num_left_out : int
        There twice, cut by a crash, without their value, or with neither key nor value.
    num_refused : int
        Tried too often already.
    """

    messages: list[Message] = field(default_factory=list)
    num_left_out: int = 0
    num_refused: int = 0


def replayable(
    letters: Iterable[DeadLetter], places: Collection[int | str], *, max_attempts: int
) -> Replay:
    """Return what can be sent again of the dead letters of some places, or of all.

    A message that is there twice, by its place in Kafka, is sent once, with a header that
    counts its attempts; one that has neither key nor value cannot be sent. A header without
    a value gets an empty one, since the client sends no other.

    Raises
    ------
    ConfigError
        If one of the places holds no dead letter.
    """
    chosen = {letter.place: letter for letter in letters if not places or letter.place in places}
    for place in places:
        if place not in chosen or chosen[place].sample is None:
            raise no_letter(place)
    replay, seen = Replay(), set[Origin]()
    for letter in chosen.values():
        sample = letter.sample
        if sample is None or sample.origin in seen or not _can_be_sent(letter, sample):
            replay.num_left_out += 1
        elif attempts_of(sample.headers) > max_attempts:
            replay.num_refused += 1
        else:
            seen |= {sample.origin} if sample.origin is not None else set()
            headers = with_attempts(sample.headers, attempts_of(sample.headers) + 1)
            replay.messages.append((sample.key, sample.value, headers))
    return replay


def _can_be_sent(letter: DeadLetter, sample: RejectedSample) -> bool:
    """Tell whether all of a message is there, and the client would send it."""
    return not letter.is_truncated and not (sample.key is None and sample.value is None)


def no_letter(place: int | str) -> ConfigError:
    """Return the error for a place that holds no dead letter."""
    where = f"line {place}" if isinstance(place, int) else place
    return ConfigError(
        f"{where} holds no dead letter; `echo-stream dlq list` lists those there are"
    )
