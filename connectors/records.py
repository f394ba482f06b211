"""Messages side by side: columns of origins, keys, values and headers.

Most are decoded by the column, and nobody ever looks at one alone: an object for each would
cost more than all that the client does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import attrgetter
from typing import Any, NamedTuple, Self, overload

from echo_stream.connectors.codecs.messages import Content, Headers
from echo_stream.samples import Origin

RECORD_BYTES = 256  # what the objects of a message take beside its content

_PLACE = attrgetter(*Origin._fields)
_KEY, _VALUE, _HEADERS = map(attrgetter, ("key", "value", "headers"))


class Record(NamedTuple):
    """One message."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: Headers


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
        """Return these records: they are no batch any more."""
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
