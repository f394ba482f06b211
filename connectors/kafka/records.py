"""Messages side by side: columns of origins, keys, values and headers.

Most are decoded by the column, not one by one: an object for each would cost more than all
that the client does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import attrgetter
from typing import Any, NamedTuple, Self, overload

from kafka import TopicPartition

from echo_stream.connectors.codecs.messages import Content, Headers
from echo_stream.samples.samples import Origin

RECORD_BYTES = 256  # what the objects of a message take beside its content

_PLACE = attrgetter(*Origin._fields)
_KEY, _VALUE, _HEADERS = map(attrgetter, ("key", "value", "headers"))


class Record(NamedTuple):
    """One message."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers


class Lost(NamedTuple):
    """Why the records of a batch cannot be read.

    Attributes
    ----------
    first : int
        Offset of the first one.
    number : int
        How many they are, as far as that is known.
    message : str
        For people.
    exception : str
        Class of the error.
    """

    first: int
    number: int
    message: str
    exception: str


@dataclass(slots=True)
class Records(Sequence[Record]):
    """Messages in the order of their offsets, as columns of equal length.

    Attributes
    ----------
    origins : list of Origin
    keys : list of bytes or None
    values : list of bytes, memoryview or None
        A view lies in the batch that the broker has sent.
    headers : list of list, or None
        None: no message has any.
    lost : Lost, optional
        The only message here stands for a whole batch that cannot be unpacked, at its last
        offset.

    Examples
    --------
    >>> origins = [Origin("events", 0, offset, 1_000) for offset in (7, 8)]
    >>> found = Records(origins, [b"a", None], [memoryview(b"one"), None])
    >>> len(found), found[0].value, len(found[1:]), found.content_bytes
    (2, b'one', 1, 4)
    """

    origins: list[Origin] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[Content | None] = field(default_factory=list)
    headers: list[Headers] | None = None
    lost: Lost | None = None

    @classmethod
    def of(cls, records: Iterable[Any]) -> Self:
        """Return records of the client's, or what has the same attributes."""
        records = list(records)
        headers = list(map(_HEADERS, records))
        return cls(
            list(starmap(Origin, map(_PLACE, records))),
            list(map(_KEY, records)),
            list(map(_VALUE, records)),
            headers if any(headers) else None,
        )

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.origins)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> "Records": ...

    def __getitem__(self, place: int | slice) -> "Record | Records":
        """Return one message, or some of them."""
        headers = self.headers
        if isinstance(place, slice):
            return Records(
                self.origins[place],
                self.keys[place],
                self.values[place],
                None if headers is None else headers[place],
            )
        value = self.values[place]
        return Record(
            self.origins[place],
            self.keys[place],
            None if value is None else bytes(value),
            [] if headers is None else headers[place],
        )

    def __iter__(self) -> Iterator[Record]:
        """Yield the messages."""
        return (self[place] for place in range(len(self)))

    @property
    def offsets(self) -> list[int]:
        """Offsets of the messages."""
        return [origin.offset for origin in self.origins]

    @property
    def num_bytes(self) -> int:
        """Bytes of all that they hold, and of the objects around it. O(n)."""
        headers = sum(
            len(name) + len(value or b"") for each in self.headers or () for name, value in each
        )
        return self.content_bytes + headers + RECORD_BYTES * len(self)

    def unpacked(self) -> Self:
        """Return these records, which are unpacked already."""
        return self

    @property
    def content_bytes(self) -> int:
        """Bytes of keys and values. O(n), without a step of Python for each."""
        return sum(map(len, filter(None, self.keys))) + sum(map(len, filter(None, self.values)))

    def picked(self, places: Iterable[int]) -> "Records":
        """Return the messages at some places."""
        return Records(
            [self.origins[place] for place in places],
            [self.keys[place] for place in places],
            [self.values[place] for place in places],
            None if self.headers is None else [self.headers[place] for place in places],
        )

    def extend(self, others: "Records") -> None:
        """Append other messages. O(others), but for the first that have headers."""
        if self.headers is None and others.headers is not None:
            self.headers = [[] for _ in self.origins]
        if self.headers is not None:
            self.headers += (
                [[] for _ in others.origins] if others.headers is None else others.headers
            )
        self.origins += others.origins
        self.keys += others.keys
        self.values += others.values


def lost(
    tp: TopicPartition, first: int, last: int, number: int, timestamp: int, why: Exception
) -> Records:
    """Return a placeholder for the records of a batch, from a first to a last offset.

    Examples
    --------
    >>> found = lost(TopicPartition("events", 0), 7, 9, 3, 1_000, ValueError("too large"))
    >>> found.offsets, found.lost.message
    ([9], 'the batch of events/0 at offsets 7 to 9 cannot be unpacked: too large')
    """
    offsets = f"the batch of {tp.topic}/{tp.partition} at offsets {first} to {last}"
    said = str(why) or type(why).__name__
    about = Lost(first, number, f"{offsets} cannot be unpacked: {said}", type(why).__name__)
    return Records([Origin(tp.topic, tp.partition, last, timestamp)], [None], [None], lost=about)
