"""Count samples by label: of a batch, and of a whole stream in bounded memory."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from echo_stream._common.typing import Array, Label
from echo_stream.samples.samples import Samples, label_of

_UNKNOWN = "null"  # the name of no label, as in JSON
MAX_LABELS = 1_000  # of a stream; the numbers of a regression are not classes
MAX_CHARACTERS = 65_536  # of their names together


def label_counts(labels: Sequence[Label] | Array) -> dict[str, int]:
    """Return how often each label occurs, keyed by its text; unknown ones under "null".

    O(n), a few tens of nanoseconds each where labels are of one type.

    Examples
    --------
    >>> label_counts([1, 0, 1, None])
    {'0': 1, '1': 2, 'null': 1}
    """
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    counts: Counter[str] = Counter()
    for label, count in _occurrences(values):
        known = label_of(label)
        counts[_UNKNOWN if known is None else str(known)] += count
    return dict(sorted(counts.items()))


def _occurrences(values: list[object]) -> list[tuple[object, int]]:
    """Return values with how often they occur; 1, 1.0 and True are not the same."""
    if len(set(map(type, values)) - {str, type(None)}) <= 1:
        return list(Counter(values).items())
    typed = Counter(zip(map(type, values), values, strict=True))
    return [(value, count) for (_, value), count in typed.items()]


class LabelCounts:
    """Numbers of samples of a stream by the label that they arrived with.

    With more than a thousand labels, or names of more than 65,536 characters together, all
    counts are dropped: so the result does not depend on the order of arrival.

    Examples
    --------
    >>> import numpy as np
    >>> counts = LabelCounts()
    >>> counts.update(Samples(x=np.zeros((3, 1)), ids=np.arange(3), labels=np.array([1, 0, 1])))
    >>> counts.to_json()
    {'0': 1, '1': 2}
    """

    def __init__(self) -> None:
        self._counts: Counter[str] | None = Counter()
        self._characters = 0

    def update(self, samples: Samples) -> None:
        """Count samples by the labels that they arrived with. O(n); O(1) after too many labels."""
        if self._counts is None or not len(samples):
            return
        sent = samples.labels if samples.sent_labels is None else samples.sent_labels
        self._add({_UNKNOWN: len(samples)} if sent is None else label_counts(sent))

    def merge(self, other: "LabelCounts") -> None:
        """Add the counts of other, which is left unchanged. O(labels)."""
        if self._counts is not None:
            self._add(other._counts)

    def copy(self) -> "LabelCounts":
        """Return an independent copy."""
        copy = LabelCounts()
        copy.merge(self)
        return copy

    def to_json(self) -> dict[str, int] | None:
        """Return the counts by label, in order of labels; None where they were dropped."""
        return None if self._counts is None else dict(sorted(self._counts.items()))

    @classmethod
    def from_json(cls, counts: dict[str, int] | None) -> "LabelCounts":
        """Undo `to_json`."""
        restored = cls()
        restored._add(counts)
        return restored

    def _add(self, counts: dict[str, int] | None) -> None:
        """Add counts, or drop all where there are too many."""
        if self._counts is None or counts is None:
            self._counts = None
            return
        self._characters += sum(len(name) for name in counts if name not in self._counts)
        self._counts.update(counts)
        if len(self._counts) > MAX_LABELS or self._characters > MAX_CHARACTERS:
            self._counts = None
