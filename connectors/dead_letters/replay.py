"""Dead letters as messages that can be sent again."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from echo_stream.connectors.dead_letters.message import DeadLetter, attempts_of, with_attempts
from echo_stream.connectors.kafka.sink import Message
from echo_stream.errors import ConfigError
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample

Originals: TypeAlias = Callable[[Sequence[RejectedSample]], Mapping[Origin, RejectedSample]]


@dataclass(slots=True)
class Replay:
    """What can be sent again of some dead letters, and how many cannot.

    Attributes
    ----------
    messages : list of Message
    num_left_out : int
        There twice, cut by a crash, or with neither key nor value.
    num_cut : int
        Of which only a part was kept, and the original is not available.
    num_refused : int
        Tried too often already.
    """

    messages: list[Message] = field(default_factory=list)
    num_left_out: int = 0
    num_cut: int = 0
    num_refused: int = 0


def replayable(
    dead_letters: Iterable[DeadLetter],
    places: Collection[int | str],
    *,
    max_attempts: int,
    originals: Originals,
) -> Replay:
    """Return what can be sent again of the dead letters of some places, or of all.

    A message that is there twice, by its place in Kafka, is sent once, with a header that
    counts its attempts; one that has neither key nor value cannot be sent. A header without
    a value gets an empty one, since the client sends no other.

    Parameters
    ----------
    letters : iterable of DeadLetter
    places : collection of int or str
    max_attempts : int
    originals : callable
        Returns the whole messages of which only parts were kept, by their place in Kafka, as
        far as they are available.

    Raises
    ------
    ConfigError
        If one of the places holds no dead letter.
    """
    chosen = {
        dead_letter.place: dead_letter
        for dead_letter in dead_letters
        if not places or dead_letter.place in places
    }
    for place in places:
        if place not in chosen or chosen[place].sample is None:
            raise no_dead_letter(place)
    parts = [each.sample for each in chosen.values() if each.is_truncated and each.sample]
    whole = originals(parts) if parts else {}
    replay, seen = Replay(), set[Origin]()
    for dead_letter in chosen.values():
        sample = dead_letter.sample
        if sample is None or sample.origin in seen:
            replay.num_left_out += 1
            continue
        attempts = attempts_of(sample.headers)
        if dead_letter.is_truncated and sample.origin not in whole:
            replay.num_cut += 1
            continue
        if dead_letter.is_truncated and sample.origin is not None:
            sample = whole[sample.origin]
            attempts = max(attempts, attempts_of(sample.headers))
        if sample.key is None and sample.value is None:
            replay.num_left_out += 1
        elif attempts > max_attempts:
            replay.num_refused += 1
        else:
            seen |= {sample.origin} if sample.origin is not None else set()
            headers = with_attempts(sample.headers, attempts + 1)
            replay.messages.append((sample.key, sample.value, headers))
    return replay


def no_dead_letter(place: int | str) -> ConfigError:
    """Return the error for a place that holds no dead letter."""
    where = f"place {place}" if isinstance(place, int) else place
    return ConfigError(
        f"{where} holds no dead letter; `echo-stream dlq list` lists those there are"
    )
