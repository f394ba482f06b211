"""Batches of samples: the columns that travel from a source to the sketch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from echo_stream._common.typing import Array, Label
from echo_stream.samples.payloads import payload_size

_ROWS_AT_ONCE = 256  # a megabyte of 4 KiB samples: well under a millisecond


class Origin(NamedTuple):
    """Where in Kafka a sample came from.

    Attributes
    ----------
    topic : str
    partition : int
    offset : int
    timestamp : int
        Milliseconds since 1970, as the broker reports it.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int


def log_of(origin: Origin) -> str:
    """Return what offsets call the partition of an origin.

    Examples
    --------
    >>> log_of(Origin("events", 3, 7, 1_000))
    'events/3'
    """
    return f"{origin.topic}/{origin.partition}"


@dataclass(frozen=True, slots=True, repr=False)
class Samples:
    """A batch of samples as columns of equal length.

    Attributes
    ----------
    x : ndarray of shape (n, ...)
        What is measured: the samples as they arrived, or vectors that an encoder made of
        payloads. Boolean, integer or floating point.
    ids : ndarray of shape (n,), int64 or object
        Identities. Compared as text: 7 and "7" are the same id.
    labels : ndarray of shape (n,) or None
        Integers, floats, text, or object with None where a label is unknown.
    origins : ndarray of shape (n,), object, or None
        `Origin` of each sample; None outside Kafka.
    sent_labels : ndarray of shape (n,), object, or None
        Labels as they arrived, where others have come later; None: labels are.
    payloads : ndarray of shape (n,), object, or None
        Text or bytes that x was made of, as it arrived; None where x is what arrived.

    Examples
    --------
    >>> batch = Samples(x=np.zeros((3, 2)), ids=np.arange(3))
    >>> len(batch), len(batch[1:]), len(Samples.concatenate([batch, batch]))
    (3, 2, 6)
    """

    x: Array
    ids: Array
    labels: Array | None = None
    origins: Array | None = None
    sent_labels: Array | None = None
    payloads: Array | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.x)

    def __repr__(self) -> str:
        """Return how many samples there are, and of what shape and dtype."""
        return f"<{len(self)} samples of shape {self.x.shape[1:]} and dtype {self.x.dtype}>"

    def __getitem__(self, rows: slice | Array) -> Self:
        """Return some of the rows. Slices are views; index arrays copy."""
        return type(self)(
            x=self.x[rows],
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            origins=None if self.origins is None else self.origins[rows],
            sent_labels=None if self.sent_labels is None else self.sent_labels[rows],
            payloads=None if self.payloads is None else self.payloads[rows],
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of x and of the payloads. O(n) where there are payloads."""
        payloads = () if self.payloads is None else self.payloads
        return int(self.x.nbytes) + sum(map(payload_size, payloads))

    @property
    def are_labelled(self) -> Array:
        """Whether each sample has a label, of shape (n,), bool."""
        if self.labels is None:
            return np.zeros(len(self), dtype=bool)
        return np.array([label_of(label) is not None for label in self.labels.tolist()], bool)

    def relabelled(self, late: Mapping[int, Label]) -> "Samples":
        """Return the samples with other labels, given by row; those that arrived are kept."""
        if not late:
            return self
        known = [None] * len(self) if self.labels is None else self.labels.tolist()
        labels = as_objects(known)
        sent = labels.copy() if self.sent_labels is None else self.sent_labels
        for row, label in late.items():
            labels[row] = label
        return replace(self, labels=labels, sent_labels=sent)

    @classmethod
    def concatenate(cls, parts: Sequence["Samples"]) -> "Samples":
        """Join batches of one shape and dtype in their order. O(n)."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            x=np.concatenate([part.x for part in parts]),
            ids=_join([part.ids for part in parts]),
            labels=_join_optional([part.labels for part in parts], parts),
            origins=_join_optional([part.origins for part in parts], parts),
            sent_labels=_join_sent(parts),
            payloads=_join_optional([part.payloads for part in parts], parts),
        )


def label_of(value: object) -> Label:
    """Return a label as a plain int, float or str; None for NaN and None.

    Examples
    --------
    >>> label_of(np.uint8(3)), label_of(np.str_("cat")), label_of(float("nan"))
    (3, 'cat', None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return None if value != value else value  # noqa: PLR0124 - NaN is not equal to itself
    if isinstance(value, bool):
        return int(value)
    return value if value is None or isinstance(value, int) else str(value)


def sorted_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return labels in order, numbers before text.

    Examples
    --------
    >>> sorted_labels(["b", 2, "a", 1])
    (1, 2, 'a', 'b')
    """
    return tuple(sorted(labels, key=lambda label: (isinstance(label, str), label)))


def is_same_label(a: Label, b: Label) -> bool:
    """Return whether two labels are the same, type and all: 1 and 1.0 are not."""
    return type(a) is type(b) and a == b


def larger_label(labels: Iterable[Label]) -> Label:
    """Return the last label in order: None, numbers, text; of 1 and 1.0 the float.

    Examples
    --------
    >>> larger_label([3, "a", None, "B"]), larger_label([1, None])
    ('a', 1)
    """
    known = [label for label in labels if label is not None]
    return max(known, key=lambda y: (isinstance(y, str), y, isinstance(y, float)), default=None)


def as_objects(values: Sequence[object]) -> Array:
    """Return values as a one-dimensional object array, tuples kept whole."""
    return np.fromiter(values, dtype=object, count=len(values))


def stacked(values: Sequence[Array], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return n arrays of one shape as the rows of one, of shape (n, *shape).

    A slice at a time, so that a thread that copies a whole state lets others go on.

    Examples
    --------
    >>> stacked([np.array([1, 2]), np.array([3, 4])], (2,), np.int64).tolist()
    [[1, 2], [3, 4]]
    """
    rows = np.empty((len(values), *shape), dtype)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows[start : start + _ROWS_AT_ONCE] = values[start : start + _ROWS_AT_ONCE]
    return rows


def _join(columns: Sequence[Array]) -> Array:
    """Concatenate columns; of mixed dtypes as objects, so that no value is converted."""
    if len({column.dtype for column in columns}) > 1:
        columns = [column.astype(object) for column in columns]
    return np.concatenate(columns)


def _join_sent(parts: Sequence[Samples]) -> Array | None:
    """Concatenate the labels that arrived, where any of them are not the current labels."""
    if all(part.sent_labels is None for part in parts):
        return None
    columns = [part.labels if part.sent_labels is None else part.sent_labels for part in parts]
    return _join_optional(columns, parts)


def _join_optional(columns: Sequence[Array | None], parts: Sequence[Samples]) -> Array | None:
    """Concatenate columns of which some may be missing; a gap is filled with None."""
    if all(column is None for column in columns):
        return None
    filled = [
        np.full(len(part), None, dtype=object) if column is None else column
        for column, part in zip(columns, parts, strict=True)
    ]
    return _join(filled)
