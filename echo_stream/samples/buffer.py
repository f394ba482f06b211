"""A buffer of samples: those of a warm-up, or of a block that is not full yet."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from echo_stream._common.typing import Label
from echo_stream.samples.samples import Samples


class SampleBuffer:
    """Samples of one schema in order of arrival, copied when they are appended.

    An index by id is built on first use. Removals and labels are recorded, and applied to all
    samples at once when they are read.

    Examples
    --------
    >>> buffer = SampleBuffer()
    >>> buffer.append(Samples(x=np.zeros((2, 3)), ids=np.arange(2)))
    >>> buffer.label("1", "cat"), buffer.label("7", "cat"), buffer.peek().labels
    (True, False, array([None, 'cat'], dtype=object))
    >>> len(buffer), len(buffer.drain()), len(buffer)
    (2, 2, 0)
    """

    def __init__(self, samples: Samples | None = None) -> None:
        self._parts: list[Samples] = [] if samples is None else [samples]
        self._starts = [0] if self._parts else []  # row of each part's first sample
        self._num_rows = 0 if samples is None else len(samples)
        self._rows: dict[str, list[int]] | None = None  # the index, once it is built
        self._gone: set[int] = set()
        self._late: dict[int, Label] = {}

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._num_rows - len(self._gone)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether there is a sample of an id. O(1) once the index is built."""
        return sample_id in self._index()

    @property
    def size_bytes(self) -> int:
        """Bytes of x and of the payloads."""
        return sum(part.size_bytes for part in self._parts)

    def append(self, samples: Samples) -> None:
        """Append a copy of samples. O(samples)."""
        if len(samples):
            self._parts.append(samples[np.arange(len(samples))])
            self._starts.append(self._num_rows)
            if self._rows is not None:
                _add_rows(self._rows, samples.ids.tolist(), self._num_rows)
            self._num_rows += len(samples)

    def first(self) -> Samples | None:
        """Return the first batch, whose schema is that of all; None without samples. O(1)."""
        return self._parts[0] if self._parts else None

    def peek(self) -> Samples | None:
        """Return all samples as one batch; None without any."""
        if not self._parts:
            return None
        whole = Samples.concatenate(self._parts).relabelled(self._late)
        if self._gone:
            whole = whole[np.setdiff1d(np.arange(len(whole)), list(self._gone))]
            self._rows = None  # row numbers have changed
        self._parts, self._starts, self._num_rows = [whole], [0], len(whole)
        self._gone, self._late = set(), {}
        return whole

    def remove(self, sample_id: str) -> Samples | None:
        """Remove the samples of an id and return them; None if there are none."""
        rows = self._index().pop(sample_id, None)
        if rows is None:
            return None
        removed = Samples.concatenate([self._row(row) for row in rows])
        late = {at: self._late[row] for at, row in enumerate(rows) if row in self._late}
        self._gone.update(rows)
        for row in rows:
            self._late.pop(row, None)
        if not len(self):
            self._clear()
        return removed.relabelled(late)

    def label(self, sample_id: str, label: Label) -> bool:
        """Set the label of the samples of an id; return whether there are any."""
        rows = self._index().get(sample_id, ())
        self._late.update(dict.fromkeys(rows, label))
        return len(rows) > 0

    def drain(self) -> Samples:
        """Return all that waits, as one batch, and be empty. At least one sample must wait."""
        samples = self.peek()
        assert samples is not None
        self._clear()
        return samples

    def cut(self, samples: Samples, size: int) -> tuple[list[Samples], "SampleBuffer"]:
        """Return the buffered and the given samples as full blocks, and a buffer with the rest.

        The buffer must be shorter than a block. If the samples do not fill one, they are
        appended, and this buffer is returned; else it is left unchanged. O(samples + size).
        """
        missing = size - len(self)
        if len(samples) < missing:
            self.append(samples)
            return [], self
        waiting = self.peek()
        first = [] if waiting is None else [waiting]
        blocks = [Samples.concatenate([*first, samples[:missing]])]
        whole = missing + (len(samples) - missing) // size * size
        blocks += [samples[at : at + size] for at in range(missing, whole, size)]
        rest = SampleBuffer()
        rest.append(samples[whole:])
        return blocks, rest

    def copy(self) -> "SampleBuffer":
        """Return a buffer with the same samples, which never change."""
        return SampleBuffer(self.peek())

    def _clear(self) -> None:
        """Remove all samples."""
        self._parts, self._starts, self._num_rows = [], [], 0
        self._rows, self._gone, self._late = None, set(), {}

    def _index(self) -> dict[str, list[int]]:
        """Return the index: the rows of each id."""
        if self._rows is None:
            self.peek()  # applies removals
            self._rows = {}
            for part in self._parts:
                _add_rows(self._rows, part.ids.tolist(), 0)
        return self._rows

    def _row(self, row: int) -> Samples:
        """Return one sample, with the label that it came with."""
        number = bisect_right(self._starts, row) - 1
        at = row - self._starts[number]
        return self._parts[number][at : at + 1]


def _add_rows(rows: dict[str, list[int]], ids: Sequence[object], first_row: int) -> None:
    """Add ids to an index of their rows, which are numbered from first_row."""
    for row, sample_id in enumerate(ids, first_row):
        rows.setdefault(str(sample_id), []).append(row)
