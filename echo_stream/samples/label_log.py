"""Late labels by their places in a stream of which several engines count parts.

A label may be in one engine's part and its sample in another's. So each engine keeps
the labels of its part, and they are set on the held samples when the two are merged.
"""

import sys
from collections.abc import Iterator
from heapq import nlargest
from typing import Any, NamedTuple, TypeAlias

from echo_stream._common.hashes import id_digest
from echo_stream._common.typing import Label
from echo_stream.samples.samples import Origin, log_of

KEPT_LABELS = 65_536  # the newest
MOST_LABELS = KEPT_LABELS * 3 // 2  # until the oldest are dropped
ENTRY_BYTES = 450  # of a label beside its text: the id's digest, the log's name, numbers, objects


class LoggedLabel(NamedTuple):
    """The last label of an id in one log.

    Attributes
    ----------
    timestamp : int
        Milliseconds since 1970.
    log : str
        "topic/partition".
    offset : int
    label : int, float or str
    num_missed : int
        Labels of this id in this log that have not matched a sample so far.
    """

    timestamp: int
    log: str
    offset: int
    label: Label
    num_missed: int

    def reaches(self, origin: Origin | None) -> bool:
        """Return whether this label may be meant for a sample.

        It is not for samples after it in its own log; the order of two logs is unknown.
        """
        return origin is None or log_of(origin) != self.log or origin.offset < self.offset

    def is_after(self, other: "LoggedLabel") -> bool:
        """Tell which of two is the later one: by offset in one log, else by time."""
        if self.log == other.log:
            return self.offset > other.offset
        return self[:2] > other[:2]


LabelsByLog: TypeAlias = dict[str, LoggedLabel]
"""By log."""


class LabelLog:
    """The last label of each id in each log; the newest where there are too many.

    Examples
    --------
    >>> log = LabelLog()
    >>> log.note("a", "cat", Origin("events", 0, 7, 1_000), is_matched=False)
    >>> sample, later = Origin("events", 0, 5, 900), Origin("events", 0, 9, 1_100)
    >>> log.newest("a", sample).label, log.newest("a", later)
    ('cat', None)
    """

    def __init__(self) -> None:
        self._labels: dict[bytes, LabelsByLog] = {}
        self._num_labels = 0

    def __len__(self) -> int:
        """Return the number of labels."""
        return self._num_labels

    def __contains__(self, sample_id: str) -> bool:
        """Return whether there is a label of an id."""
        return id_digest(sample_id) in self._labels

    @property
    def size_bytes(self) -> int:
        """Bytes of the labels and the objects around them. O(labels)."""
        texts = (sys.getsizeof(label.label) for _, label in self._pairs())
        return ENTRY_BYTES * len(self) + sum(texts)

    def note(self, sample_id: str, label: Label, origin: Origin, *, is_matched: bool) -> None:
        """Record a label, and whether it matched a held sample."""
        found = LoggedLabel(
            origin.timestamp, log_of(origin), origin.offset, label, int(not is_matched)
        )
        self._add(id_digest(sample_id), found)
        self._prune()

    def newest(self, sample_id: str, origin: Origin | None) -> LoggedLabel | None:
        """Return the newest label that reaches a sample; None without one."""
        labels = self._labels.get(id_digest(sample_id), {})
        return max((each for each in labels.values() if each.reaches(origin)), default=None)

    def mark_matched(self, sample_id: str, origin: Origin | None) -> int:
        """Mark labels as matched by a sample; return how many had been missed."""
        name = id_digest(sample_id)
        reached = [label for label in self._labels[name].values() if label.reaches(origin)]
        matched = {label.log: label._replace(num_missed=0) for label in reached}
        self._labels[name] = {**self._labels[name], **matched}
        return sum(label.num_missed for label in reached)

    def drop(self, sample_id: str) -> None:
        """Remove the labels of an id: it was forgotten, or labelled after all of them."""
        self._num_labels -= len(self._labels.pop(id_digest(sample_id), ()))

    def merge(self, other: "LabelLog") -> None:
        """Add the labels of other, which is left unchanged."""
        for name, labels in other._labels.items():
            for label in labels.values():
                self._add(name, label)
        self._prune()

    def copy(self) -> "LabelLog":
        """Return an independent copy. O(ids), quickly: what is known of an id never changes."""
        copy = LabelLog()
        copy._labels, copy._num_labels = dict(self._labels), self._num_labels
        return copy

    def to_json(self) -> list[list[Any]]:
        """Return a row for each label: the id's digest in hexadecimal, and its fields."""
        return [[name.hex(), *label] for name, label in self._each()]

    def restore(self, rows: list[list[Any]]) -> None:
        """Restore what `to_json` returned."""
        for name, *fields in rows:
            self._add(bytes.fromhex(name), LoggedLabel(*fields))

    def _each(self) -> Iterator[tuple[bytes, LoggedLabel]]:
        """Yield all labels, in order of digest and log."""
        yield from sorted(self._pairs(), key=lambda each: (each[0], each[1].log))

    def _pairs(self) -> Iterator[tuple[bytes, LoggedLabel]]:
        """Yield all labels, in the order in which their ids came."""
        return ((name, label) for name, labels in self._labels.items() for label in labels.values())

    def _add(self, name: bytes, label: LoggedLabel) -> None:
        """Keep the later one of two labels of an id in one log."""
        labels = self._labels.get(name, {})
        known = labels.get(label.log)
        if known is None:
            self._num_labels += 1
        else:
            later = max(known, label, key=lambda each: each.offset)
            label = later._replace(num_missed=known.num_missed + label.num_missed)
        self._labels[name] = {**labels, label.log: label}

    def _prune(self) -> None:
        """Drop the oldest labels where there are too many, half as many again at the most."""
        if len(self) <= MOST_LABELS:
            return
        kept = nlargest(KEPT_LABELS, self._each(), key=lambda each: each[1][:3])
        self._labels, self._num_labels = {}, 0
        for name, label in kept:
            self._add(name, label)
